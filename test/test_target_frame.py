"""~/target/objects: the objects in another frame at the image's stamp, or the reason on each of them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from geometry_msgs.msg import TransformStamped
from helpers.robot import ABSENT, FOUND, parameter
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.core.transform import NoTransform, rigid_transform
from refseg_ros.core.types import Frame, Instance, Object3D, OrientedBox, PhraseVerdict, Segmentation
from refseg_ros.msg import Object3DArray
from refseg_ros.nodes import target, transforms
from refseg_ros.nodes.target import Target, TargetObjects

QUARTER = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))
PIXELS = np.zeros((40, 60, 3), np.uint8)


class OneTransform:
    """Knows one transform, at one stamp."""

    def __init__(self, stamp_ns):
        self.stamp_ns, self.asked = stamp_ns, []

    def lookup(self, target, source, stamp_ns, wait_s):
        self.asked.append((target, source, stamp_ns, wait_s))
        if stamp_ns != self.stamp_ns:
            raise NoTransform("it is late")
        return rigid_transform((10, 0, 0), QUARTER)

    def destroy(self):
        self.asked.append("destroyed")


def answer():
    points = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 2]], np.float32)
    box = OrientedBox((1.0, 0.5, 1.0), (2.0, 1.0, 0.25), (0.0, 0.0, 0.0, 1.0))
    whole = Object3D(1, True, "", "camera", (1.0, 0.25, 0.5), box, points, np.zeros((3, 3), np.uint8), 0.75)
    mask = np.ones((2, 2), bool)
    return Segmentation(
        "all things", Outcome.FOUND, (60, 40), "test",
        phrases=(PhraseVerdict("things", Verdict.FOUND, 0.9, (1, 2)),),
        instances=(Instance(1, 0, 0.9, mask, (0, 0)), Instance(2, 0, 0.9, mask, (4, 4))),
        objects=(whole, Object3D(2, False, "no depth image", "camera")),
    )  # fmt: skip


@pytest.fixture
def known(monkeypatch):
    """Target objects whose transforms know one stamp."""
    made = OneTransform(5_000_000_007)
    monkeypatch.setattr(target, "listen", lambda node: made)
    objects = TargetObjects(None)
    objects.choose(Target("base", 0.3, with_points=True))
    return objects, made


def frame(stamp_ns=5_000_000_007):
    return Frame(PIXELS, frame_id="camera", stamp_ns=stamp_ns)


def test_objects_are_published_in_the_frame_on_the_images_stamp(known):
    objects, transforms_ = known
    array = objects.array(answer(), frame(), request=7)
    assert (array.header.frame_id, array.header.stamp.sec, array.header.stamp.nanosec) == ("base", 5, 7)
    assert array.request == 7 and transforms_.asked == [("base", "camera", 5_000_000_007, 0.3)]
    whole, without = array.objects
    assert whole.valid and (whole.size.x, whole.size.y, whole.size.z) == (2.0, 1.0, 0.25)
    np.testing.assert_allclose((whole.centroid.x, whole.centroid.y, whole.centroid.z), (9.75, 1.0, 0.5), atol=1e-9)
    q = whole.pose.orientation
    np.testing.assert_allclose((q.x, q.y, q.z, q.w), QUARTER, atol=1e-9)
    assert whole.points.header.frame_id == "base" and whole.points.width == 3
    first = np.frombuffer(whole.points.data, np.float32)[:3]
    np.testing.assert_allclose(first, (10, 1, 0), atol=1e-6)
    assert not without.valid and without.reason == "no depth image"


def test_without_a_transform_every_object_names_the_frames_and_the_stamp(known):
    objects, _ = known
    array = objects.array(answer(), frame(8_000_000_001), request=7)
    assert [o.instance for o in array.objects] == [1, 2] and not any(o.valid for o in array.objects)
    assert array.objects[0].reason == "no transform from 'camera' to 'base' at 8.000000001: it is late"
    assert array.objects[1].reason == "no depth image" and len(array.objects[0].points.data) == 0


def test_many_requests_on_one_image_wait_for_its_transform_once(known):
    objects, transforms_ = known
    for _ in range(3):
        objects.array(answer(), frame(1), request=1)
    assert [wait for *_, wait in transforms_.asked] == [0.3, 0.0, 0.0]


def test_an_image_without_a_stamp_has_no_transform(known):
    objects, transforms_ = known
    array = objects.array(answer(), frame(0), request=1)
    assert "carries no stamp" in array.objects[0].reason and transforms_.asked == []


def test_the_cameras_own_frame_needs_no_transform(known):
    objects, transforms_ = known
    objects.choose(Target("camera", 0.3, with_points=False))
    (whole, _) = objects.array(answer(), frame(0), request=1).objects
    assert whole.valid and whole.centroid.x == 1.0 and len(whole.points.data) == 0 and transforms_.asked == []


def test_without_a_frame_nothing_is_published_and_nothing_is_listened_to(monkeypatch):
    monkeypatch.setattr(target, "listen", lambda node: pytest.fail("listens"))
    objects = TargetObjects(None)
    objects.choose(Target("", 0.3, with_points=True))
    assert objects.array(answer(), frame(), request=1) is None


def test_where_tf_cannot_be_heard_that_is_the_reason(monkeypatch):
    monkeypatch.setattr(transforms.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoTransform, match="neither tf2_ros nor tf2_msgs and pytransform3d is installed"):
        transforms.listen(None).lookup("base", "camera", 1, 0.0)


# Over DDS


@pytest.fixture
def aimed(quick):
    """A robot that hears ~/target/objects, and sets target_frame."""
    if "target" not in quick.seen:
        quick.seen["target"] = []
        quick.node.create_subscription(Object3DArray, "refseg/target/objects", quick.seen["target"].append, 10)

    def aim(frame_id):
        request = SetParameters.Request(parameters=[parameter("target_frame", frame_id)])
        assert quick.call(quick.set, request).results[0].successful

    quick.aim = aim
    yield quick
    aim("")


def pair(robot, instruction="the red thing", condition=lambda array: True):
    """The answer to a request and its copy, once the condition on the copy holds."""
    found = []

    def asked():
        robot.seen["target"].clear()
        result = robot.ask(instruction)
        robot.until(lambda: robot.seen["target"], 1.0)
        found[:] = [(result, a) for a in robot.seen["target"] if a.request == result.request]
        return bool(found) and condition(found[0][1])

    assert robot.until(asked), found
    return found[0]


def test_a_frame_that_nobody_publishes_is_a_reason_on_each_object(aimed):
    aimed.aim("nowhere")
    result, array = pair(aimed)
    stamp = result.header.stamp
    assert array.header.frame_id == "nowhere" and array.header.stamp == stamp
    (obj,) = array.objects
    assert not obj.valid and obj.instance == result.objects[0].instance
    place = f"no transform from 'camera_optical' to 'nowhere' at {stamp.sec}.{stamp.nanosec:09d}: "
    assert obj.reason.startswith(place) and len(obj.reason) > len(place)
    assert result.objects[0].valid and result.header.frame_id == "camera_optical", "the other outputs stay as they are"


def test_what_is_absent_is_an_empty_list_in_any_frame(aimed):
    aimed.aim("nowhere")
    result, array = pair(aimed, "the blue thing")
    assert result.outcome == ABSENT and array.objects == []


def test_the_copy_ends_with_the_parameter(aimed):
    aimed.aim("nowhere")
    pair(aimed)
    aimed.aim("")
    aimed.seen["target"].clear()
    assert aimed.ask("the red thing").outcome == FOUND
    assert not aimed.until(lambda: aimed.seen["target"], 0.5)


def place(parent, child, translation, stamp, rotation=(0.0, 0.0, 0.0, 1.0)):
    out = TransformStamped(child_frame_id=child)
    out.header.frame_id, out.header.stamp = parent, stamp
    t, r = out.transform.translation, out.transform.rotation
    t.x, t.y, t.z = map(float, translation)
    r.x, r.y, r.z, r.w = map(float, rotation)
    return out


def test_a_moving_camera_is_where_it_was_at_the_images_stamp(aimed):
    pytest.importorskip("tf2_msgs", reason="tf2_msgs is not among the ROS 2 wheels")
    message = importlib.import_module("tf2_msgs.msg").TFMessage
    node = aimed.node
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    fixed = node.create_publisher(message, "/tf_static", latched)
    moving = node.create_publisher(message, "/tf", 100)
    began = node.get_clock().now()

    def publish():
        now = node.get_clock().now()
        metres = (now - began).nanoseconds / 1e9  # it drives along x at 1 m/s
        moving.publish(message(transforms=[place("base", "wrist", (metres, 0, 0), now.to_msg())]))

    timer = node.create_timer(0.02, publish)
    fixed.publish(message(transforms=[place("wrist", "camera_optical", (0, 0, 2), began.to_msg(), QUARTER)]))
    try:
        aimed.aim("base")
        result, array = pair(aimed, condition=lambda a: a.objects and a.objects[0].valid)
        here, there = result.objects[0].centroid, array.objects[0].centroid
        driven = (Time.from_msg(result.header.stamp) - began).nanoseconds / 1e9
        np.testing.assert_allclose(
            (there.x, there.y, there.z), (driven - here.y, here.x, here.z + 2), atol=0.001
        )
        timer.cancel()
        _, late = pair(aimed, condition=lambda a: a.objects and not a.objects[0].valid)
        assert "after the newest place of 'wrist' in 'base'" in late.objects[0].reason or "extrapolation" in (
            late.objects[0].reason.lower()
        )
    finally:
        node.destroy_timer(timer)
        for publisher in (fixed, moving):
            node.destroy_publisher(publisher)
