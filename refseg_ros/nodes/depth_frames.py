"""Where the depth camera is beside the colour camera, from TF, when depth comes in a frame of its own."""

from __future__ import annotations

from rclpy.node import Node

from refseg_ros.core.transform import NoTransform, RigidTransform
from refseg_ros.nodes.sync import COLOR, DEPTH
from refseg_ros.nodes.transforms import Transforms, listen


class DepthFrames:
    """heard() on the executor's thread, which begins to listen to TF as soon as two frames are seen; to_color() on the
    worker's."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._frames = {COLOR: "", DEPTH: ""}
        self._transforms: Transforms | None = None
        self._failed: tuple[str, str] | None = None

    def heard(self, kind: str, frame_id: str) -> None:
        """An image of a kind came in a frame."""
        if kind in self._frames:
            self._frames[kind] = frame_id.lstrip("/")
            if self._transforms is None and all(self._frames.values()) and len(set(self._frames.values())) > 1:
                self._transforms = listen(self._node)

    def to_color(self, color: str, depth: str, stamp_ns: int, wait_s: float) -> RigidTransform:
        """From the depth camera's frame to the colour camera's at a stamp. Raises NoTransform.

        Waits up to wait_s the first time; while the two have no transform, later images do not wait for it again.
        """
        if self._transforms is None:
            raise NoTransform("nothing of /tf has been heard yet")
        pair = color, depth
        try:
            found = self._transforms.lookup(*pair, stamp_ns, 0.0 if pair == self._failed else wait_s)
        except NoTransform:
            self._failed = pair
            raise
        self._failed = None
        return found

    def destroy(self) -> None:
        """Stop listening."""
        if self._transforms is not None:
            self._transforms.destroy()
            self._transforms = None
