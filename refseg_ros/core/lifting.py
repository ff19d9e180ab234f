"""Masks and depth to objects in 3-D: the points of one thing, its centroid and its oriented box.

Every point comes from one pixel with a reading: nothing is filled in or guessed. Where there is too little, the
object is invalid and its reason says why. Gravity is unknown here, so the box follows the visible points alone.
Frame: the camera's optical frame, metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refseg_ros.core.camera import RayGrid, pixel_rays
from refseg_ros.core.types import BoolArray, Frame, Instance, Intrinsics, Object3D, OrientedBox

Points = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LiftingConfig:
    """What counts as a reading and as an object. Raises ValueError for values that cannot work.

    Depth in (min_depth_m, max_depth_m) is a reading. A pixel at a step of more than step_m + step_ratio * depth is
    dropped (mixed pixels). Readings further apart in depth than gap_m are different things, the largest is kept; then
    those further than mad_factor robust deviations (and mad_floor_m) from the median go.
    An object needs min_points points and readings on min_coverage of its mask. Box sizes are never given below
    min_extent_m; an object thinner than that in two directions is degenerate. trim: share cut at either end of the box.
    """

    min_depth_m: float = 0.05
    max_depth_m: float = 10.0
    step_m: float = 0.015
    step_ratio: float = 0.02
    gap_m: float = 0.06
    mad_factor: float = 5.0
    mad_floor_m: float = 0.05
    min_points: int = 30
    min_coverage: float = 0.05
    min_extent_m: float = 0.001
    trim: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_depth_m < self.max_depth_m < float("inf"):
            raise ValueError(f"need 0 <= min_depth_m < max_depth_m, not {self.min_depth_m} and {self.max_depth_m}")
        for name in ("step_m", "gap_m", "mad_factor", "mad_floor_m", "min_extent_m"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"LiftingConfig.{name} must be positive, not {getattr(self, name)}")
        if not 0.0 <= self.step_ratio < 1.0 or not 0.0 <= self.min_coverage <= 1.0 or not 0.0 <= self.trim < 0.5:
            raise ValueError("step_ratio must be in [0, 1), min_coverage in [0, 1] and trim in [0, 0.5)")
        if self.min_points < 4:
            raise ValueError(f"min_points must be at least 4, not {self.min_points}")


class Lifter:
    """Lifts the instances of a frame. State: the ray grid of the last distorted camera, or that of a lifter before this
    one; one thread at a time."""

    def __init__(self, config: LiftingConfig | None = None, grid: RayGrid | None = None) -> None:
        self.config = config or LiftingConfig()
        self._grid = grid or RayGrid()

    def lift(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Object3D, ...]:
        """One Object3D an instance, in order; invalid ones carry their reason. Never raises for bad depth."""
        problem = depth_problem(frame)
        if problem:
            return tuple(Object3D(i.id, False, problem, frame.frame_id) for i in instances)
        return tuple(self._lift(frame, instance) for instance in instances)

    def _lift(self, frame: Frame, instance: Instance) -> Object3D:
        config, camera, depth = self.config, frame.intrinsics, frame.depth
        assert camera is not None and depth is not None  # depth_problem() has looked
        x0, y0, x1, y1 = instance.box_xyxy
        ox, oy = instance.offset
        mask = instance.mask[y0 - oy : y1 - oy, x0 - ox : x1 - ox]

        top, left = min(1, y0), min(1, x0)  # one pixel more around the box, for steps at its edge
        wide = depth[y0 - top : y1 + 1, x0 - left : x1 + 1]
        reading = (wide > config.min_depth_m) & (wide < config.max_depth_m)  # False for NaN
        smooth = reading & ~_steps(wide, reading, config)
        inner = slice(top, top + y1 - y0), slice(left, left + x1 - x0)
        valid, smooth, z = reading[inner] & mask, smooth[inner] & mask, wide[inner]

        area, count = int(np.count_nonzero(mask)), int(np.count_nonzero(valid))
        coverage = count / area

        def invalid(reason: str) -> Object3D:
            return Object3D(instance.id, False, reason, frame.frame_id, depth_coverage=coverage)

        if count < config.min_points:
            return invalid(f"only {count} of {area} mask pixels have depth; at least {config.min_points} are needed")
        if coverage < config.min_coverage:
            return invalid(f"depth covers {coverage:.1%} of the mask; at least {config.min_coverage:.1%} is needed")
        rays = self._rays(camera, x0, y0, x1 - x0, y1 - y0)
        ray_ok = np.isfinite(rays).all(-1) if camera.distorted else True
        pixels = smooth & ray_ok
        if np.count_nonzero(pixels) < config.min_points:  # a thing all of edges: better its edges than nothing
            pixels = valid & ray_ok
        keep = np.flatnonzero(pixels)
        keep = keep[_main_cluster(z.reshape(-1)[keep], config)]
        if len(keep) < config.min_points:
            return invalid(f"only {len(keep)} points hang together; at least {config.min_points} are needed")
        points = np.empty((len(keep), 3), np.float32)
        points[:, 2] = z.reshape(-1)[keep]
        points[:, :2] = rays.reshape(-1, 2)[keep] * points[:, 2:]
        if not np.isfinite(points).all():
            return invalid("the camera info puts the points out of range; check K and the distortion")
        extents = _spread(points)
        if extents[1] < config.min_extent_m:
            return invalid(f"the points span only {extents[1] * 1e3:.2g} mm; the depth is degenerate")
        colors = frame.rgb[y0:y1, x0:x1].reshape(-1, 3)[keep]
        centroid = points.mean(0, dtype=np.float64)
        box = oriented_box(points, config.trim, config.min_extent_m)
        c = (float(centroid[0]), float(centroid[1]), float(centroid[2]))
        return Object3D(instance.id, True, "", frame.frame_id, c, box, points, colors, coverage)

    def _rays(self, camera: Intrinsics, x: int, y: int, width: int, height: int) -> Points:
        """float32 (height, width, 2); straight from K when there is no distortion, else a view of the cached grid."""
        if not camera.distorted:
            return pixel_rays(camera, x, y, width, height)
        return self._grid.rays(camera)[y : y + height, x : x + width]


def depth_problem(frame: Frame) -> str:
    """Why a frame cannot be lifted, in words; "" when it can."""
    width, height = frame.size
    if frame.depth is None:
        return frame.depth_problem or "no depth image came with the colour image"
    if frame.depth.shape != (height, width):
        h, w = frame.depth.shape
        return f"the depth image is {w} x {h} and the colour image {width} x {height}; align depth to colour"
    if frame.intrinsics is None:
        return frame.depth_problem or "no camera intrinsics came with the image"
    if (frame.intrinsics.width, frame.intrinsics.height) != (width, height):
        k = frame.intrinsics
        return f"the camera info is for {k.width} x {k.height} and the image is {width} x {height}"
    return ""


def _steps(depth: Points, reading: BoolArray, config: LiftingConfig) -> BoolArray:
    """Pixels (h, w) with a 4-neighbour reading across a depth step."""
    step = np.zeros(depth.shape, np.bool_)
    z = np.where(reading, depth, np.float32(0))
    for axis in (0, 1):
        a, b = [slice(None)] * 2, [slice(None)] * 2
        a[axis], b[axis] = slice(None, -1), slice(1, None)
        za, zb = z[tuple(a)], z[tuple(b)]
        both = reading[tuple(a)] & reading[tuple(b)]
        jump = (np.abs(za - zb) > config.step_m + config.step_ratio * np.minimum(za, zb)) & both
        step[tuple(a)] |= jump
        step[tuple(b)] |= jump
    return step


def _main_cluster(z: Points, config: LiftingConfig) -> BoolArray:
    """Which of the depths (N,) belong to the largest cluster: split at gaps, then cut by median and MAD."""
    if not len(z):
        return np.zeros(0, np.bool_)
    width = config.gap_m / 4
    bins = ((z - z.min()) / width).astype(np.int64)
    filled = np.flatnonzero(np.bincount(bins))
    cluster_of_bin = np.zeros(int(filled[-1]) + 1, np.int64)
    cluster_of_bin[filled] = np.concatenate([[0], np.cumsum(np.diff(filled) > 4)])
    cluster = cluster_of_bin[bins]
    keep = cluster == np.bincount(cluster).argmax()
    middle = np.median(z[keep])
    distance = np.abs(z - middle)
    deviation = 1.4826 * float(np.median(distance[keep]))
    result: BoolArray = keep & (distance <= max(config.mad_factor * deviation, config.mad_floor_m))
    return result


def _axes(points: Points) -> tuple[Matrix, Matrix]:
    """Principal axes as the columns of a rotation (3, 3), longest first, right-handed, and the mean (3,)."""
    mean = points.mean(0, dtype=np.float64)
    centred = points - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes: Matrix = vectors[:, ::-1].astype(np.float64)
    for k in (0, 1):  # one sign of the two that fit: the largest component is positive
        if axes[np.argmax(np.abs(axes[:, k])), k] < 0:
            axes[:, k] *= -1
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return axes, mean


def _spread(points: Points) -> Matrix:
    """Full extents (3,) along the principal axes, longest first, metres."""
    axes, mean = _axes(points)
    along = (points - mean) @ axes
    extents: Matrix = np.sort(along.max(0) - along.min(0))[::-1]
    return extents


def oriented_box(points: Points, trim: float, min_extent_m: float) -> OrientedBox:
    """The box of points (N, 3) along their principal axes, between the percentiles trim and 1 - trim."""
    axes, mean = _axes(points)
    along = np.sort((points - mean) @ axes, axis=0)
    cut = int(trim * (len(along) - 1))
    low, high = along[cut], along[len(along) - 1 - cut]
    centre = mean + axes @ ((low + high) / 2)
    size = np.maximum(high - low, min_extent_m)
    return OrientedBox(
        (float(centre[0]), float(centre[1]), float(centre[2])),
        (float(size[0]), float(size[1]), float(size[2])),
        quaternion(axes),
    )


def quaternion(rotation: Matrix) -> tuple[float, float, float, float]:
    """The unit quaternion (x, y, z, w), w >= 0, of a rotation matrix (3, 3)."""
    m = rotation
    four = np.array(  # 4 q q^T from the matrix: its largest diagonal element gives the stable row
        [
            [1 + m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[0, 1] + m[1, 0], 1 - m[0, 0] + m[1, 1] - m[2, 2], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], 1 - m[0, 0] - m[1, 1] + m[2, 2], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1 + m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    q = four[np.argmax(np.diag(four))]
    q = q / np.linalg.norm(q)
    q = -q if q[3] < 0 else q
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])
