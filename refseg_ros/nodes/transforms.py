"""Where a frame was at an image's stamp: from tf2_ros where it is installed, else from /tf and /tf_static themselves.

Both are asked the same question and answer it with a transform or with a sentence that says why there is none. A
transform of another moment is never used instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from refseg_ros.core.boxes import quaternion
from refseg_ros.core.transform import NoTransform, RigidTransform, rigid_transform

KEPT_S = 10.0  # what tf2 keeps
POLL_S = 0.005
MOST_STEPS = 5000  # a second's worth of a very fast frame, times KEPT_S


class Transforms(Protocol):
    """Asked on the worker's thread while the executor's fills it."""

    def lookup(self, target: str, source: str, stamp_ns: int, wait_s: float) -> RigidTransform:
        """From source to target at a stamp, waiting up to wait_s for one that is late. Raises NoTransform."""
        ...

    def destroy(self) -> None:
        """Stop listening."""
        ...


def listen(node: Node) -> Transforms:
    """What can be had here: tf2_ros, /tf by tf2_msgs, or neither, which says so at every look-up."""
    if importlib.util.find_spec("tf2_ros") is not None:
        return Tf2Transforms(node)
    missing = [name for name in ("tf2_msgs", "pytransform3d") if importlib.util.find_spec(name) is None]
    if missing:
        return Unavailable(f"neither tf2_ros nor {' and '.join(missing)} is installed, so nothing of /tf is heard")
    return TopicTransforms(node)


class Unavailable:
    """Transforms that cannot be heard."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def lookup(self, target: str, source: str, stamp_ns: int, wait_s: float) -> RigidTransform:
        raise NoTransform(self._reason)

    def destroy(self) -> None:
        """Nothing was begun."""


class Tf2Transforms:
    """The distribution's own buffer."""

    def __init__(self, node: Node) -> None:
        tf2 = importlib.import_module("tf2_ros")
        self._failure = tf2.TransformException
        self._buffer = tf2.Buffer(cache_time=Duration(seconds=KEPT_S))
        self._listener = tf2.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(self, target: str, source: str, stamp_ns: int, wait_s: float) -> RigidTransform:
        end = time.monotonic() + wait_s
        target, source = target.lstrip("/"), source.lstrip("/")  # tf2 refuses names with a slash before them
        while True:
            try:
                found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns)).transform
                return transform_of(found)
            except (self._failure, ValueError) as error:
                if time.monotonic() >= end:
                    raise NoTransform(str(error)) from error
            time.sleep(POLL_S)

    def destroy(self) -> None:
        self._listener.unregister()


class TopicTransforms:
    """/tf and /tf_static heard directly, for machines with tf2_msgs and no tf2_ros."""

    def __init__(self, node: Node) -> None:
        message = importlib.import_module("tf2_msgs.msg").TFMessage
        self._node, self._history = node, TransformHistory()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        group = ReentrantCallbackGroup()
        self._subscriptions = [
            node.create_subscription(message, "/tf", lambda m: self._add(m, False), QoSProfile(depth=100),
                                     callback_group=group),
            node.create_subscription(message, "/tf_static", lambda m: self._add(m, True), latched,
                                     callback_group=group),
        ]  # fmt: skip

    def _add(self, message: Any, static: bool) -> None:
        for one in message.transforms:
            stamp = one.header.stamp
            try:
                pose = transform_of(one.transform)
            except ValueError:  # a broken publisher must not end the node; the look-up will say what is missing
                continue
            stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
            self._history.add(one.header.frame_id, one.child_frame_id, stamp_ns, pose, static)

    def lookup(self, target: str, source: str, stamp_ns: int, wait_s: float) -> RigidTransform:
        end = time.monotonic() + wait_s
        while True:
            try:
                return self._history.lookup(target, source, stamp_ns)
            except NoTransform:
                if time.monotonic() >= end:
                    raise
            time.sleep(POLL_S)

    def destroy(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)


class TransformHistory:
    """The last KEPT_S seconds of every frame in its parent, interpolated by pytransform3d. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def add(self, parent: str, child: str, stamp_ns: int, pose: RigidTransform, static: bool) -> None:
        """pose: child to parent. A frame that gets another parent begins anew; so does a clock that was set back."""
        parent, child = parent.lstrip("/"), child.lstrip("/")
        with self._lock:
            known = self._known.get(child)
            if known is None or (known.parent, known.static) != (parent, static):
                known = self._known[child] = _Known(parent, static, deque(maxlen=1 if static else MOST_STEPS))
            steps = known.steps
            if steps and not static and stamp_ns <= steps[-1][0]:
                if steps[-1][0] - stamp_ns < KEPT_S * 1e9:
                    return  # said twice, or a straggler
                steps.clear()
            steps.append((stamp_ns, pose))
            while stamp_ns - steps[0][0] > KEPT_S * 1e9:
                steps.popleft()

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """From source to another frame, target, at a stamp. Raises NoTransform."""
        from pytransform3d.transform_manager import TemporalTransformManager

        target, source = target.lstrip("/"), source.lstrip("/")
        manager = TemporalTransformManager()
        with self._lock:
            for child in sorted(self._between(target, source)):
                manager.add_transform(child, self._known[child].parent, self._known[child].around(child, stamp_ns))
        found = manager.get_transform_at_time(source, target, 0.0)
        return RigidTransform(found[:3, :3], found[:3, 3])

    def _between(self, target: str, source: str) -> set[str]:
        """The frames whose place in their parent leads from source to target. Raises NoTransform."""
        chains = []
        for frame in (target, source):
            chain = [frame]
            while (known := self._known.get(chain[-1])) is not None:
                if known.parent in chain:
                    raise NoTransform(f"{known.parent!r} is its own ancestor; two publishers contradict each other")
                chain.append(known.parent)
            chains.append(chain)
        if chains[0][-1] != chains[1][-1]:
            heard = sorted({*self._known, *(known.parent for known in self._known.values())})
            raise NoTransform(f"they are not connected; frames heard of: {', '.join(heard) or 'none'}")
        return set(chains[0]) ^ set(chains[1])


@dataclass(frozen=True)
class _Known:
    """Where a frame is in its parent: steps of (stamp in ns, child to parent), oldest first."""

    parent: str
    static: bool
    steps: deque[tuple[int, RigidTransform]]

    def around(self, child: str, stamp_ns: int) -> Any:
        """The frame's movement at a stamp, which becomes time 0, for pytransform3d. Raises NoTransform."""
        from pytransform3d.transform_manager import NumpyTimeseriesTransform, StaticTransform

        stamps = [stamp for stamp, _ in self.steps]
        at = bisect_left(stamps, stamp_ns)
        if self.static or (at < len(stamps) and stamps[at] == stamp_ns):
            return StaticTransform(_homogeneous(self.steps[0 if self.static else at][1]))
        if at in (0, len(stamps)):
            apart_s = (stamps[0] - stamp_ns if at == 0 else stamp_ns - stamps[-1]) / 1e9
            side = "before the first" if at == 0 else "after the newest"
            raise NoTransform(f"that is {apart_s:.3f} s {side} place of {child!r} in {self.parent!r}")
        # Seconds from the stamp: a float holds today's date only to a fraction of a microsecond.
        times = np.array([(stamps[i] - stamp_ns) / 1e9 for i in (at - 1, at)])
        return NumpyTimeseriesTransform(times, np.array([_position_wxyz(self.steps[i][1]) for i in (at - 1, at)]))


def _homogeneous(pose: RigidTransform) -> npt.NDArray[np.float64]:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = pose.rotation, pose.translation
    return out


def _position_wxyz(pose: RigidTransform) -> npt.NDArray[np.float64]:
    """(7,): position, then the quaternion with w first, as pytransform3d has it."""
    x, y, z, w = quaternion(pose.rotation)
    return np.array([*pose.translation, w, x, y, z])


def transform_of(message: Any) -> RigidTransform:
    """A geometry_msgs/Transform. Raises ValueError for numbers that are none."""
    t, q = message.translation, message.rotation
    return rigid_transform((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
