"""The baselines on pictures drawn here: what they can, and what they are meant not to be able to."""

import json
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from refseg_ros import models  # noqa: E402
from refseg_ros.cli.main import run as cli  # noqa: E402
from refseg_ros.core.instruction import parse  # noqa: E402
from refseg_ros.core.outcome import ErrorCode, RequestError  # noqa: E402
from refseg_ros.core.protocol import Candidate  # noqa: E402
from refseg_ros.core.types import Frame  # noqa: E402
from refseg_ros.models.base import SINGLE_MASK_WEIGHTS  # noqa: E402
from refseg_ros.models.baselines.colour_name import ColourNameModel  # noqa: E402
from refseg_ros.models.baselines.colours import TERMS, shares, term_of  # noqa: E402
from refseg_ros.models.baselines.single_mask import SingleMaskHead, SingleMaskModel  # noqa: E402
from refseg_ros.models.compact.backbone import CHANNELS  # noqa: E402
from refseg_ros.training import single_mask  # noqa: E402
from refseg_ros.training.single_mask import MaskPhrases  # noqa: E402

# (x, y, w, h), colour: a small red thing at the left, a large red one at the right, a blue one between, near.
THINGS = (((5, 20, 10, 10), (190, 30, 30)), ((60, 10, 25, 25), (200, 25, 35)), ((35, 40, 14, 12), (30, 60, 190)))


class Masks:
    """Gives the masks of THINGS."""

    device = "cpu"

    def encode(self, frame):
        return [Candidate(np.ones((h, w), bool), (x, y), 0.9) for (x, y, w, h), _ in THINGS]

    def close(self):
        self.closed = True


@pytest.fixture
def picture():
    rgb = np.full((60, 100, 3), 128, np.uint8)
    for (x, y, w, h), colour in THINGS:
        rgb[y : y + h, x : x + w] = colour
    return Frame(rgb)


@pytest.fixture
def matcher():
    return ColourNameModel(Masks(), lambda encoded: encoded)


def chosen(matcher, picture, text):
    (decoding,) = matcher.decode(matcher.encode(picture), parse(text))
    return [[t[0][:2] for t in THINGS].index(c.offset) for c in decoding.candidates], decoding.score


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("the blue mug", [2]),
        ("the red mug on the left", [0]),
        ("the leftmost red thing", [0]),
        ("the right red bowl", [1]),
        ("the largest thing", [1]),
        ("the smallest red box", [0]),
        ("all the red things", [0, 1]),
        ("two red mugs", [0, 1]),
        ("the navy mug", [2]),
        ("the blue mug left of the red bowl", [2]),  # what it stands beside is not looked at
        ("the tomato", [1]),
    ],
)
def test_colours_sizes_and_places_are_matched(matcher, picture, text, meant):
    found, belief = chosen(matcher, picture, text)
    assert sorted(found) == meant and belief >= matcher.thresholds.accept


def test_a_colour_that_is_not_there_is_not_believed(matcher, picture):
    assert chosen(matcher, picture, "the green mug")[1] < matcher.thresholds.reject
    matcher.close()


def test_a_noun_alone_means_nothing_to_it(matcher, picture):
    assert chosen(matcher, picture, "the stapler") == chosen(matcher, picture, "the mug")


def test_pixels_have_the_colours_people_would_say():
    said = {"red": (180, 20, 25), "white": (240, 238, 230), "green": (30, 120, 50), "black": (9, 9, 12)}
    for name, rgb in said.items():
        found = shares(np.array([rgb] * 5, np.uint8))
        assert TERMS[int(found.argmax())] == name and found.sum() == pytest.approx(1)
    assert term_of("gray") == "grey" and term_of("mug") is None


STRIDES = (4, 8, 16, 32)


def data(scenes=2, height=64, width=96):
    """Scenes of two things; one text means each."""
    ids = torch.full((scenes, height // 4, width // 4), -1, dtype=torch.int8)
    ids[:, 2:8, 2:10], ids[:, 8:14, 14:22] = 0, 1
    rng = torch.Generator().manual_seed(0)
    shapes = [(scenes, c, height // s, width // s) for c, s in zip(CHANNELS, STRIDES, strict=True)]
    maps = [torch.randn(shape, generator=rng).half() for shape in shapes]
    states = {"left": torch.randn(4, 384, generator=rng).half(), "right": torch.randn(6, 384, generator=rng).half()}
    rows = [(n, t, frozenset([k])) for n in range(scenes) for k, t in enumerate(("left", "right"))]
    return MaskPhrases(maps, ids, rows, states)


def test_the_single_mask_learns_which_text_means_what():
    torch.manual_seed(0)
    head, toy = SingleMaskHead(), data()
    before = single_mask.evaluate(head, toy)["iou"]
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    head.train()
    for _ in range(60):
        terms = single_mask.losses(head, toy, [0, 1, 2, 3])
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert all(p.grad is not None for p in head.parameters())
    assert single_mask.evaluate(head, toy)["iou"] > max(0.8, before + 0.3)


def test_padding_of_words_changes_nothing():
    toy, head = data(), SingleMaskHead().eval()
    with torch.no_grad():
        together = head(*single_mask.batch_of(toy, [0, 1])[:3])
        alone = head(*single_mask.batch_of(toy, [0])[:3])
    assert torch.allclose(together[0], alone[0], atol=1e-4)


def test_it_answers_everything_with_a_mask():
    """Untrained, about a picture without anything: it cannot reject."""
    model = SingleMaskModel(SingleMaskHead())
    encoded = model.encode(Frame(np.full((61, 90, 3), 40, np.uint8)))
    decodings = model.decode(encoded, parse("the mug and the unicorn"))
    assert all(d.score == 1.0 and d.candidates[0].mask.any() for d in decodings)
    model.close()


def test_phrases_of_training_name_something_and_types_take_turns():
    said = [{"type": t, "phrases": [f"{t} {n}"], "targets": [[n]]} for t in ("name", "relation") for n in range(9)]
    said += [{"type": "absent-name", "phrases": ["no"], "targets": [[]]}]
    said += [{"type": "pair", "phrases": ["a", "b"], "targets": [[1], [2]]}]
    kept = single_mask._phrases(said, random.Random(0))
    assert len(kept) == single_mask.PHRASES_PER_SCENE and {t.split()[0] for t, _ in kept} == {"name", "relation"}
    assert all(targets for _, targets in kept)


def test_baselines_are_listed_as_such_and_missing_weights_say_how_to_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    listed = {m.name: m for m in models.describe()}
    assert listed["single-mask"].baseline and listed["colour-name"].baseline and not listed["compact"].baseline
    problem = listed["single-mask"].problem
    assert str(SINGLE_MASK_WEIGHTS) in problem and "refseg train --config config/training/single_mask.yaml" in problem
    with pytest.raises(RequestError) as caught:
        models.load("single-mask")
    assert caught.value.code is ErrorCode.MODEL_WEIGHTS and str(SINGLE_MASK_WEIGHTS) in caught.value.message
    assert cli(["models"]) == 0
    assert "single-mask (baseline: to compare with, not to use)" in capsys.readouterr().out
    assert cli(["models", "--json"]) == 0
    listed = {m["name"] for m in json.loads(capsys.readouterr().out) if m["baseline"]}
    assert listed == {"colour-name", "single-mask", "lisa_like", "box_decoder"}
