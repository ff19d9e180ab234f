"""Depth of one camera in the picture of another: each value is a reading, none is made up between two.

Two ways. From the same viewpoint (one lens, two resolutions, or a depth image rectified into the colour camera's frame
with a K of its own) every colour pixel looks up the reading on its ray. From another viewpoint the readings are moved
and drawn nearest last, each over what it covers in the picture, so that what the colour camera cannot see is hidden.
Frames: optical, metres.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.camera import pixel_rays, project
from refseg_ros.core.transform import RigidTransform
from refseg_ros.core.types import Intrinsics

Depth = npt.NDArray[np.float32]
MOST_PIXELS = 16  # that one reading may cover, along either side


class DepthRegistration:
    """Registers depth images to colour images. State: the look-up of the last pair of cameras; one thread at a time."""

    def __init__(self) -> None:
        self._cameras: tuple[Intrinsics, Intrinsics] | None = None
        self._columns = self._rows = np.zeros((0, 0), np.float32)

    def register(
        self, depth: Depth, depth_camera: Intrinsics, color_camera: Intrinsics, to_color: RigidTransform | None = None
    ) -> Depth:
        """Depth float32 (h, w) of the depth camera as float32 (H, W) of the colour camera, metres, 0 = no reading.

        to_color: takes points of the depth camera's frame to the colour camera's; None: they are one frame. Raises
        ValueError where the image has not the depth camera's size.
        """
        if depth.shape != (depth_camera.height, depth_camera.width):
            h, w = depth.shape
            raise ValueError(f"depth is {w} x {h}, its camera info {depth_camera.width} x {depth_camera.height}")
        if to_color is not None:
            return splat(depth, depth_camera, color_camera, to_color)
        if self._cameras != (depth_camera, color_camera):
            self._columns, self._rows = _lookup(depth_camera, color_camera)
            self._cameras = depth_camera, color_camera
        found = cv2.remap(depth, self._columns, self._rows, cv2.INTER_NEAREST, None, cv2.BORDER_CONSTANT, 0)
        return np.asarray(found, np.float32)


def _lookup(depth_camera: Intrinsics, color_camera: Intrinsics) -> tuple[Depth, Depth]:
    """Column and row (H, W) in the depth image of each colour pixel's ray; -1 where it has none."""
    width, height = color_camera.width, color_camera.height
    rays = pixel_rays(color_camera, 0, 0, width, height).reshape(-1, 2)
    pixels = project(np.concatenate([rays, np.ones((len(rays), 1), np.float32)], 1), depth_camera)
    end = np.array([depth_camera.width, depth_camera.height]) - 0.5
    inside = np.all((pixels > -0.5) & (pixels < end), axis=1)  # False for NaN
    nearest = np.where(inside[:, None], np.rint(pixels), -1).astype(np.float32).reshape(height, width, 2)
    return np.ascontiguousarray(nearest[..., 0]), np.ascontiguousarray(nearest[..., 1])


def splat(depth: Depth, depth_camera: Intrinsics, color_camera: Intrinsics, to_color: RigidTransform) -> Depth:
    """Depth (h, w) as seen from the colour camera: float32 (H, W), metres, 0 = no reading. Nearer readings hide others.

    Each reading fills the rectangle between its pixel's corners, as the colour camera sees them at its depth.
    """
    rays = pixel_rays(depth_camera, 0, 0, depth_camera.width, depth_camera.height)
    with np.errstate(invalid="ignore"):
        there = np.isfinite(depth) & (depth > 0) & np.isfinite(rays).all(-1)
    z = depth[there].astype(np.float64)
    points = np.column_stack([rays[there] * z[:, None], z])
    half = np.array([0.5 / depth_camera.fx, 0.5 / depth_camera.fy, 0.0])
    moved = to_color.apply(points)
    corners = [project(to_color.apply(points + sign * half * z[:, None]), color_camera) for sign in (-1, 1)]
    low, high = np.minimum(*corners), np.maximum(*corners)
    seen = (moved[:, 2] > 0) & np.isfinite(low).all(1) & np.isfinite(high).all(1)
    size = color_camera.width, color_camera.height
    seen &= (high > -0.5).all(1) & (low < np.array(size) - 0.5).all(1)
    order = np.argsort(-moved[seen, 2], kind="stable")  # farthest first: what is drawn last stays
    far = moved[seen, 2][order].astype(np.float32)
    first = np.ceil(low[seen][order] - 1e-6).astype(np.int64)
    last = np.floor(high[seen][order] - 1e-6).astype(np.int64)
    middle = np.rint((low[seen] + high[seen])[order] / 2).astype(np.int64)
    first, last = np.minimum(first, middle), np.maximum(last, middle)  # a reading fills one pixel at least
    last = np.minimum(last, first + MOST_PIXELS - 1)
    x, y, which = _cells(first, last)
    inside = (x >= 0) & (y >= 0) & (x < size[0]) & (y < size[1])
    out = np.zeros(size[0] * size[1], np.float32)
    out[y[inside] * size[0] + x[inside]] = far[which[inside]]  # of equal indices numpy keeps the last
    return out.reshape(size[1], size[0])


def _cells(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """x, y of every pixel in the rectangles first..last (N, 2), and the rectangle that each is of, in their order."""
    spans = last - first + 1
    counts = spans[:, 0] * spans[:, 1]
    which = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    wide = spans[which, 0]
    return first[which, 0] + within % wide, first[which, 1] + within // wide, which
