"""Depth of another camera in the colour picture: right place, right depth, hidden things hidden, nothing made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refseg_ros.core.camera import pixel_rays, project
from refseg_ros.core.registration import DepthRegistration
from refseg_ros.core.transform import RigidTransform
from refseg_ros.core.types import Intrinsics

COLOR = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)
COARSE = Intrinsics(80, 60, 75.0, 75.0, 39.5, 29.5)
WIDE = Intrinsics(100, 80, 60.0, 62.0, 48.0, 41.0)
BENT = Intrinsics(100, 80, 60.0, 62.0, 48.0, 41.0, (0.1, -0.05, 0.001, 0.002, 0.0))
ASIDE = RigidTransform(np.eye(3), np.array([-0.05, 0.01, 0.002]))


def plane_depth(camera, slope=0.3, at=1.0):
    """z of the plane z = at + slope x."""
    rays = pixel_rays(camera, 0, 0, camera.width, camera.height).astype(np.float64)
    return (at / (1 - slope * rays[..., 0])).astype(np.float32)


@pytest.mark.parametrize("camera", [COARSE, WIDE, BENT])
def test_from_one_viewpoint_the_same_surface_is_seen(camera):
    depth = plane_depth(camera)
    out = DepthRegistration().register(depth, camera, COLOR)
    seen = out > 0
    assert seen.mean() > 0.95 and np.isin(out[seen], depth).all()
    assert np.abs(out - plane_depth(COLOR))[seen].max() < 0.01  # half a depth pixel along the slope


def test_the_same_camera_changes_nothing():
    depth = plane_depth(COLOR)
    depth[10:20, 10:20] = 0
    np.testing.assert_array_equal(DepthRegistration().register(depth, COLOR, COLOR), depth)


@pytest.mark.parametrize("camera", [COLOR, COARSE, WIDE, BENT])
def test_from_beside_the_same_surface_is_seen(camera):
    depth = plane_depth(camera)
    out = DepthRegistration().register(depth, camera, COLOR, ASIDE)
    rays = pixel_rays(COLOR, 0, 0, 160, 120).astype(np.float64)
    # The plane z = 1 + 0.3 x moved by t: z = 1 + t_z + 0.3 (x - t_x)
    truth = (1 + 0.002 + 0.3 * 0.05) / (1 - 0.3 * rays[..., 0])
    seen = out > 0
    inner = seen[10:-10, 15:-15]
    assert inner.mean() > 0.98 and np.abs(out - truth)[seen].max() < 0.012


def test_what_is_near_hides_what_is_far():
    depth = np.full((120, 160), 2.0, np.float32)
    depth[40:80, 60:100] = 0.5
    out = DepthRegistration().register(depth, COLOR, COLOR, ASIDE)
    near = out < 1
    near[out == 0] = False
    corners = project([[(60.0 - 79.5) / 150 * 0.5 - 0.05, 0, 0.502]], COLOR)
    columns = np.flatnonzero(near.any(0))
    assert abs(columns[0] - corners[0, 0]) <= 1.5 and len(columns) in range(39, 43)
    assert not (out[near.argmax(0).max() : 79, columns[1] : columns[-2]] > 1).any()


@pytest.mark.parametrize("transform", [None, ASIDE])
def test_no_reading_no_depth(transform):
    for value in (0.0, np.nan, np.inf, -1.0):
        out = DepthRegistration().register(np.full((60, 80), value, np.float32), COARSE, COLOR, transform)
        assert not (np.isfinite(out) & (out > 0)).any()


def test_a_size_that_is_not_the_cameras_is_refused():
    with pytest.raises(ValueError, match="80 x 60"):
        DepthRegistration().register(np.ones((48, 64), np.float32), COARSE, COLOR)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (12, 16),
        elements=st.one_of(st.floats(0.25, 4, width=32), st.sampled_from([0.0, np.nan, np.inf, -1.0, 1e-30, 3e38])),
    ),
    st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
def test_hostile_depth_makes_nothing_up(depth, shift):
    small = Intrinsics(16, 12, 15.0, 15.0, 7.5, 5.5)
    color = Intrinsics(32, 24, 30.0, 30.0, 15.5, 11.5)
    out = DepthRegistration().register(depth, small, color, RigidTransform(np.eye(3), np.array(shift)))
    readings = depth[np.isfinite(depth) & (depth > 0)].astype(np.float64) + shift[2]
    made = out[out > 0].astype(np.float64)
    assert all(np.isclose(readings, m, rtol=1e-5, atol=1e-6).any() for m in np.unique(made))
    same = DepthRegistration().register(depth, small, color)
    assert np.isin(same[np.isfinite(same)], np.append(depth[np.isfinite(depth)], 0)).all()
