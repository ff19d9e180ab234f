"""Masks that follow the picture's edges, and stay as they are where it has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg_ros.core.types import Frame
from refseg_ros.models.compact.edges import Edges

INNER = (160, 120)


def _frame(true, colours=((90, 60, 40), (60, 90, 120)), depths=None):
    rng = np.random.default_rng(0)
    rgb = np.where(true[..., None], colours[0], colours[1]) + rng.normal(0, 3, (*true.shape, 3))
    depth = None if depths is None else np.where(true, *depths).astype(np.float32)
    return Frame(np.clip(rgb, 0, 255).astype(np.uint8), depth)


def _whole(found, shape):
    mask, (x, y) = found
    out = np.zeros(shape, np.bool_)
    out[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return out


def _iou(a, b):
    return (a & b).sum() / (a | b).sum()


def _true(height=240, width=320):
    y, x = np.mgrid[:height, :width]
    return ((x - 150) / 60) ** 2 + ((y - 110) / 40) ** 2 < 1


def _rough():
    """The same at half the size, a pixel too small and one too far to the right."""
    y, x = np.mgrid[: INNER[1], : INNER[0]]
    return ((x - 76) / 29) ** 2 + ((y - 55) / 19) ** 2 < 1


def test_a_mask_that_is_a_little_off_ends_where_the_colours_do():
    true = _true()
    rough = _rough()
    assert _iou(np.kron(rough, np.ones((2, 2), np.bool_)), true) < 0.92
    assert _iou(_whole(Edges(_frame(true), INNER).followed(rough), true.shape), true) > 0.96


def test_depth_alone_shows_where_a_thing_ends():
    true, rough, grey = _true(), _rough(), ((90, 90, 90), (90, 90, 90))
    frame = _frame(true, grey, depths=(0.7, 0.8))
    frame.depth[::7, ::5] = np.nan
    assert _iou(_whole(Edges(frame, INNER).followed(rough), true.shape), true) > 0.94
    flat = _frame(true, grey, depths=(0.7, 0.7))
    assert _iou(_whole(Edges(flat, INNER).followed(rough), true.shape), true) < 0.93


@pytest.mark.parametrize("wide", [1, 2, 5, 40])
def test_where_there_is_nothing_to_see_a_mask_stays(wide):
    frame = Frame(np.full((240, 320, 3), 120, np.uint8))
    rough = np.zeros(INNER[::-1], np.bool_)
    rough[30:70, 20 : 20 + wide] = True
    found = _whole(Edges(frame, INNER).followed(rough), (240, 320))
    assert _iou(found, np.kron(rough, np.ones((2, 2), np.bool_))) > (0.6 if wide < 3 else 0.9)


def test_nothing_stays_nothing():
    assert Edges(_frame(_true()), INNER).followed(np.zeros(INNER[::-1], np.bool_)) is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(1, 1), (3, 200), (17, 31), (240, 320), (600, 500)]), st.integers(0, 2**31),
    st.sampled_from(["none", "noise", "holes", "empty"]),
)
def test_any_mask_on_any_frame_is_answered_within_it(shape, seed, kind):
    rng = np.random.default_rng(seed)
    depth = None if kind == "none" else rng.uniform(0, 5, shape).astype(np.float32)
    if kind == "holes":
        depth[rng.random(shape) < 0.5] = rng.choice([np.nan, np.inf, 0, -1])
    elif kind == "empty":
        depth[:] = np.nan
    frame = Frame(rng.integers(0, 256, (*shape, 3), np.uint8), depth)
    rough = np.zeros(INNER[::-1], np.bool_)
    top, left = rng.integers(0, INNER[1]), rng.integers(0, INNER[0])
    rough[top : top + rng.integers(1, 60), left : left + rng.integers(1, 60)] = True
    found = Edges(frame, INNER).followed(rough)
    assert found is not None or min(shape) < INNER[1]  # nothing is lost where a frame has the pixels for it
    if found is not None:
        mask, (x, y) = found
        assert mask.any() and x >= 0 and y >= 0
        assert x + mask.shape[1] <= shape[1] and y + mask.shape[0] <= shape[0]
