"""Mask losses against plain numpy."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from refseg_ros.models.losses import LISA_SMOOTH, averaged, bce, dice, focal, iou  # noqa: E402


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((4, 6, 9))).astype(np.float32)
    truth = (rng.random((4, 6, 9)) > 0.6).astype(np.float32)
    truth[1] = 0  # an empty one
    truth[2] = rng.random((6, 9))  # shares of cells
    return logits, truth


def probability(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def given(function, masks, **more):
    return function(*(torch.from_numpy(m) for m in masks), **more).numpy()


def test_bce(masks):
    p, t = probability(masks[0]), masks[1]
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).reshape(4, -1).mean(1)
    np.testing.assert_allclose(given(bce, masks), expected, rtol=1e-5)


@pytest.mark.parametrize("smooth", [1.0, LISA_SMOOTH])
def test_dice(masks, smooth):
    p, t = probability(masks[0]), masks[1]
    expected = [1 - (2 * (a * b).sum() + smooth) / (a.sum() + b.sum() + smooth) for a, b in zip(p, t, strict=True)]
    np.testing.assert_allclose(given(dice, masks, smooth=smooth), expected, rtol=1e-5)


def test_lisas_dice_is_ours_with_its_smoothing(masks):
    p, t, scale, eps = probability(masks[0]), masks[1], 1000, 1e-6
    expected = [
        1 - (2 * (a / scale * b).sum() + eps) / ((a / scale).sum() + (b / scale).sum() + eps)
        for a, b in zip(p, t, strict=True)
    ]
    np.testing.assert_allclose(given(dice, masks, smooth=LISA_SMOOTH), expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 1.0)])
@pytest.mark.parametrize("twice", [False, True])
def test_focal(masks, alpha, gamma, twice):
    p, t = probability(masks[0]), masks[1]
    q = probability(p) if twice else p
    entropy = -(t * np.log(q) + (1 - t) * np.log(1 - q))
    right = p * t + (1 - p) * (1 - t)
    expected = ((alpha * t + (1 - alpha) * (1 - t)) * (1 - right) ** gamma * entropy).reshape(4, -1).mean(1)
    found = given(focal, masks, alpha=alpha, gamma=gamma, sigmoid_twice=twice)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_iou(masks):
    ours, theirs = masks[0] > 0, masks[1] >= 0.5
    expected = [(a & b).sum() / (a | b).sum() for a, b in zip(ours, theirs, strict=True)]
    np.testing.assert_allclose(given(iou, masks), expected, rtol=1e-6)
    empty = -torch.ones(1, 3, 3)
    assert float(iou(empty, torch.zeros(1, 3, 3))) == 1 and float(iou(-empty, torch.zeros(1, 3, 3))) == 0


def test_logits_are_brought_to_a_finer_truth(masks):
    logits, truth = torch.from_numpy(masks[0]), torch.zeros(4, 12, 18)
    finer = torch.nn.functional.interpolate(logits[:, None], scale_factor=2, mode="bilinear")[:, 0]
    torch.testing.assert_close(bce(logits, truth), bce(finer, truth))


def test_a_coarser_truth_teaches_every_logit():
    logits = torch.zeros(1, 16, 16, requires_grad=True)
    truth = torch.zeros(1, 4, 4)
    truth[0, 1:3, 1:3] = 1
    for loss in (bce, dice, focal):
        (grad,) = torch.autograd.grad(loss(logits, truth).sum(), logits)
        assert (grad != 0).all() and (grad[0, 6:10, 6:10] < 0).all() and (grad[0, :2] > 0).all()


def test_without_masks_the_mean_is_nothing_and_can_be_learnt_from():
    logits = torch.zeros(0, 4, 4, requires_grad=True)
    for loss in (bce, dice, focal):
        value = averaged(loss(logits, torch.zeros(0, 8, 8)))
        value.backward()
        assert float(value.detach()) == 0
    assert float(averaged(torch.tensor([1.0, 3.0]))) == 2


def test_unequal_numbers_of_masks_are_named():
    with pytest.raises(ValueError, match="2 predicted masks and 3 true"):
        bce(torch.zeros(2, 4, 4), torch.zeros(3, 4, 4))
