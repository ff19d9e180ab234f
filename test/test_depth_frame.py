"""Depth from a camera of its own: registered to the colour image through TF and its camera info, over DDS."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from geometry_msgs.msg import TransformStamped
from helpers.robot import FOUND
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from refseg_ros.core.transform import NoTransform, rigid_transform
from refseg_ros.nodes import depth_frames
from refseg_ros.nodes.depth_frames import DepthFrames
from refseg_ros.nodes.images import fill_image
from refseg_ros.nodes.sync import COLOR, DEPTH

ASIDE = 0.05  # metres to the right of the colour camera


class Known:
    """Transforms that are known from the second look-up on."""

    def __init__(self, known_after=1):
        self.asked, self._after = [], known_after

    def lookup(self, *asked):
        self.asked.append(asked)
        if len(self.asked) <= self._after:
            raise NoTransform("nobody has said so")
        return rigid_transform((ASIDE, 0, 0), (0, 0, 0, 1))

    def destroy(self):
        self.asked.append("destroyed")


def test_tf_is_heard_once_depth_comes_in_another_frame(monkeypatch):
    made = []
    monkeypatch.setattr(depth_frames, "listen", lambda node: made.append(Known()) or made[-1])
    frames = DepthFrames(None)
    with pytest.raises(NoTransform, match="nothing of /tf"):
        frames.to_color("a", "b", 7, 0.1)
    for kind, frame_id in ((COLOR, "a"), (DEPTH, "/a"), ("color_info", "b"), (DEPTH, "")):
        frames.heard(kind, frame_id)
    assert not made
    frames.heard(DEPTH, "b")
    frames.heard(DEPTH, "b")
    (known,) = made
    with pytest.raises(NoTransform, match="nobody"):
        frames.to_color("a", "b", 7, 0.1)
    assert frames.to_color("a", "b", 8, 0.1).translation[0] == ASIDE
    frames.to_color("a", "b", 9, 0.1)
    frames.destroy()
    assert known.asked == [("a", "b", 7, 0.1), ("a", "b", 8, 0.0), ("a", "b", 9, 0.1), "destroyed"]


def test_depth_of_another_camera_is_where_the_colour_camera_sees_it(quick):
    node = quick.node
    infos = node.create_publisher(CameraInfo, "depth/camera_info", 5)
    k = [100.0, 0.0, 39.75, 0.0, 100.0, 29.75, 0.0, 0.0, 1.0]

    def spoil(color, _, info):
        """Half the colour camera's resolution, beside it: its view of the red thing, 0.6 m away, is further left."""
        millimetres = np.full((60, 80), 1000, np.uint16)
        millimetres[10:25, 2:22] = 600
        header = Header(stamp=color.header.stamp, frame_id="depth_optical")
        depth = fill_image(Image(header=header), millimetres, "16UC1")
        infos.publish(CameraInfo(header=depth.header, width=80, height=60, k=k, distortion_model="plumb_bob"))
        return color, depth, info

    quick.spoil = spoil

    def asked(condition):
        answers = []

        def once():
            answers.append(quick.ask("the red thing"))
            return answers[-1].outcome == FOUND and condition(answers[-1].objects[0])

        assert quick.until(once), answers[-1].objects[0].reason
        return answers[-1].objects[0]

    try:
        thing = asked(lambda o: "no transform between them" in o.reason)
        assert not thing.valid and "'depth_optical'" in thing.reason and "'camera_optical'" in thing.reason
        pytest.importorskip("tf2_msgs", reason="tf2_msgs is not among the ROS 2 wheels")
        message = importlib.import_module("tf2_msgs.msg").TFMessage
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        static = node.create_publisher(message, "/tf_static", latched)
        place = TransformStamped(child_frame_id="depth_optical")
        place.header.frame_id = "camera_optical"
        place.transform.translation.x, place.transform.rotation.w = ASIDE, 1.0
        static.publish(message(transforms=[place]))
        thing = asked(lambda o: o.valid)
        centre = thing.centroid
        np.testing.assert_allclose((centre.x, centre.y, centre.z), (-0.12, -0.075, 0.6), atol=0.006)
    finally:
        node.destroy_publisher(infos)
