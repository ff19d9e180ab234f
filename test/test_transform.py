"""Objects in another frame: the mathematics, the history of /tf, and what is said when there is no transform."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from refseg_ros.core.boxes import quaternion
from refseg_ros.core.transform import (
    RigidTransform,
    rigid_transform,
    rotation_matrix,
    transform_object,
    transform_plane,
    without_transform,
)
from refseg_ros.core.types import Object3D, OrientedBox, Plane

numbers = st.floats(-100, 100, allow_nan=False, width=32)
triples = st.tuples(numbers, numbers, numbers)
quaternions = st.tuples(*[st.floats(-1, 1, width=32)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
transforms = st.builds(rigid_transform, triples, quaternions)
relaxed = settings(deadline=None, max_examples=50)  # a busy machine is no failure
TURN = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))  # a quarter turn about z: x becomes y


def thing(valid=True):
    if not valid:
        return Object3D(3, False, "no depth image", "camera", depth_coverage=0.25)
    points = np.array([[1, 0, 0], [1.5, 0.25, 0], [1, 0, 2]], np.float32)
    box = OrientedBox((1.25, 0.125, 1.0), (2.0, 0.5, 0.25), (0.0, 0.0, 0.0, 1.0))
    return Object3D(3, True, "", "camera", (1.0, 0.125, 0.5), box, points, np.zeros((3, 3), np.uint8), 0.75)


# Mathematics


@relaxed
@given(transforms, triples)
def test_there_and_back(transform, point):
    np.testing.assert_allclose(transform.inverse.apply(transform.apply(np.array(point))), point, atol=1e-9)
    np.testing.assert_allclose((transform.inverse @ transform).rotation, np.eye(3), atol=1e-12)


@relaxed
@given(transforms, transforms, triples)
def test_one_after_the_other(first, second, point):
    both = second @ first
    np.testing.assert_allclose(both.apply(np.array(point)), second.apply(first.apply(np.array(point))), atol=1e-9)


@relaxed
@given(quaternions)
def test_a_quaternion_survives_the_matrix(q):
    q = np.array(q) / np.linalg.norm(q)
    back = np.array(quaternion(rotation_matrix(q)))
    assert min(np.abs(back - q).max(), np.abs(back + q).max()) < 1e-7


@relaxed
@given(quaternions)
def test_rotations_are_those_of_scipy(q):
    np.testing.assert_allclose(rotation_matrix(q), Rotation.from_quat(q).as_matrix(), atol=1e-12)


def test_a_quarter_turn_takes_x_to_y():
    moved = rigid_transform((1, 2, 3), TURN).apply(np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]))
    np.testing.assert_allclose(moved, [[1, 3, 3], [0, 2, 3], [1, 2, 4]], atol=1e-12)


@relaxed
@given(transforms, triples)
def test_heights_above_the_plane_do_not_depend_on_the_frame(transform, point):
    plane = Plane((0.0, -0.6, -0.8), 0.7)
    point = np.array(point)
    moved = transform_plane(plane, transform)
    np.testing.assert_allclose(moved.height(transform.apply(point)), plane.height(point), atol=1e-9)


def test_the_covariance_turns_with_the_object():
    given_cov = replace(thing(), centroid_cov_m2=np.diag([4.0, 1.0, 2.0]))
    o = transform_object(given_cov, rigid_transform((9, 9, 9), TURN), "map")
    np.testing.assert_allclose(o.centroid_cov_m2, np.diag([1.0, 4.0, 2.0]), atol=1e-12)


@pytest.mark.parametrize(("normal", "offset"), [((0, 0, 0), 0.0), ((0, 0, 2), 0.0), ((0, 0, 1), float("nan"))])
def test_numbers_that_are_no_plane_are_refused(normal, offset):
    with pytest.raises(ValueError, match="unit normal"):
        Plane(normal, offset)


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [
        (np.eye(3) * 2, np.zeros(3)),
        (np.diag([1.0, 1.0, -1.0]), np.zeros(3)),
        (np.eye(3), np.array([np.nan, 0, 0])),
        (np.full((3, 3), np.nan), np.zeros(3)),
        (np.eye(4), np.zeros(3)),
        (np.eye(3), np.zeros(4)),
    ],
)
def test_what_is_no_rigid_transform_is_refused(rotation, translation):
    with pytest.raises(ValueError):
        RigidTransform(rotation, translation)


@pytest.mark.parametrize("bad", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (np.inf, 0, 0, 1), (0, 0, 1)])
def test_what_is_no_quaternion_is_refused(bad):
    with pytest.raises(ValueError, match="not a quaternion"):
        rotation_matrix(bad)


# Objects


def test_an_object_moves_and_turns_and_keeps_its_size():
    moved = transform_object(thing(), rigid_transform((10, 0, 0), TURN), "base")
    assert moved.valid and moved.frame_id == "base" and moved.instance == 3 and moved.depth_coverage == 0.75
    np.testing.assert_allclose(moved.points, [[10, 1, 0], [9.75, 1.5, 0], [10, 1, 2]], atol=1e-6)
    np.testing.assert_allclose(moved.centroid_m, (9.875, 1.0, 0.5), atol=1e-9)
    np.testing.assert_allclose(moved.obb.center_m, (9.875, 1.25, 1.0), atol=1e-9)
    np.testing.assert_allclose(moved.obb.quaternion_xyzw, TURN, atol=1e-9)
    assert moved.obb.size_m == (2.0, 0.5, 0.25)


@relaxed
@given(transforms)
def test_an_object_comes_back_the_same(transform):
    back = transform_object(transform_object(thing(), transform, "base"), transform.inverse, "camera")
    np.testing.assert_allclose(back.centroid_m, thing().centroid_m, atol=1e-9)
    np.testing.assert_allclose(back.points, thing().points, atol=1e-4)
    np.testing.assert_allclose(back.obb.quaternion_xyzw, (0, 0, 0, 1), atol=1e-6)


def test_an_object_without_depth_stays_without():
    moved = transform_object(thing(valid=False), rigid_transform((1, 2, 3), TURN), "base")
    assert not moved.valid and moved.reason == "no depth image" and moved.frame_id == "base"


def test_without_a_transform_an_object_is_invalid_with_the_reason():
    gone = without_transform(thing(), "no transform", "base")
    assert not gone.valid and gone.reason == "no transform" and gone.depth_coverage == 0.75 and not len(gone.points)
    assert without_transform(thing(valid=False), "no transform", "base").reason == "no depth image"


# The history of /tf

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND


@pytest.fixture
def history():
    pytest.importorskip("rclpy", reason="needs rclpy")
    pytest.importorskip("pytransform3d")
    from refseg_ros.nodes.transforms import TransformHistory

    made = TransformHistory()
    made.add("base", "wrist", NOW, rigid_transform((0, 0, 1), (0, 0, 0, 1)), static=False)
    made.add("base", "wrist", NOW + SECOND, rigid_transform((0, 0, 2), TURN), static=False)
    made.add("wrist", "camera", 0, rigid_transform((0.5, 0, 0), (0, 0, 0, 1)), static=True)
    made.add("map", "base", 0, rigid_transform((100, 0, 0), (0, 0, 0, 1)), static=True)
    return made


def refused(history, target, source, stamp_ns):
    from refseg_ros.nodes.transforms import NoTransform

    with pytest.raises(NoTransform) as raised:
        history.lookup(target, source, stamp_ns)
    return str(raised.value)


@pytest.mark.parametrize(
    ("share", "origin"),
    [(0.0, (0.5, 0, 1)), (1.0, (0, 0.5, 2)), (0.5, (0.5 * np.sqrt(0.5), 0.5 * np.sqrt(0.5), 1.5))],
)
def test_a_moving_frame_is_taken_at_the_stamp(history, share, origin):
    stamp = NOW + round(share * SECOND)
    np.testing.assert_allclose(history.lookup("base", "camera", stamp).apply(np.zeros(3)), origin, atol=1e-7)
    np.testing.assert_allclose(history.lookup("camera", "base", stamp).apply(np.array(origin)), 0, atol=1e-7)
    in_map = history.lookup("map", "camera", stamp).apply(np.zeros(3))
    np.testing.assert_allclose(in_map, np.add(origin, (100, 0, 0)), atol=1e-7)


def test_a_slash_before_a_name_does_not_matter(history):
    assert np.allclose(history.lookup("/base", "/camera", NOW).translation, (0.5, 0, 1))


def test_the_nearest_two_of_many_places_are_used(history):
    for i in range(2, 100):
        history.add("base", "wrist", NOW + i * SECOND // 10 + SECOND, rigid_transform((i, 0, 0), TURN), static=False)
    found = history.lookup("base", "wrist", NOW + SECOND + 425 * SECOND // 100)
    np.testing.assert_allclose(found.translation, (42.5, 0, 0), atol=1e-6)


def test_static_frames_hold_at_any_stamp(history):
    assert np.allclose(history.lookup("wrist", "camera", 5).translation, (0.5, 0, 0))


def test_late_and_early_stamps_are_never_answered_with_another_moment(history):
    late = refused(history, "base", "camera", NOW + SECOND + 40_000_000)
    assert late == "that is 0.040 s after the newest place of 'wrist' in 'base'"
    assert "0.500 s before the first place" in refused(history, "base", "camera", NOW - SECOND // 2)


def test_frames_that_are_not_connected_name_what_there_is(history):
    said = refused(history, "moon", "camera", NOW)
    assert "not connected" in said and "base, camera, map, wrist" in said


def test_frames_in_a_circle_are_an_error_and_no_endless_loop(history):
    history.add("camera", "map", 0, rigid_transform((0, 0, 0), TURN), static=True)
    assert "its own ancestor" in refused(history, "base", "camera", NOW)


def test_a_frame_may_get_another_parent_and_a_clock_may_start_anew(history):
    history.add("hand", "camera", 0, rigid_transform((7, 0, 0), TURN), static=True)
    assert np.allclose(history.lookup("hand", "camera", NOW).translation, (7, 0, 0))
    history.add("base", "wrist", 5 * SECOND, rigid_transform((9, 0, 0), TURN), static=False)
    assert np.allclose(history.lookup("base", "wrist", 5 * SECOND).translation, (9, 0, 0))
    refused(history, "base", "wrist", NOW)


def test_stragglers_are_ignored_and_old_places_forgotten(history):
    history.add("base", "wrist", NOW + SECOND // 2, rigid_transform((50, 0, 0), TURN), static=False)
    assert history.lookup("base", "wrist", NOW + SECOND // 2).translation[0] < 1
    history.add("base", "wrist", NOW + 12 * SECOND, rigid_transform((0, 0, 3), TURN), static=False)
    assert "before the first" in refused(history, "base", "wrist", NOW + SECOND)


def test_a_transform_message_becomes_a_transform():
    pytest.importorskip("rclpy", reason="needs rclpy")
    from refseg_ros.nodes.transforms import transform_of

    def vector(**fields):
        return SimpleNamespace(**fields)

    message = vector(translation=vector(x=1.0, y=2.0, z=3.0), rotation=vector(x=0.0, y=0.0, z=2.0, w=2.0))
    np.testing.assert_allclose(transform_of(message).apply(np.array([1.0, 0, 0])), (1, 3, 3), atol=1e-12)
    message.rotation = vector(x=0.0, y=0.0, z=0.0, w=0.0)
    with pytest.raises(ValueError, match="not a quaternion"):
        transform_of(message)
