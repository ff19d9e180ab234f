"""What every planner's form is made from: the view as points, and which thing each pixel belongs to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refseg_ros.core.camera import pixel_rays
from refseg_ros.core.lifting import depth_problem
from refseg_ros.core.types import Frame, Intrinsics, Segmentation


def camera_and_depth(frame: Frame) -> tuple[Intrinsics, npt.NDArray[np.float32]]:
    """The colour camera, and depth float32 (H, W) in metres with 0 where there is none. Raises ValueError."""
    problem = depth_problem(frame)
    if problem or frame.depth is None or frame.intrinsics is None:
        raise ValueError(f"a grasp planner needs depth and a camera: {problem}")
    reading = np.isfinite(frame.depth) & (frame.depth > 0)
    return frame.intrinsics, np.where(reading, frame.depth, np.float32(0))


def points_of_pixels(frame: Frame) -> npt.NDArray[np.float32]:
    """float32 (H, W, 3) in the optical frame, metres; NaN where there is no depth. Raises ValueError."""
    camera, depth = camera_and_depth(frame)
    rays = pixel_rays(camera, 0, 0, camera.width, camera.height)
    points = np.empty((*depth.shape, 3), np.float32)
    points[..., 2] = np.where(depth > 0, depth, np.float32(np.nan))
    points[..., :2] = rays * points[..., 2:]
    return points


def labels(segmentation: Segmentation) -> npt.NDArray[np.uint16]:
    """uint16 (H, W): the instance's id, 0 = none. Where masks overlap the smaller one is on top."""
    width, height = segmentation.image_size
    out: npt.NDArray[np.uint16] = np.zeros((height, width), np.uint16)
    for instance in sorted(segmentation.instances, key=lambda i: -i.area_px):
        (x, y), (h, w) = instance.offset, instance.mask.shape
        out[y : y + h, x : x + w][instance.mask] = instance.id
    return out
