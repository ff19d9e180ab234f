"""Which topics the node listens to, and how it hears a camera info that was said once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from rclpy.qos import DurabilityPolicy

from refseg_ros.nodes.inputs import LatchedInfos, transport_topic
from refseg_ros.nodes.sync import COLOR_INFO, DEPTH_INFO

TOPICS = {COLOR_INFO: "/camera_info", DEPTH_INFO: "/depth/camera_info"}


class FakeNode:
    """Publishers by topic, remapped names, and what was made: readers by topic, timers."""

    def __init__(self, publishers=(), remapped=()):
        self.publishers, self.remapped = dict(publishers), dict(remapped)
        self.readers, self.timers = {}, []

    def resolve_topic_name(self, name):
        return self.remapped.get(name, f"/{name}")

    def get_publishers_info_by_topic(self, topic):
        durabilities = self.publishers.get(topic, ())
        return [SimpleNamespace(qos_profile=SimpleNamespace(durability=d)) for d in durabilities]

    def create_subscription(self, _, topic, callback, qos, **__):
        assert qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        self.readers[topic] = callback
        return topic

    def destroy_subscription(self, topic):
        del self.readers[topic]

    def create_timer(self, _, callback, clock):
        self.timers.append(callback)
        return callback

    def destroy_timer(self, timer):
        self.timers.remove(timer)


@pytest.mark.parametrize(
    ("transport", "remapped", "topic"),
    [
        ("raw", "/cam/rgb", "image_raw"),  # rclpy remaps it
        ("compressed", "/image_raw", "/image_raw/compressed"),
        ("compressed", "/cam/rgb", "/cam/rgb/compressed"),
        ("compressedDepth", "/cam/depth", "/cam/depth/compressedDepth"),
        ("compressed", "/cam/rgb/compressed", "image_raw"),
        ("compressedDepth", "/cam/rgb/compressed", "/cam/rgb/compressed/compressedDepth"),
    ],
)
def test_a_transport_is_below_the_image_topic(transport, remapped, topic):
    assert transport_topic(FakeNode(remapped={"image_raw": remapped}), "image_raw", transport) == topic


def test_only_a_latched_publisher_gets_a_latched_reader_and_only_until_an_info_has_come():
    """Any other publisher would warn its owner of a reader that it cannot serve."""
    node, heard = FakeNode({"/camera_info": [DurabilityPolicy.VOLATILE]}), []
    latched = LatchedInfos(node, TOPICS, lambda *told: heard.append(told))
    (look,) = node.timers
    look()
    assert not node.readers
    node.publishers["/camera_info"] = [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
    look()
    look()
    assert set(node.readers) == {"/camera_info"}
    node.readers["/camera_info"]("the info")
    assert heard == [(COLOR_INFO, "the info")]
    look()
    assert not node.readers and node.timers, "the depth camera's is still looked for"
    latched.needless.add(DEPTH_INFO)  # heard without
    look()
    assert not node.timers


def test_nothing_is_left_of_the_looking():
    node = FakeNode({topic: [DurabilityPolicy.TRANSIENT_LOCAL] for topic in TOPICS.values()})
    latched = LatchedInfos(node, TOPICS, lambda *_: None)
    assert set(node.readers) == set(TOPICS.values())
    latched.destroy()
    latched.destroy()
    assert not node.readers and not node.timers
