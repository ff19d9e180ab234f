"""What the node listens to while it is active: the camera's topics, and instructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from refseg_ros.nodes.requests import BURST
from refseg_ros.nodes.sync import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LOOK_S = 0.2  # how often a latched camera info is looked for until it is there

Keep = Callable[[str, Any], None]  # what kind of nodes.sync, and the message


def transport_topic(node: Node, name: str, transport: str) -> str:
    """Where a picture comes by a transport: below the topic that `name` is remapped to, as image_transport has it. Who
    remapped it to the transport's own topic meant that one."""
    base = node.resolve_topic_name(name)
    return name if transport == "raw" or base.endswith(f"/{transport}") else f"{base}/{transport}"


class Inputs:
    """Subscriptions, made at activation. keep: takes each message of the camera; mismatch: gives, for a topic's name,
    what to call when a publisher's QoS does not fit. topics: what kind of nodes.sync comes where, full names."""

    def __init__(
        self, node: Node, values: Mapping[str, Any], keep: Keep, on_instruction: Callable[[String], None],
        mismatch: Callable[[str], Callable[[Any], None]],
    ) -> None:  # fmt: skip
        self._node, self._keep, self._mismatch = node, keep, mismatch
        self._all: list[Any] = []
        self.topics: dict[str, str] = {}
        options = QoSOverridingOptions.with_default_policies()
        for kind, name in ((COLOR, "image_raw"), (DEPTH, "depth/image_raw")):
            transport = values[f"{kind}_transport"]
            label = name if transport == "raw" else f"{name}/{transport}"
            message = Image if transport == "raw" else CompressedImage
            self._listen(kind, message, transport_topic(node, name, transport), label, options)
        for kind, name in ((COLOR_INFO, "camera_info"), (DEPTH_INFO, "depth/camera_info")):
            self._listen(kind, CameraInfo, name, name, options)
        self._all.append(
            node.create_subscription(
                String,
                "instruction",
                on_instruction,
                BURST,
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=mismatch("instruction")),
            )
        )
        self._latched = LatchedInfos(node, {kind: self.topics[kind] for kind in (COLOR_INFO, DEPTH_INFO)}, keep)

    def _listen(self, kind: str, message: Any, topic: str, label: str, options: QoSOverridingOptions) -> None:
        subscription = self._node.create_subscription(
            message, topic, lambda m: self._heard(kind, m), qos_profile_sensor_data,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._mismatch(label)),
            qos_overriding_options=options,
        )  # fmt: skip
        self.topics[kind] = subscription.topic_name
        self._all.append(subscription)

    def _heard(self, kind: str, message: Any) -> None:
        self._latched.needless.add(kind)
        self._keep(kind, message)

    def published(self, kind: str) -> bool:
        """Whether somebody publishes the topic of a kind, heard or not."""
        return self._node.count_publishers(self.topics[kind]) > 0

    def destroy(self) -> None:
        """Stop listening."""
        self._latched.destroy()
        for subscription in self._all:
            self._node.destroy_subscription(subscription)
        self._all = []


class LatchedInfos:
    """Hears a camera info that its driver published once, latched, before this node listened.

    Only a reader that asks for it is given what was said before, and a publisher that is not latched warns its owner of
    such a reader. So one is made where a publisher is latched, and goes when an info has come. topics: kind -> full
    name. needless: the kinds that have been heard.
    """

    def __init__(self, node: Node, topics: Mapping[str, str], keep: Keep) -> None:
        self.needless: set[str] = set()
        self._node, self._topics, self._keep = node, topics, keep
        self._readers: dict[str, Any] = {}
        # Whatever time the robot lives by: a simulation may stand still while the node starts.
        self._timer: Any = node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._look()

    def _look(self) -> None:
        for kind, topic in self._topics.items():
            if kind in self.needless:
                self._drop(kind)
            elif kind not in self._readers:
                publishers = self._node.get_publishers_info_by_topic(topic)
                if any(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers):
                    self._readers[kind] = self._read(kind, topic)
        if self._timer is not None and self.needless >= set(self._topics):
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _read(self, kind: str, topic: str) -> Any:
        def on_info(message: CameraInfo) -> None:
            self.needless.add(kind)
            self._keep(kind, message)

        return self._node.create_subscription(
            CameraInfo, topic, on_info, LATCHED, event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False)
        )

    def _drop(self, kind: str) -> None:
        if kind in self._readers:
            self._node.destroy_subscription(self._readers.pop(kind))

    def destroy(self) -> None:
        """Stop looking and listening."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        for kind in self._topics:
            self._drop(kind)
