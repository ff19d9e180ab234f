"""The way from image to network input and back: exact for points, ramps and areas, blind to the padding."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from refseg_ros.models.backbones.geometry import Geometry, letterbox, normalised, stretched  # noqa: E402

SIDES = st.integers(8, 200)
GEOMETRIES = st.one_of(
    st.builds(lambda w, h, s: letterbox((w, h), s), SIDES, SIDES, st.integers(16, 128)),
    st.builds(lambda w, h, s: letterbox((w, h), s, multiple=16), SIDES, SIDES, st.integers(16, 128)),
    st.builds(lambda w, h, a, b: stretched((w, h), (16 * a, 16 * b)), SIDES, SIDES, *[st.integers(1, 8)] * 2),
)


@settings(max_examples=60, deadline=None)
@given(GEOMETRIES, st.data())
def test_boxes_come_back_as_they_went(geometry, data):
    width, height = geometry.original
    x = sorted(data.draw(st.lists(st.floats(0, width), min_size=2, max_size=2)))
    y = sorted(data.draw(st.lists(st.floats(0, height), min_size=2, max_size=2)))
    box = torch.tensor([[x[0], y[0], x[1], y[1]]], dtype=torch.float64)
    there = geometry.boxes_to_input(box)
    assert (there >= 0).all() and (there[..., :2] <= 1).all()
    assert torch.allclose(geometry.boxes_to_image(there), box, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(GEOMETRIES, st.sampled_from([1, 2, 4]), st.floats(-1, 1), st.floats(-1, 1))
def test_a_ramp_of_logits_is_a_ramp_in_the_image(geometry, stride, slope_x, slope_y):
    """Bilinear interpolation reproduces an affine function: any shift or scale in the way back would show."""
    rows, cols = -(-geometry.padded[1] // stride), -(-geometry.padded[0] // stride)
    assume(geometry.inside((rows, cols)).any())  # a picture narrower than half a cell has none of its own
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) * geometry.padded[1] / rows / geometry.scale[1]
    x = (torch.arange(cols, dtype=torch.float64) + 0.5) * geometry.padded[0] / cols / geometry.scale[0]
    logits = (slope_y * y[:, None] + slope_x * x[None])[None]
    out = geometry.to_image(logits)[0]
    at_y = torch.arange(out.shape[0], dtype=torch.float64) + 0.5
    at_x = torch.arange(out.shape[1], dtype=torch.float64) + 0.5
    inner_y = (at_y >= y[0]) & (at_y <= y[geometry.inside((rows, cols)).any(1)][-1])
    inner_x = (at_x >= x[0]) & (at_x <= x[geometry.inside((rows, cols)).any(0)][-1])
    wanted = slope_y * at_y[inner_y][:, None] + slope_x * at_x[inner_x][None]
    assert torch.allclose(out[inner_y][:, inner_x], wanted, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(GEOMETRIES, st.sampled_from([(4, 4), (7, 5), (16, 16)]))
def test_shares_add_up_to_the_area(geometry, grid):
    width, height = geometry.original
    masks = (torch.rand(2, height, width, generator=torch.Generator().manual_seed(width)) > 0.5).float()
    shares = geometry.to_grid(masks, grid)
    cell = (geometry.padded[0] / grid[1]) * (geometry.padded[1] / grid[0])
    pixel = geometry.scale[0] * geometry.scale[1]
    assert torch.allclose(shares.sum((1, 2)) * cell, masks.sum((1, 2)) * pixel, rtol=1e-4)
    assert shares.min() >= 0 and shares.max() <= 1 + 1e-5


def test_what_stands_in_the_padding_is_not_read():
    geometry = letterbox((64, 32), 64)
    logits = torch.full((1, 16, 16), -5.0)
    logits[:, 8:] = 1e6
    assert (geometry.to_image(logits) == -5).all()
    assert geometry.inside((16, 16)).sum() == 8 * 16


@settings(max_examples=30, deadline=None)
@given(st.integers(40, 160), st.integers(40, 160), st.data())
def test_a_rectangle_survives_the_way_there_and_back(width, height, data):
    geometry = letterbox((width, height), 128, multiple=32)
    x0, y0 = data.draw(st.integers(0, width // 2)), data.draw(st.integers(0, height // 2))
    mask = torch.zeros(1, height, width)
    mask[0, y0 : y0 + height // 3, x0 : x0 + width // 3] = 1
    share = geometry.to_grid(mask, (geometry.padded[1] // 2, geometry.padded[0] // 2))
    back = geometry.to_image(share - 0.5) > 0
    both, either = (back & (mask > 0)).sum(), (back | (mask > 0)).sum()
    assert both / either > 0.8


def test_the_image_lies_where_the_geometry_says():
    rgb = np.zeros((50, 100, 3), np.uint8)
    rgb[:, 50:] = 200
    geometry = letterbox((100, 50), 64)
    placed = geometry.place(rgb, fill=7)
    assert placed.shape == (64, 64, 3) and (placed[32:] == 7).all()
    assert (placed[:32, :31] == 0).all() and (placed[:32, 33:] == 200).all()
    assert normalised(placed, (0.5,) * 3, (0.5,) * 3).shape == (3, 64, 64)


def test_impossible_sizes_and_other_images_are_refused():
    with pytest.raises(ValueError, match="original"):
        Geometry(original=(0, 4), resized=(4, 4), padded=(4, 4))
    with pytest.raises(ValueError, match="must fit"):
        Geometry(original=(4, 4), resized=(8, 4), padded=(4, 4))
    with pytest.raises(ValueError, match="the image is"):
        letterbox((4, 4), 8).place(np.zeros((5, 4, 3), np.uint8))
