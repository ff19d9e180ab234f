"""The node's publishers: everything the contract lists, on one stamp, made only when somebody listens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from refseg_ros.core.camera import RayGrid
from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.tracks import Tracked
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.msg import (
    InstanceArray,
    Object3DArray,
    RejectionArray,
    SegmentationResult,
    TrackArray,
    TrackEventArray,
)
from refseg_ros.nodes import clouds, results, tracks
from refseg_ros.nodes.images import byte_array, fill_image
from refseg_ros.nodes.markers import markers
from refseg_ros.nodes.optional_outputs import OptionalOutputs
from refseg_ros.nodes.target import TargetObjects

TOPICS: dict[str, Any] = {
    "result": SegmentationResult,
    "masks": InstanceArray,
    "rejections": RejectionArray,
    "objects": Object3DArray,
    "target/objects": Object3DArray,
    "label_mask": Image,
    "object_points": PointCloud2,
    "scene_points": PointCloud2,
    "overlay": Image,
    "overlay/compressed": CompressedImage,
    "markers": MarkerArray,
    "tracks": TrackArray,
    "track_events": TrackEventArray,
}

# Who asks by topic finds the answer here: a burst must not push answers out that are still on their way.
DEPTHS = {"result": 200, "track_events": 200}
# An answer that is on its way while the node is deactivated must still get out: this one is silent in no state.
UNMANAGED = ("result",)
LAST_WORDS_S = 1.0  # how long answers have to reach their readers before the topic is taken down


class Outputs:
    """Publishers, made at configure. publish() is called on the thread that has the answer: with a frame, the worker's.

    mismatch: gives, for a topic's name, what to call when a subscriber's QoS cannot be served. rays: the camera's,
    shared with the lifter.
    """

    def __init__(self, node: LifecycleNode, mismatch: Callable[[str], Callable[[Any], None]], rays: RayGrid) -> None:
        self._node = node
        self._rays = rays
        self.target = TargetObjects(node)
        self._optional = OptionalOutputs()
        options = QoSOverridingOptions.with_default_policies()
        self._publishers = {}
        for name, kind in (TOPICS | self._optional.types).items():
            events = PublisherEventCallbacks(incompatible_qos=mismatch(f"~/{name}"))
            create = node.create_publisher if name in UNMANAGED else node.create_lifecycle_publisher
            self._publishers[name] = create(
                kind, f"~/{name}", QoSProfile(depth=DEPTHS.get(name, 10)), qos_overriding_options=options,
                event_callbacks=events,
            )

    def destroy(self) -> None:
        """Take the topics down."""
        self.target.destroy()
        for name in UNMANAGED:
            if name in self._publishers and rclpy.ok():
                self._publishers[name].wait_for_all_acked(Duration(seconds=LAST_WORDS_S))
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)
        self._publishers = {}

    def _wanted(self, name: str) -> bool:
        return bool(self._publishers[name].get_subscription_count())

    def publish(
        self, message: SegmentationResult, result: Segmentation, frame: Frame | None, with_overlay: bool,
        tracked: Tracked | None = None,
    ) -> None:
        """Publish one answer. An ERROR goes out on ~/result, and on the pictures; never as an empty list.

        tracked: what continuous mode follows.
        """
        send = {name: publisher.publish for name, publisher in self._publishers.items() if self._wanted(name)}
        if "result" in send:
            send["result"](message)
        if frame is None:
            return
        if with_overlay and ("overlay" in send or "overlay/compressed" in send):
            self._publish_overlay(send, result, frame)
        if result.error is not None:
            return
        makers: dict[str, Callable[[], Any]] = {
            "masks": lambda: results.instance_array(message),
            "rejections": lambda: results.rejection_array(message),
            "objects": lambda: results.object_array(message),
            "label_mask": lambda: results.label_mask(result, frame),
            "object_points": lambda: results.object_points(result, frame),
            "markers": lambda: markers(result, frame),
            "scene_points": lambda: clouds.scene_cloud(results.header_of(frame), frame, self._rays),
            **{name: partial(self._optional.make, name, result, frame) for name in self._optional.types},
            "target/objects": lambda: self.target.array(result, frame, message.request),  # last: it may have to wait
        }
        if tracked is not None:
            makers["tracks"] = lambda: tracks.track_array(tracked, frame, message.request)
            makers["track_events"] = lambda: tracks.event_array(tracked, frame, message.request)
        for name, make in makers.items():
            if name in send and (made := make()) is not None:
                send[name](made)

    def _publish_overlay(self, send: dict[str, Any], result: Segmentation, frame: Frame) -> None:
        picture = draw_overlay(frame.rgb, result, frame.intrinsics)
        header = results.header_of(frame)
        if "overlay" in send:
            send["overlay"](fill_image(Image(header=header), picture, "rgb8"))
        if "overlay/compressed" in send:
            ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
            if ok:
                send["overlay/compressed"](CompressedImage(header=header, format="jpeg", data=byte_array(data)))
