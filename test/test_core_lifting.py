"""Camera and lifting: geometry against truth, and no point that no pixel measured."""

import cv2
import numpy as np
import pytest
from core_fakes import frame
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refseg_ros.core.boxes import oriented_box, quaternion
from refseg_ros.core.camera import RayGrid, pixel_rays, project
from refseg_ros.core.lifting import Lifter, LiftingConfig
from refseg_ros.core.types import Frame, Instance, Intrinsics

CAMERA = Intrinsics(320, 240, 300.0, 310.0, 158.0, 121.0)
DISTORTED = Intrinsics(320, 240, 300.0, 310.0, 158.0, 121.0, (0.1, -0.15, 0.002, -0.001, 0.03))


@pytest.mark.parametrize("camera", [CAMERA, DISTORTED])
def test_rays_undo_projection(camera):
    rays = pixel_rays(camera, 0, 0, 320, 240)
    points = np.concatenate([rays, np.ones((240, 320, 1))], -1).reshape(-1, 3) * 2.5
    grid = np.stack(np.meshgrid(np.arange(320), np.arange(240)), -1).reshape(-1, 2)
    assert np.abs(project(points, camera) - grid).max() < 0.01


def test_projection_agrees_with_opencv():
    points = np.random.default_rng(0).uniform([-0.4, -0.3, 0.8], [0.4, 0.3, 2], (50, 3))
    theirs, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), DISTORTED.k, np.array(DISTORTED.distortion))
    assert np.allclose(project(points, DISTORTED), theirs.reshape(-1, 2), atol=1e-6)


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(project([[0, 0, -1], [0, 0, 0]], CAMERA)).all()


@pytest.mark.parametrize(
    ("lens", "degrees"),
    [
        ((), None),
        ((0.1, -0.15, 0.002, -0.001, 0.03), None),
        ((-0.3, 0.1, 0, 0), None),
        ((-0.3, 0, 0, 0), 46.5),
        ((0, -0.2, 0, 0, 0), 45.0),
    ],
)
def test_what_is_beside_the_view_of_a_bent_lens_is_not_in_the_picture(lens, degrees):
    camera = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5, lens)
    angles = np.radians(np.arange(0.5, 89.0))
    columns = project(np.stack([np.sin(angles), 0 * angles, np.cos(angles)], 1), camera)[:, 0]
    seen = np.isfinite(columns)
    assert (np.diff(columns[seen]) > 0).all()  # farther aside is farther out
    assert np.degrees(angles[~seen]).min(initial=90) == pytest.approx(degrees or 90, abs=1.0)


def test_grid_is_cached_by_camera_and_impossible_distortion_has_no_ray():
    grid = RayGrid()
    assert grid.rays(DISTORTED) is grid.rays(DISTORTED)
    assert grid.rays(CAMERA).shape == (240, 320, 2)
    folded = Intrinsics(320, 240, 60.0, 60.0, 160.0, 120.0, (-0.9, 0.0, 0.0, 0.0, 0.0))
    rays = pixel_rays(folded, 0, 0, 320, 240)
    assert np.isnan(rays[0, 0]).all() and np.isfinite(rays[120, 160]).all()


def box_scene(camera, slant=0.0):
    """A front face 0.2 m x 0.1 m at 1 m before a wall at 1.5 m: frame and instance."""
    rays = pixel_rays(camera, 0, 0, camera.width, camera.height).astype(np.float64)
    on_face = 1.0 / (1.0 - slant * rays[..., 0])
    face = (np.abs(rays[..., 0] * on_face) <= 0.1) & (np.abs(rays[..., 1] * on_face) <= 0.05)
    depth = np.where(face, on_face, 1.5).astype(np.float32)
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    rgb[face] = (200, 10, 20)
    return Frame(rgb, depth, camera), Instance(1, 0, 0.9, face, (0, 0))


@pytest.mark.parametrize("camera", [CAMERA, DISTORTED])
@pytest.mark.parametrize("slant", [0.0, 0.5])
def test_box_is_measured(camera, slant):
    scene, instance = box_scene(camera, slant)
    (o,) = Lifter().lift(scene, [instance])
    assert o.valid and o.depth_coverage == 1.0
    assert np.allclose(o.centroid_m, (0, 0, 1), atol=0.006)
    assert np.allclose(o.obb.size_m[:2], (0.2 * np.hypot(1, slant), 0.1), atol=0.015)
    assert np.allclose(o.obb.center_m, o.centroid_m, atol=0.008)  # its near half has more pixels
    assert np.isclose(np.linalg.norm(o.obb.quaternion_xyzw), 1)
    assert (o.colors == (200, 10, 20)).all() and len(o.colors) == len(o.points)


def test_a_mask_that_bleeds_onto_the_wall_keeps_the_object():
    scene, instance = box_scene(CAMERA)
    wide = cv2.dilate(instance.mask.astype(np.uint8), np.ones((7, 7))).astype(np.bool_)
    (o,) = Lifter().lift(scene, [Instance(1, 0, 0.9, wide, (0, 0))])
    assert o.valid and o.points[:, 2].max() < 1.01


@pytest.mark.parametrize(
    ("given_frame", "reason"),
    [
        (frame(), "no depth image"),
        (Frame(frame().rgb, depth_problem="the depth topic is silent"), "the depth topic is silent"),
        (Frame(frame().rgb, np.ones((24, 32), np.float32)), "32 x 24"),
        (frame(depth=1.0, k=False), "no camera intrinsics"),
        (Frame(frame().rgb, frame(depth=1.0).depth, CAMERA), "camera info is for 320 x 240"),
        (frame(depth=0.0), "only 0 of"),
        (frame(depth=float("nan")), "only 0 of"),
        (frame(depth=float("inf")), "only 0 of"),
        (frame(depth=-1.0), "only 0 of"),
        (frame(depth=50.0), "only 0 of"),
    ],
)
def test_no_depth_no_object_and_a_reason(given_frame, reason):
    (o,) = Lifter().lift(given_frame, [Instance(1, 0, 0.9, np.ones((20, 20), np.bool_), (5, 5))])
    assert not o.valid and reason in o.reason and o.centroid_m is None and not len(o.points)


def test_coverage_and_single_pixels_and_lines():
    depth = np.zeros((48, 64), np.float32)
    depth[10, 10] = 1.0
    square = Instance(1, 0, 0.9, np.ones((40, 40), np.bool_), (0, 0))
    assert "only 1 of" in Lifter().lift(frame(depth=depth), [square])[0].reason
    depth[12, :35] = 1.0
    assert "covers" in Lifter().lift(frame(depth=depth), [square])[0].reason
    line = Instance(1, 0, 0.9, np.ones((1, 40), np.bool_), (0, 12))
    assert "degenerate" in Lifter().lift(frame(depth=1.0), [line])[0].reason


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        (12, 16),
        elements=st.one_of(
            st.floats(0.5, 2.0, width=32),
            st.sampled_from([0.0, -1.0, np.nan, np.inf, -np.inf, 1e-38, np.float32(3e38), 9.99]),
        ),
    ),
    hnp.arrays(np.bool_, (12, 16)),
    st.sampled_from([(), (0.3, -0.4, 0.01, 0.02, 0.1), (-3.0, 9.0, 1.0, 1.0, 5.0)]),
)
def test_hostile_depth_never_makes_a_point_up(depth, mask, distortion):
    if not mask.any():
        mask[3, 3] = True
    camera = Intrinsics(16, 12, 20.0, 20.0, 8.0, 6.0, distortion)
    f = Frame(np.zeros((12, 16, 3), np.uint8), depth, camera)
    config = LiftingConfig(min_points=4)
    (o,) = Lifter(config).lift(f, [Instance(1, 0, 0.5, mask, (0, 0))])
    if not o.valid:
        assert o.reason
        return
    readings = depth[mask]
    assert np.isin(o.points[:, 2], readings).all() and len(o.points) <= mask.sum()
    assert (o.points[:, 2] > config.min_depth_m).all() and (o.points[:, 2] < config.max_depth_m).all()
    assert np.isfinite(o.centroid_m).all() and np.isfinite(o.obb.size_m).all() and min(o.obb.size_m) >= 0.001


def test_quaternion_and_box_are_right_handed():
    rng = np.random.default_rng(1)
    for _ in range(50):
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        r = q * np.sign(np.linalg.det(q))
        x, y, z, w = quaternion(r)
        back = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        assert np.allclose(back, r, atol=1e-9)
    cloud = rng.uniform(-0.5, 0.5, (5000, 3)) * (0.3, 0.2, 0.1) + (0, 0, 1)
    box = oriented_box(cloud.T.astype(np.float32), 0.0)
    assert np.allclose(box.size_m, (0.3, 0.2, 0.1), atol=0.02)


@pytest.mark.parametrize(
    "bad",
    [
        {"min_depth_m": 2.0, "max_depth_m": 1.0},
        {"max_depth_m": float("inf")},
        {"gap_m": 0.0},
        {"table_m": 0.0},
        {"min_coverage": 2.0},
        {"min_points": 3},
        {"step_ratio": float("nan")},
    ],
)
def test_config_is_validated(bad):
    with pytest.raises(ValueError):
        LiftingConfig(**bad)
