"""The frame that an action goal brings with it, and what its sender has to mend where it can have no 3-D."""

from __future__ import annotations

from typing import Any

from refseg_ros.core.types import Frame
from refseg_ros.nodes.frames import Rectified, build_frame, stamp_ns
from refseg_ros.nodes.sync import MOST_SLOP_NS, FrameSet


def given_frame(goal: Any, rectified: Rectified, slop_s: float) -> Frame:
    """slop_s: largest difference of the stamps of image and depth; 0: as much as the camera's may ever differ. Raises
    RequestError when the image is not usable; masks need no depth."""
    slop_ns = int(slop_s * 1e9) or MOST_SLOP_NS
    problem = _problem(goal, slop_ns)
    depth = goal.depth if goal.depth.width and goal.depth.height else None
    info = goal.camera_info if _filled(goal.camera_info) else None
    messages = FrameSet(goal.image, info, depth, None, stamp_ns(goal.image.header.stamp), 0.0, problem)
    return build_frame(messages, rectified=rectified)


def _filled(info: Any) -> bool:
    """Whether there is a camera in it, by its K or, of rectified images, by its P; which of them holds is not asked."""
    return bool(any(info.k) or any(info.p))


def _problem(goal: Any, slop_ns: int) -> str:
    """Why the goal's depth is none of its image's, or ""."""
    image, depth = goal.image, goal.depth
    if not depth.width or not depth.height:
        return "the goal brought no depth image"
    if not _filled(goal.camera_info):
        return "the goal's camera_info is empty; fill it"
    stamps = stamp_ns(image.header.stamp), stamp_ns(depth.header.stamp)
    apart = abs(stamps[0] - stamps[1])
    if all(stamps) and apart > slop_ns:
        return (
            f"the goal's depth is {apart / 1e6:.0f} ms away from its image, over the slop of {slop_ns / 1e6:.0f} ms; "
            "send depth of the same moment"
        )
    frames = image.header.frame_id.lstrip("/"), depth.header.frame_id.lstrip("/")
    if all(frames) and frames[0] != frames[1]:
        where = f"the goal's depth is in frame {frames[1]!r} and its image in {frames[0]!r}"
        return f"{where}; send depth aligned to the image"
    if (depth.width, depth.height) != (image.width, image.height):
        sizes = f"{depth.width} x {depth.height} and its image {image.width} x {image.height}"
        return f"the goal's depth is {sizes}; send depth aligned to the image"
    return ""
