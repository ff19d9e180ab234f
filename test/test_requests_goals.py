"""The frame that a goal brings with it: its masks always come, and what costs it the 3-D is said to its sender."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from sensor_msgs.msg import CameraInfo, Image

from refseg_ros.action import Segment
from refseg_ros.core.outcome import RequestError
from refseg_ros.nodes.frames import NOT_RECTIFIED, Rectified
from refseg_ros.nodes.goal_frames import given_frame
from refseg_ros.nodes.images import fill_image

K = [200.0, 0.0, 80.0, 0.0, 200.0, 60.0, 0.0, 0.0, 1.0]
P = [180.0, 0.0, 81.0, 0.0, 0.0, 185.0, 61.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def stamped(message, at_ms, frame_id):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(at_ms * 10**6, 10**9)
    message.header.frame_id = frame_id
    return message


def goal(
    at_ms=100_000, depth_at_ms=100_000, size=(160, 120), depth_size=(160, 120), depth_frame="camera", **info
):  # fmt: skip
    image = fill_image(Image(), np.zeros((*size[::-1], 3), np.uint8), "rgb8")
    depth = fill_image(Image(), np.full(depth_size[::-1], 800, np.uint16), "16UC1")
    camera = CameraInfo(width=size[0], height=size[1], distortion_model="plumb_bob", **(info or {"k": K}))
    return Segment.Goal(
        image=stamped(image, at_ms, "camera"), depth=stamped(depth, depth_at_ms, depth_frame), camera_info=camera
    )


def refused(frame, said):
    assert frame.depth is None and said in frame.depth_problem, frame.depth_problem
    assert "topic" not in frame.depth_problem and "arrived" not in frame.depth_problem
    assert frame.rgb.size  # masks need no depth


@pytest.mark.parametrize(("at_ms", "depth_at_ms"), [(100_000, 100_000), (100_000, 100_050), (0, 40_000), (100_000, 0)])
def test_depth_of_the_same_moment_or_of_none_said_is_taken(at_ms, depth_at_ms):
    frame = given_frame(goal(at_ms, depth_at_ms), NOT_RECTIFIED, 0.0)
    assert frame.depth_problem == "" and frame.depth[60, 80] == pytest.approx(0.8) and frame.intrinsics.fx == 200.0


def test_depth_of_another_moment_is_not_taken():
    minute = given_frame(goal(depth_at_ms=40_000), NOT_RECTIFIED, 0.0)
    refused(minute, "60000 ms away from its image, over the slop of 50 ms")
    refused(given_frame(goal(depth_at_ms=100_051), NOT_RECTIFIED, 0.0), "51 ms away")


def test_the_slop_is_the_cameras_where_one_was_chosen():
    strict = given_frame(goal(depth_at_ms=100_030), NOT_RECTIFIED, 0.02)
    refused(strict, "30 ms away from its image, over the slop of 20 ms")
    assert given_frame(goal(depth_at_ms=100_400), NOT_RECTIFIED, 0.5).depth_problem == ""


@pytest.mark.parametrize("info", [{"k": K, "p": P}, {"p": P}])
def test_rectified_images_need_p_and_no_k(info):
    frame = given_frame(goal(**info), Rectified(color=True), 0.0)
    assert frame.depth_problem == "" and (frame.intrinsics.fx, frame.intrinsics.cy) == (180.0, 61.0)


def test_a_matrix_that_is_missing_is_named_by_what_the_other_would_hold_for():
    refused(given_frame(goal(k=K), Rectified(color=True), 0.0), "P of the camera info is empty")
    refused(given_frame(goal(p=P), NOT_RECTIFIED, 0.0), "calibrate")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": [0.0] * 9}, "the goal's camera_info is empty; fill it"),
        (
            {"size": (200, 100), "depth_size": (100, 50)},
            "the goal's depth is 100 x 50 and its image 200 x 100; send depth aligned to the image",
        ),
        (
            {"depth_frame": "depth"},
            "the goal's depth is in frame 'depth' and its image in 'camera'; send depth aligned to the image",
        ),
        ({"depth_size": (0, 0)}, "the goal brought no depth image"),
    ],
)
def test_what_is_said_is_of_the_goal(change, said):
    refused(given_frame(goal(**change), NOT_RECTIFIED, 0.0), said)


def test_frames_by_another_spelling_or_none_are_the_same():
    for depth_frame in ("/camera", ""):
        assert given_frame(goal(depth_frame=depth_frame), NOT_RECTIFIED, 0.0).depth_problem == ""


def test_an_image_that_is_none_is_an_error():
    with pytest.raises(RequestError):
        given_frame(Segment.Goal(), NOT_RECTIFIED, 0.0)
