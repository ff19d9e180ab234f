"""Perturbations leave level 0 alone and the meaning in place; curves are those of a model whose answers are known."""

import json

import cv2
import numpy as np
import pytest
from test_evaluation import LEFT, Told, line, write

from refseg_ros.cli.main import run as cli
from refseg_ros.core.instruction import Number, parse
from refseg_ros.core.types import Frame
from refseg_ros.data.dataset import read_dataset
from refseg_ros.evaluation.perturb import (
    PERTURBATIONS,
    generator,
    is_plain,
    paraphrase,
    said_otherwise,
    typos,
    word_order,
)
from refseg_ros.evaluation.robustness import choose, curves

PICTURES = [p for p in PERTURBATIONS.values() if p.frame]
TEXTS = [p for p in PERTURBATIONS.values() if p.text]


def rng():
    return np.random.default_rng(0)


@pytest.fixture
def frame():
    shapes = np.random.default_rng(1).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    sharp = cv2.resize(shapes, (640, 480), interpolation=cv2.INTER_NEAREST)
    return Frame(sharp, np.full((480, 640), 0.8, np.float32))


@pytest.mark.parametrize("change", PICTURES, ids=lambda p: p.name)
def test_pictures_get_worse_level_by_level_and_level_zero_is_the_picture(frame, change):
    seen = [change.frame(frame, level, rng()) for level in change.levels]
    assert (seen[0].rgb == frame.rgb).all() and (seen[0].depth == frame.depth).all()
    if change.name == "depth holes":
        missing = [1.0 if f.depth is None else float((f.depth == 0).mean()) for f in seen]
        assert missing == pytest.approx(change.levels, abs=0.05) and seen[-1].depth_problem
    else:
        loss = [np.abs(f.rgb.astype(float) - frame.rgb).mean() for f in seen]
        assert loss == sorted(loss) and loss[1] > 0.2 and all(f.rgb.shape == frame.rgb.shape for f in seen)


@pytest.mark.parametrize("change", TEXTS, ids=lambda p: p.name)
def test_instructions_are_still_read_as_the_same_phrases(change):
    said = ["the largest mug", "the red mug left of the milk", "the milk and the red mug", "all the bowls"]
    for text in said:
        for level in change.levels:
            other = change.text(text, level, rng())
            before, after = parse(text), parse(other)
            assert len(after) == len(before), (other, after)
            if change.name == "paraphrase":
                plural = [p.number is not Number.SINGULAR for p in before]
                assert [p.number is not Number.SINGULAR for p in after] == plural, (other, after)
    assert change.text("the red mug", change.levels[0], rng()) == "the red mug"


@pytest.mark.parametrize(("said", "other"), [
    ("the can on the left of the mug", "the can on the left of the mug"),
    ("the can left of the mug", "the can to the left of the mug"),
    ("the can to the right of the mug", "the can to the right of the mug"),
    ("the lemon inside of the basket", "the lemon within the basket"),
    ("the lemon inside the basket", "the lemon in the basket"),
])  # fmt: skip
def test_other_words_are_still_a_sentence(said, other):
    assert paraphrase(said, "other words", rng()) == other


def test_typos_and_swaps_change_what_they_may_and_no_more():
    for seed in range(50):
        slipped = typos("the left mug and the bowl", 2, np.random.default_rng(seed)).split()
        assert [slipped[k] for k in (0, 1, 3, 4)] == ["the", "left", "and", "the"]
        swapped = word_order("the big red mug and the milk", 3, np.random.default_rng(seed))
        assert sorted(swapped.split()) == ["and", "big", "milk", "mug", "red", "the", "the"]
        assert swapped.startswith("the ") and swapped.endswith("and the milk")
    assert len({typos("the screwdriver", 1, np.random.default_rng(s)) for s in range(20)}) > 5


@pytest.fixture
def folder(tmp_path):
    lines = [
        line("the left one", (0, "left")), line("the blue one", kind="absent-name"), line("left one", (0, "left")),
        line("show me the left one", (0, "left"), phrases=["the left one"]),
    ]  # fmt: skip
    return write(tmp_path / "d", lines)


def test_only_instructions_that_are_their_phrases_are_changed_and_always_in_the_same_way(folder):
    samples = read_dataset(folder)
    assert [is_plain(s) for s in samples] == [True, True, True, False]
    assert len(choose(samples, 1, 2)) == 2 and len(choose(samples, 5, 99)) == 3
    change = PERTURBATIONS["typos"]
    first, again = ([s.instruction for s in said_otherwise(samples[:3], change, 3)] for _ in range(2))
    assert first == again != [s.instruction for s in samples[:3]]
    assert generator(samples[0], "a").random() != generator(samples[0], "b").random()


class Careful(Told):
    """Sees the left thing only where there is light; encodings are counted."""

    def encode(self, frame):
        super().encode(frame)
        return frame.rgb.mean() > 30

    def decode(self, encoded, phrases):
        return super().decode(encoded, phrases) if encoded else [self._decode("nothing") for _ in phrases]


def test_curves_fall_where_the_model_fails_and_texts_cost_one_encoding(folder):
    model = Careful()
    rows = curves(model, choose(read_dataset(folder), 1, 9))
    assert set(rows) == set(PERTURBATIONS)
    assert rows["dark"][0]["T_acc"] == 1.0 and rows["dark"][-1]["T_acc"] == 0.0
    assert all(r["gIoU"] == 1.0 for r in rows["jpeg"]) and rows["dark"][-1]["N_acc"] == 1.0
    assert [r["level"] for r in rows["noise"]] == list(PERTURBATIONS["noise"].levels)
    assert model.encodings == 1 + sum(len(p.levels) - 1 for p in PICTURES)


def test_the_command_writes_figures_and_pictures(folder, tmp_path, monkeypatch, capsys):
    models = pytest.importorskip("refseg_ros.models")
    from refseg_ros.models.base import Segmenter

    monkeypatch.setattr(models, "load", lambda *a, **k: Segmenter(Told()))
    assert cli(["robustness", "--dataset", str(folder), "--out", str(tmp_path / "r")]) == 0
    report = json.loads((tmp_path / "r" / "robustness.json").read_text())
    assert report["count"] == 3 and report["curves"]["blur"][0]["gIoU"] == 1.0
    for name in ("curves.png", "levels.png"):
        assert cv2.imread(str(tmp_path / "r" / name)).std() > 1
    assert "gIoU at 0: 1.000" in capsys.readouterr().out


def test_a_dataset_without_plain_instructions_is_refused(tmp_path, capsys):
    folder = write(tmp_path / "d", [line("show me the left one", (0, "left"), phrases=["the left one"])])
    assert cli(["robustness", "--dataset", str(folder), "--out", str(tmp_path / "r")]) == 64
    assert "phrases alone" in capsys.readouterr().err and LEFT.any()


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_asked(folder, tmp_path, monkeypatch, capsys):
    models = pytest.importorskip("refseg_ros.models")
    monkeypatch.setattr(models, "load", lambda *a, **k: pytest.fail("loaded"))
    (tmp_path / "file").touch()
    assert cli(["robustness", "--dataset", str(folder), "--out", str(tmp_path / "file" / "x")]) == 64
    err = capsys.readouterr().err
    assert "file/x cannot be written to" in err and err.count("\n") == 1
