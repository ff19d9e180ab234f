"""How pictures reach the node: compressed, and through a QoS that somebody has changed."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from helpers.robot import FOUND
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image


def compressed(message, form):
    """A raw rgb8 or 16UC1 image as a JPEG or PNG CompressedImage with the same header."""
    if message.encoding == "rgb8":
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)[..., ::-1]
    else:
        pixels = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
    data = cv2.imencode(f".{form}", pixels)[1].tobytes()
    return CompressedImage(header=message.header, format=form, data=array("B", data))


def test_compressed_pictures_are_read_and_lifted(robot):
    color = robot.node.create_publisher(CompressedImage, "image_raw/compressed", 5)
    depth = robot.node.create_publisher(CompressedImage, "depth/image_raw/compressed", 5)

    def spoil(color_message, depth_message, info):
        color.publish(compressed(color_message, "jpeg"))
        depth.publish(compressed(depth_message, "png"))
        return None, None, info

    robot.start(
        "color_transport:=compressed", "depth_transport:=compressed",
        remaps=("image_raw:=image_raw/compressed", "depth/image_raw:=depth/image_raw/compressed"),
    )  # fmt: skip
    robot.spoil = spoil
    robot.ready()
    assert robot.until(lambda: robot.ask("the red thing").objects[0].valid)
    result = robot.ask("the red thing")
    assert result.outcome == FOUND and abs(result.objects[0].centroid.z - 0.6) < 0.005
    assert abs(result.instances[0].roi.width - 40) <= 4  # JPEG blurs an edge
    robot.spoil = lambda c, d, i: (color.publish(CompressedImage(header=c.header, format="jpeg", data=b"no")), None, i)
    assert robot.until(lambda: robot.ask("the red thing").error_code == "IMAGE_UNREADABLE")
    robot.spoil = spoil
    assert robot.until(lambda: robot.ask("the red thing").outcome == FOUND)
    robot.stop()


def test_a_camera_that_cannot_be_heard_is_named(robot):
    """The subscription is made reliable by a parameter, and the camera is best effort."""
    robot.reset()
    robot.node.destroy_publisher(robot.color)
    robot.color = robot.node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    robot.start("qos_overrides./image_raw.subscription.reliability:=reliable", "frame_wait_s:=0.5")
    assert robot.until(robot.once.service_is_ready)
    robot.seen["/diagnostics"].clear()

    def named():
        keys = {v.key for m in robot.seen["/diagnostics"] for v in m.status[0].values}
        return "qos_mismatch image_raw" in keys

    assert robot.until(named, 10), "the mismatch is not in the diagnostics"
    assert robot.until(lambda: "image_raw" in robot.ask("the red thing").error_message)
    robot.node.destroy_publisher(robot.color)
    robot.color = robot.node.create_publisher(Image, "image_raw", QoSProfile(depth=5))
    assert robot.until(lambda: robot.ask("the red thing").outcome == FOUND)
    robot.stop()
