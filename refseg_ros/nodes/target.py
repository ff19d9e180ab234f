"""A copy of the objects in the frame that the parameter target_frame names, at the image's stamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from refseg_ros.core.transform import NoTransform, RigidTransform, transform_object, without_transform
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.msg import Object3DArray
from refseg_ros.nodes import results
from refseg_ros.nodes.transforms import Transforms, listen


@dataclass(frozen=True)
class Target:
    """frame: "" for no copy; wait_s: for a transform that is late; with_points: whether objects bring their points."""

    frame: str
    wait_s: float
    with_points: bool


class TargetObjects:
    """Begins to listen when a frame is first chosen. choose() on the executor's thread, array() on the worker's."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._target = Target("", 0.0, False)
        self._transforms: Transforms | None = None
        self._waited_for: tuple[str, str, int] | None = None

    def choose(self, target: Target) -> None:
        """From now on in this frame."""
        if target.frame and self._transforms is None:
            self._transforms = listen(self._node)
        self._target = target

    def destroy(self) -> None:
        """Stop listening."""
        if self._transforms is not None:
            self._transforms.destroy()
            self._transforms = None

    def array(self, result: Segmentation, frame: Frame, request: int) -> Object3DArray | None:
        """The objects of an answer in the target frame; without a transform each says why. None: no frame is chosen."""
        target, transforms = self._target, self._transforms
        if not target.frame or transforms is None:
            return None
        header = Header(stamp=results.header_of(frame).stamp, frame_id=target.frame)
        try:
            moved = self._lookup(transforms, target, frame) if result.objects else None
            objects = [transform_object(o, moved, target.frame) for o in result.objects if moved is not None]
        except NoTransform as error:
            seconds, rest = divmod(frame.stamp_ns, 1_000_000_000)
            place = f"from {frame.frame_id!r} to {target.frame!r} at {seconds}.{rest:09d}"
            reason = f"no transform {place}: {error}"
            objects = [without_transform(o, reason, target.frame) for o in result.objects]
        array = Object3DArray(header=header, request=request)
        array.objects = [results.object_message(o, header, target.with_points) for o in objects]
        return array

    def _lookup(self, transforms: Transforms, target: Target, frame: Frame) -> RigidTransform:
        """Raises NoTransform. Many requests on one image wait once: others are in the queue behind this one."""
        if target.frame.lstrip("/") == frame.frame_id.lstrip("/"):
            return RigidTransform(np.eye(3), np.zeros(3))
        if not frame.stamp_ns:
            raise NoTransform("the image carries no stamp, and a transform of another moment may be far off")
        wanted = target.frame, frame.frame_id, frame.stamp_ns
        wait_s = 0.0 if wanted == self._waited_for else target.wait_s
        try:
            return transforms.lookup(*wanted, wait_s)
        except NoTransform:
            self._waited_for = wanted
            raise
