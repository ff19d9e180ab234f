"""How pictures reach the node: compressed, and through a QoS that somebody has changed."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from helpers.robot import FOUND
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image


def compressed(message, form):
    """A raw rgb8 or 16UC1 image as a JPEG or PNG CompressedImage with the same header."""
    if message.encoding == "rgb8":
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)[..., ::-1]
    else:
        pixels = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
    data = cv2.imencode(f".{form}", pixels)[1].tobytes()
    return CompressedImage(header=message.header, format=form, data=array("B", data))


def compressed_depth(message):
    """As image_transport's compressedDepth sends 16UC1."""
    png = compressed(message, "png")
    data = array("B", bytes(12)) + png.data
    return CompressedImage(header=message.header, format="16UC1; compressedDepth png", data=data)


@pytest.mark.parametrize(
    ("depth_by", "remaps"),
    [
        ("compressed", ()),
        ("compressedDepth", ("image_raw:=cam/rgb", "depth/image_raw:=cam/depth")),
        ("compressed", ("image_raw:=image_raw/compressed", "depth/image_raw:=depth/image_raw/compressed")),
    ],
    ids=["below the names", "below the remapped topics", "remapped to the very topics"],
)
def test_compressed_pictures_are_read_and_lifted(robot, depth_by, remaps):
    base = ("cam/rgb", "cam/depth") if depth_by == "compressedDepth" else ("image_raw", "depth/image_raw")
    color = robot.node.create_publisher(CompressedImage, f"{base[0]}/compressed", 5)
    depth = robot.node.create_publisher(CompressedImage, f"{base[1]}/{depth_by}", 5)

    def spoil(color_message, depth_message, info):
        color.publish(compressed(color_message, "jpeg"))
        packed = compressed(depth_message, "png") if depth_by == "compressed" else compressed_depth(depth_message)
        depth.publish(packed)
        return None, None, info

    robot.stop()
    robot.start("color_transport:=compressed", f"depth_transport:={depth_by}", remaps=remaps)
    robot.spoil = spoil
    robot.ready()
    assert robot.until(lambda: robot.thing("the red thing").valid)
    result = robot.ask("the red thing")
    assert result.outcome == FOUND and abs(result.objects[0].centroid.z - 0.6) < 0.005
    assert abs(result.instances[0].roi.width - 40) <= 4  # JPEG blurs an edge
    robot.spoil = lambda c, d, i: (color.publish(CompressedImage(header=c.header, format="jpeg", data=b"no")), None, i)
    assert robot.until(lambda: robot.ask("the red thing").error_code == "IMAGE_UNREADABLE")
    robot.spoil = spoil
    assert robot.until(lambda: robot.ask("the red thing").outcome == FOUND)
    robot.stop()
    robot.reset()
    robot.node.destroy_publisher(color)
    robot.node.destroy_publisher(depth)


def level_and_message(robot):
    """Of the newest diagnostics."""
    seen = robot.seen["/diagnostics"]
    seen.clear()
    assert robot.until(lambda: seen, 10)
    return seen[-1].status[0].level, seen[-1].status[0].message


def test_a_camera_info_that_was_said_once_is_heard_and_kept(robot):
    """Latched, before the node was there; and its publisher is gone when the node is activated a second time."""
    robot.reset()
    robot.spoil = lambda color, depth, info: (color, depth, None)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = robot.node.create_publisher(CameraInfo, "camera_info", latched)
    info.publish(robot.info_of(robot.image()))
    robot.stop()
    robot.start("max_frame_age_s:=5.0")
    robot.ready()
    assert robot.until(lambda: robot.thing("the red thing").valid)
    robot.node.destroy_publisher(info)
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert robot.call(robot.change, request).success
    assert robot.until(lambda: robot.ask("the red thing").outcome == FOUND)
    assert robot.until(lambda: robot.thing("the red thing").valid)
    robot.stop()


def test_what_keeps_objects_from_3d_is_in_the_diagnostics(robot):
    """No camera info, then one of another size, then depth of no image; all is well once they come as they should."""
    robot.spoil = lambda color, depth, info: (color, depth, None)
    robot.stop()
    robot.start("max_frame_age_s:=5.0")
    robot.ready()
    wrong = [
        (lambda c, d, i: (c, d, None), "no camera info has arrived"),
        (lambda c, d, i: (c, d, CameraInfo(header=i.header, width=320, height=240, k=i.k)), "is for 320 x 240"),
        (lambda c, d, i: (c, None, i), "the depth images stopped"),
    ]
    for spoil, said in wrong:
        robot.spoil = spoil
        found = lambda: (x := level_and_message(robot))[0] == DiagnosticStatus.WARN and said in x[1]  # noqa: B023, E731
        assert robot.until(found, 15), (said, level_and_message(robot))
    robot.reset()
    well = (DiagnosticStatus.OK, "active")
    assert robot.until(lambda: level_and_message(robot) == well, 15), level_and_message(robot)
    robot.stop()


def test_a_simulation_that_stands_still_keeps_its_newest_image(robot):
    """Its clock and its camera stop together; longer than an image may be old."""
    robot.reset()
    clock = robot.node.create_publisher(Clock, "/clock", 10)

    def taken_at_100_s(color, depth, info):
        clock.publish(Clock(clock=Time(sec=100)))
        for message in (color, depth, info):
            message.header.stamp = Time(sec=100)
        return color, depth, info

    robot.spoil = taken_at_100_s
    robot.stop()
    robot.start("use_sim_time:=true", "max_frame_age_s:=0.5")
    robot.ready()
    robot.spoil = lambda *_: (None, None, None)
    robot.spin(1.5)
    assert robot.ask("the red thing").outcome == FOUND

    def goes_on():
        clock.publish(Clock(clock=Time(sec=110)))  # the node hears it as best effort
        return robot.ask("the red thing").error_code == "STALE_FRAME"

    assert robot.until(goes_on)
    robot.stop()
    robot.reset()
    robot.node.destroy_publisher(clock)


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
