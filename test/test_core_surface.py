"""Which pixels of a mask are the thing's: flying pixels, steps, layers, specks, holes, and what hides it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refseg_ros.core import surface
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.surface import SurfaceConfig
from refseg_ros.core.types import Frame, Instance, Intrinsics

CONFIG = SurfaceConfig()
CAMERA = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)
RGB = np.zeros((120, 160, 3), np.uint8)


def scene(noise=0.0, seed=0):
    """A thing at 0.8 m, pixels (40:100, 50:110), before a wall at 1.2 m; its mask, which bleeds 2 pixels."""
    depth = np.full((120, 160), 1.2, np.float32)
    depth[40:100, 50:110] = 0.8
    depth += np.random.default_rng(seed).normal(0, 1, depth.shape).astype(np.float32) * noise * depth * depth
    mask = np.zeros(depth.shape, np.bool_)
    mask[38:102, 48:112] = True
    return depth, mask


def lift(depth, mask, **given):
    (o,) = Lifter().lift(
        Frame(RGB, depth.astype(np.float32), given.get("camera", CAMERA)), [Instance(1, 0, 1.0, mask, (0, 0))]
    )
    return o


def test_flying_pixels_between_two_surfaces_are_no_points():
    depth, mask = scene(noise=0.0012)
    rng = np.random.default_rng(1)
    edge = np.zeros(depth.shape, np.bool_)
    edge[40:100, [50, 109]] = edge[[40, 99], 50:110] = True
    edge &= rng.random(depth.shape) < 0.4
    depth[edge] = rng.uniform(0.82, 1.18, int(edge.sum()))
    o = lift(depth, mask)
    assert np.abs(o.points[:, 2] - 0.8).max() < 0.02  # a tenth of the way to the wall at most
    assert len(o.points) > 0.9 * 60 * 60


def test_the_rim_of_a_thing_is_kept():
    depth, mask = scene()
    assert len(lift(depth, mask).points) == 60 * 60 - 4  # the median at a corner is the wall's


@pytest.mark.parametrize("slope", [0.0, 1.0, 1.5])
def test_a_slanted_surface_neither_flies_nor_has_steps(slope):
    x = (np.arange(160) - 79.5) / 150.0
    depth = np.broadcast_to(0.8 / (1 - slope * x[None] * 0.9), (120, 160)).astype(np.float32)
    depth = np.where((depth > 0) & (depth < 2), depth, 0)
    z, valid = surface.readings(depth, CONFIG)
    inner = np.zeros(depth.shape, np.bool_)
    inner[5:-5, 30:100] = valid[5:-5, 30:100] > 0
    assert not (surface.flying(z, CONFIG)[inner] > 0).any()
    assert not (surface.behind_step(z, valid, surface.edge_depth(z, CONFIG))[inner] > 0).any()


def test_holes_stay_holes():
    depth, mask = scene()
    depth[60:70, 70:80] = 0
    depth[80:84, 60:66] = np.nan
    o = lift(depth, mask)
    pixels = np.round(o.points[:, :2] / o.points[:, 2:] * 150 + 79.5).astype(int)
    columns, rows = pixels[:, 0], np.round(o.points[:, 1] / o.points[:, 2] * 150 + 59.5).astype(int)
    assert not ((rows >= 60) & (rows < 70) & (columns >= 70) & (columns < 80)).any()
    assert not ((rows >= 80) & (rows < 84) & (columns >= 60) & (columns < 66)).any()


def test_layers_are_told_apart_and_parts_of_one_thing_joined():
    depth, mask = scene()
    mask[38:102, 112:150] = True  # more wall
    depth[40:100, 75:80] = 0.5  # a rod before the thing, inside the mask
    o = lift(depth, mask)
    assert np.allclose(o.layer_depths_m, (0.8, 1.2, 0.5), atol=0.01)
    assert np.allclose(o.points[:, 2], 0.8) and o.points[:, 0].min() < -0.1 and o.points[:, 0].max() > 0.1


def test_a_thing_that_hides_a_part_of_itself_is_one_and_its_outline_drawn_too_wide_is_not():
    depth, mask = scene()
    depth[40:100, 80:110] = 0.85  # the floor of a tray behind its wall
    o = lift(depth, mask)
    assert 0.85 not in np.round(o.layer_depths_m, 2) and np.isclose(o.points[:, 2].max(), 0.85)
    depth[:, 110:] = depth[:40] = depth[100:] = 0.85
    depth[40:100, 80:110] = 0.8  # the same depth all around: two pixels of it in the mask are no part of the thing
    o = lift(depth, mask)
    assert np.allclose(o.points[:, 2], 0.8) and np.allclose(o.layer_depths_m[1:], 0.85)


def test_what_is_rough_all_over_is_measured_where_its_outline_lets_nothing_in():
    depth, mask = scene()
    depth[40:100, 70:110:2] = 0.86  # the pages of a book
    o = lift(depth, mask)
    assert o.valid and o.points[:, 0].max() > (105 - 79.5) / 150 * 0.8 and o.points[:, 2].max() < 0.9


def test_specks_go():
    depth, mask = scene()
    depth[20:24, 20:24] = 0.8
    mask[20:24, 20:24] = True
    o = lift(depth, mask)
    assert o.points[:, 0].min() > (48 - 79.5) / 150 * 0.8


def test_something_nearer_beside_it_hides_it_and_its_own_parts_do_not():
    depth, mask = scene()
    assert not lift(depth, mask).occluded
    depth[60:100, 90:130] = 0.6
    assert not lift(depth, mask | (depth == np.float32(0.6))).occluded
    mask[60:100, 90:130] = False
    assert lift(depth, mask).occluded
    mask[57:100, 87:93] = True  # the mask has a little of what hides it
    assert lift(depth, mask).occluded
    depth[40:57, 90:110] = depth[57:100, 84:130] = 1.2  # between the two there is a way through
    assert not lift(depth, mask).occluded


def test_the_border_truncates():
    depth, mask = scene()
    assert not lift(depth, mask).truncated
    depth[40:100, 50:] = 0.8
    mask[38:102, 48:] = True
    assert lift(depth, mask).truncated


@pytest.mark.parametrize("noise", [0.003, 0.008])
def test_a_noisier_camera_is_measured_and_still_gives_objects(noise):
    depth, mask = scene(noise=noise)
    assert abs(surface.measured_noise(depth, CONFIG) - noise) < 0.15 * noise
    o = lift(depth, mask)
    assert o.valid and len(o.points) > 0.85 * 3600 and np.allclose(o.centroid_m, (0, 0.056, 0.8), atol=0.006)


@pytest.mark.parametrize("most", [2.0, 10.0])
def test_noise_alone_is_no_object(most):
    depth = np.random.default_rng(2).uniform(0.05, most, (120, 160)).astype(np.float32)
    o = lift(depth, scene()[1])
    assert not o.valid and ("noise" in o.reason or "hang together" in o.reason)


def test_a_wire_is_an_object():
    depth, mask = np.full((120, 160), 1.2, np.float32), np.zeros((120, 160), np.bool_)
    mask[np.arange(20, 100), np.round(80 + 9 * np.sin(np.arange(80) / 15)).astype(int)] = True  # a pixel wide
    depth[mask] = np.linspace(0.8, 0.82, 80)
    o = lift(depth, mask)
    assert o.valid and abs(o.centroid_m[2] - 0.81) < 0.001 and len(o.points) == 80


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (14, 18),
        elements=st.one_of(
            st.floats(0.25, 3.0, width=32), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e-38, 3e38])
        ),
    ),
    hnp.arrays(np.bool_, (14, 18)),
    st.integers(1, 40),
)
def test_layers_are_part_of_the_pixels(depth, mask, smallest):
    z, valid = surface.readings(depth, CONFIG)
    assert np.isfinite(z).all() and ((valid > 0) == ((depth > np.float32(0.05)) & (depth < 10))).all()
    noisy = (surface.flying(z, CONFIG) | surface.behind_step(z, valid, surface.edge_depth(z, CONFIG))) > 0
    pixels = (valid * mask * ~noisy).astype(np.uint8)
    chosen, depths = surface.layers(z, pixels, CONFIG, smallest, 3.0)
    assert not ((chosen > 0) & (pixels == 0)).any()
    assert ((chosen > 0).any() and len(depths) > 0) == bool(pixels.any())
    assert all(0.05 < d < 10 for d in depths)


@pytest.mark.parametrize(
    ("name", "value"),
    [("noise", 0.0), ("outlier", -1.0), ("step_m", float("nan")), ("step_ratio", 1.0), ("max_depth_m", 0.01)],
)
def test_config_is_validated(name, value):
    with pytest.raises(ValueError, match=name):
        SurfaceConfig(**{name: value})
