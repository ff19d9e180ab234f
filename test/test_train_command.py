"""`refseg train`: a configuration is checked before anything starts, and every trainer gets what its file says."""

from pathlib import Path

import pytest

from refseg_ros.cli.main import run as cli
from refseg_ros.training import runs
from refseg_ros.training.runs import TRAINERS, ConfigError, Trainer, read_yaml, run_config

EXAMPLES = sorted((Path(__file__).parent.parent / "config" / "training").glob("*.yaml"))
GOOD = """\
model: single-mask
scenes: {folder}/scenes
work: {folder}/work
threads: 1
stages:
  masks: {{minutes: 0.01, batch: 4, learning_rate: 1.0e-3}}
"""


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "scenes" / split).mkdir(parents=True)
        (tmp_path / "scenes" / split / "scene_0000000.npz").touch()
    return tmp_path


def train(folder, text):
    (folder / "c.yaml").write_text(text)
    return cli(["train", "--config", str(folder / "c.yaml")])


def test_a_trainer_gets_what_the_file_says(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "TRAINERS", {"single-mask": Trainer(("masks",), seen.append)})
    assert train(folder, GOOD.format(folder=folder)) == 0
    (config,) = seen
    stage = config.stage("masks")
    assert (stage.batch, stage.learning_rate, stage.minutes, stage.threads) == (4, 1e-3, 0.01, 1)
    assert stage.scenes == folder / "scenes" and config.target is None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_the_examples_are_configurations(example):
    content = read_yaml(example)
    trainer = TRAINERS[content.pop("model")]
    config = run_config(content, trainer)
    assert set(config.stages) == set(trainer.stages)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: single-mask", "model: giant", "model must be one of compact, single-mask"),
        ("model: single-mask", "", "not None"),
        ("threads: 1", "threads: many", "threads must be of type int, not 'many'"),
        ("threads: 1", "threads: 0", "at least 1"),
        ("threads: 1", "colour: red", "no field 'colour'"),
        ("batch: 4", "batch: 0", "batch >= 1"),
        ("batch: 4", "batch: 4.5", "stages.masks: batch must be of type int"),
        ("batch: 4, ", "", "lacks the field 'batch'"),
        ("learning_rate: 1.0e-3", "learning_rate: 3", "learning_rate in (0, 1)"),
        ("  masks:", "  other:", "stages must name masks"),
        ("stages:", "stages: [", "is not YAML"),
        ("/scenes", "/nowhere", "generate the scenes"),
        ("threads: 1", "threads: 1\nstart: none.safetensors", "there is no weights file none.safetensors"),
        ("threads: 1", "threads: 1\nstart: {folder}/c.yaml", "single-mask is always trained from nothing"),
        ("minutes: 0.01", "minutes: 0", "name weights under start"),
    ],
)
def test_a_wrong_configuration_is_a_wrong_command_line(folder, capsys, old, new, said):
    text = GOOD.format(folder=folder)
    assert old in text
    assert train(folder, text.replace(old, new.format(folder=folder), 1)) == 64
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not (folder / "work").exists()


def test_missing_files_and_scenes_are_named(folder, capsys):
    assert cli(["train", "--config", str(folder / "none.yaml")]) == 64
    (folder / "scenes" / "val" / "scene_0000000.npz").unlink()
    assert train(folder, GOOD.format(folder=folder)) == 64
    err = capsys.readouterr().err
    assert "none.yaml cannot be read" in err and "val holds 0 scene_*.npz, and 1 are needed" in err


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="fields with values"):
        read_yaml(tmp_path / "c.yaml")
