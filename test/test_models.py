"""The registry and the weights files: what is refused, and in which words."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from refseg_ros import models
from refseg_ros.core.outcome import ErrorCode, Outcome, RequestError
from refseg_ros.models import base, weights


def _write(folder, tensors, **card):
    """A weights file with its card; the card's entries can be overridden."""
    from safetensors.numpy import save_file

    path = folder / "small.safetensors"
    save_file(tensors, path)
    content = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **card}
    path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def linear():
    from torch import nn

    return nn.Linear(2, 3)


WEIGHT, BIAS = np.ones((3, 2), np.float32), np.zeros(3, np.float32)


def test_importing_and_describing_the_models_leaves_torch_alone():
    code = "import sys, refseg_ros.models as m; m.describe(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_model_is_described_with_licence_and_weights():
    states = models.describe()
    assert {s.name for s in states} == set(base.REGISTRY)
    assert all(s.licence and s.summary and s.weights for s in states)
    assert all(s.problem or s.state for s in states) and all("refseg train" in s.problem for s in states if (
        "missing" in s.problem and s.name not in ("compact", "colour-name")))  # fmt: skip


@pytest.mark.parametrize(("card", "said"), [
    ({"scale": "compact", "trained": {"last": {"step": 7}}, "calibration": {"rates": {}}},
     "trained for 7 steps at compact scale, thresholds fitted"),
    ({"scale": "compact", "trained": {"last": None}, "calibration": {"temperature": 1}}, "thresholds not fitted"),
    (None, "its card cannot be read"),
])  # fmt: skip
def test_the_state_of_a_model_is_what_its_card_says(tmp_path, monkeypatch, card, said):
    weights = tmp_path / "gsva.safetensors"
    weights.touch()
    if card is not None:
        weights.with_suffix(".json").write_text(json.dumps(card))
    entry = replace(base.REGISTRY["gsva"], weights=weights, requires=())
    monkeypatch.setattr(base, "REGISTRY", {"gsva": entry})
    (state,) = models.describe()
    assert state.state == said and not state.problem


def test_an_unknown_model_is_refused_and_the_known_ones_are_named():
    with pytest.raises(RequestError, match="compact") as caught:
        models.load("nosuch")
    assert caught.value.code is ErrorCode.MODEL_UNKNOWN


@pytest.mark.parametrize("device", ["toaster", "", "cuda:x", "mps", "xpu", "meta"])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(RequestError) as caught:
        base.resolve_device(device)
    assert caught.value.code is ErrorCode.MODEL_UNKNOWN


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match="device cpu"):
        base.resolve_device("cuda")
    assert base.resolve_device("auto") == "cpu"


def test_weights_load_and_half_precision_becomes_single(tmp_path, linear):
    path = _write(tmp_path, {"weight": WEIGHT.astype(np.float16), "bias": BIAS.astype(np.float16)})
    weights.load_strictly(linear, path, weights.read_card(path))
    assert linear.weight.dtype.is_floating_point and linear.weight.element_size() == 4
    assert linear.weight.detach().numpy() == pytest.approx(WEIGHT)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": WEIGHT}, "missing .*bias"),
        ({"weight": WEIGHT, "bias": BIAS, "extra": BIAS}, "unexpected .*extra"),
        ({"weight": WEIGHT.T.copy(), "bias": BIAS}, "another shape .*weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_whole(tmp_path, linear, tensors, said):
    path, before = _write(tmp_path, tensors), linear.weight.detach().clone()
    with pytest.raises(RequestError, match=said) as caught:
        weights.load_strictly(linear, path, weights.read_card(path))
    assert caught.value.code is ErrorCode.MODEL_WEIGHTS and str(path) in caught.value.message
    assert bool((linear.weight == before).all())


def test_a_wrong_hash_is_refused(tmp_path, linear):
    path = _write(tmp_path, {"weight": WEIGHT, "bias": BIAS}, sha256="0" * 64)
    with pytest.raises(RequestError, match="sha256") as caught:
        weights.load_strictly(linear, path, weights.read_card(path))
    assert caught.value.code is ErrorCode.MODEL_WEIGHTS and str(path) in caught.value.message


def test_a_file_that_is_no_safetensors_is_refused(tmp_path, linear):
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(RequestError, match="cannot be read"):
        weights.load_strictly(linear, path, {"sha256": weights.sha256(path)})


@pytest.mark.parametrize("card", [None, "{", "[]", "{}", '{"sha256": 3}'])
def test_a_missing_or_useless_card_is_refused(tmp_path, card):
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"")
    if card is not None:
        path.with_suffix(".json").write_text(card, encoding="utf-8")
    with pytest.raises(RequestError, match="card") as caught:
        weights.read_card(path)
    assert caught.value.code is ErrorCode.MODEL_WEIGHTS


def test_a_path_with_nothing_there_is_refused(tmp_path):
    with pytest.raises(RequestError, match="does not exist") as caught:
        models.load("compact", weights=tmp_path / "gone.safetensors")
    assert caught.value.code is ErrorCode.MODEL_WEIGHTS


def test_a_card_without_calibration_is_refused(tmp_path):
    path = _write(tmp_path, {"weight": WEIGHT})
    with pytest.raises(RequestError, match="calibration"):
        models.load("compact", weights=path)


def test_a_bad_image_is_an_outcome_and_no_exception():
    from helpers.fake_model import ColourModel

    answer = base.Segmenter(ColourModel()).segment(np.zeros((4, 4), np.float32), "the red thing")
    assert answer.outcome is Outcome.ERROR and answer.error.code is ErrorCode.IMAGE_INVALID


def test_a_segmenter_answers():
    from helpers.fake_model import ColourModel

    image = np.zeros((20, 30, 3), np.uint8)
    image[5:10, 5:15, 0] = 255
    answer = base.Segmenter(ColourModel()).segment(image, "the red thing")
    assert answer.outcome is Outcome.FOUND and answer.instances[0].area_px == 50


def test_a_weights_file_may_be_read_by_others_than_who_trained_it(tmp_path):
    import torch

    weights.save({"weight": torch.ones(2)}, tmp_path / "new" / "small.safetensors")
    assert (tmp_path / "new" / "small.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_weights_file_that_may_not_be_read_is_said_so(tmp_path, monkeypatch, linear):
    path = _write(tmp_path, {"weight": WEIGHT, "bias": BIAS})

    def refused(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(weights, "sha256", refused)  # tests may run as a user who may read everything
    with pytest.raises(RequestError, match=r"cannot be read \(Permission denied\); check"):
        weights.load_strictly(linear, path, weights.read_card(path))
