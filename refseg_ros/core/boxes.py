"""Oriented boxes of points: along a plane where there is one, else along the points' principal axes.

Frame: the camera's optical frame, metres. A box holds the points that it is given; core/hidden_back.py adds some.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import OrientedBox, Plane

Points = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Pair = tuple[float, float]
CELL_PX, FILLED = 1.5, 2  # a footprint's cell, in pixels at the thing's distance, counts from so many points on
MAX_CELLS = 2048  # along either side
TOP = 0.99  # of the points lie below the box's top: what is above is noise
MAX_HEIGHTS = 1500  # points that the top is sought in


@dataclass(frozen=True, eq=False)
class Upright:
    """A plane with two axes in it, (across, along, normal) right-handed; across lies near the image's x.

    axes: rotation (3, 3), the three as columns; flat: float32 (2, 3), the first two as rows.
    """

    plane: Plane
    axes: Matrix
    flat: Points

    @classmethod
    def of(cls, plane: Plane) -> Upright:
        """The axes of a plane."""
        normal = np.array(plane.normal)
        along = np.cross(normal, (1.0, 0.0, 0.0) if abs(normal[0]) < 0.9 else (0.0, 1.0, 0.0))
        along /= np.linalg.norm(along)
        axes = np.stack([np.cross(along, normal), along, normal], 1)
        return cls(plane, axes, np.ascontiguousarray(axes[:, :2].T, np.float32))

    def box(self, flat: Points, heights: Points, pixel_m: float, stands: bool) -> OrientedBox:
        """The box of points whose third axis is the normal and whose footprint has the least area.

        flat (2, M): self.flat @ the points; heights (N,): of theirs above the plane; pixel_m: what one pixel covers at
        their distance; stands: the box reaches down to the plane. The footprint is made of cells that hold at least
        FILLED points, so that single points that noise threw out do not widen it. Its longer side is the first axis.
        """
        (x, y), (length, width), angle = footprint(flat, pixel_m * CELL_PX)
        thinned = heights[:: max(1, len(heights) // MAX_HEIGHTS)]
        last = len(thinned) - 1
        ordered = np.partition(thinned, (int((1 - TOP) * last), int(TOP * last)))
        top = float(ordered[int(TOP * last)])
        low = 0.0 if stands else float(ordered[int((1 - TOP) * last)])
        middle = self.axes @ (x, y, (top + low) / 2 - self.plane.offset_m)
        c, s = math.cos(angle), math.sin(angle)
        return _box(middle, (length, width, max(top - low, 0.0)), self.axes @ ((c, -s, 0.0), (s, c, 0.0), (0, 0, 1.0)))

    def along_view(self, box: OrientedBox, centroid: Matrix) -> Pair:
        """Cosines, 0 to 1, in the plane, of the first two axes of such a box with the line of sight to it."""
        x, y, z, w = box.quaternion_xyzw
        first = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
        normal = self.axes[:, 2]
        sight = centroid - (centroid @ normal) * normal
        length = math.sqrt(float(sight @ sight))
        cosine = min(abs(float(first @ sight)) / length, 1.0) if length > 1e-9 else 0.0  # 0: seen from straight above
        return cosine, math.sqrt(1 - cosine * cosine) if length > 1e-9 else 0.0


def footprint(flat: Points, cell: float) -> tuple[Pair, Pair, float]:
    """The rectangle of least area round points (2, N): centre, size with the longer side first, and its angle."""
    low, high = flat.min(1, keepdims=True), flat.max(1, keepdims=True)
    span = high - low
    cell = max(cell, float(span.max()) / MAX_CELLS, 1e-6)
    columns, rows = np.floor((flat - low) * np.float32(1 / cell))  # whole numbers below 2^12 each: exact in float32
    wide, tall = (int(n) + 1 for n in (span[:, 0] * np.float32(1 / cell)))
    index = (rows * np.float32(wide) + columns).astype(np.intp)
    filled = np.bincount(index, minlength=wide * tall).reshape(tall, wide) >= FILLED
    used = np.flatnonzero(filled.any(1))
    if len(used) < 2:  # too few and too far apart to fill cells
        corners = np.stack([columns, rows], 1)
    else:  # the hull needs no more than the ends of each row
        left, right = filled[used].argmax(1), wide - 1 - filled[used, ::-1].argmax(1)
        corners = np.stack([np.concatenate([left, right]), np.concatenate([used, used])], 1).astype(np.float32)
    (x, y), (w, h), degrees = cv2.minAreaRect(corners)
    angle = math.radians(degrees)
    if h > w:
        w, h, angle = h, w, angle + math.pi / 2
    centre = ((x + 0.5) * cell + float(low[0, 0]), (y + 0.5) * cell + float(low[1, 0]))
    return centre, ((w + 1) * cell, (h + 1) * cell), angle


def principal_axes(covariance: Matrix) -> tuple[Matrix, Matrix]:
    """Axes as the columns of a rotation (3, 3), longest first, and the variances (3,) along them."""
    values, vectors = np.linalg.eigh(covariance)
    axes: Matrix = vectors[:, ::-1].copy()
    for k in (0, 1):  # one sign of the two that fit: the largest component is positive
        if axes[np.argmax(np.abs(axes[:, k])), k] < 0:
            axes[:, k] *= -1
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    return axes, np.maximum(values[::-1], 0.0)


def oriented_box(points: Points, trim: float = 0.01) -> OrientedBox:
    """The box of points (3, N) along their principal axes, between the percentiles trim and 1 - trim."""
    mean = points.mean(1, dtype=np.float64)
    centred = points - mean.astype(np.float32)[:, None]
    axes, _ = principal_axes((centred @ centred.T).astype(np.float64) / points.shape[1])
    last = points.shape[1] - 1
    cut = int(trim * last)
    ordered = np.partition(axes.T.astype(np.float32) @ centred, (cut, last - cut), axis=1)
    low, high = ordered[:, cut].astype(np.float64), ordered[:, last - cut].astype(np.float64)
    return _box(mean + axes @ ((low + high) / 2), high - low, axes)


def _box(centre: Matrix, size: npt.ArrayLike, axes: Matrix) -> OrientedBox:
    x, y, z = centre.tolist()
    a, b, c = np.asarray(size).tolist()
    return OrientedBox((x, y, z), (a, b, c), quaternion(axes))


def quaternion(rotation: Matrix) -> tuple[float, float, float, float]:
    """The unit quaternion (x, y, z, w), w >= 0, of a rotation matrix (3, 3)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation.tolist()
    four = (  # 4 q q^T from the matrix: the row with its largest diagonal element is the stable one
        (1 + a - e - i, b + d, c + g, h - f),
        (b + d, 1 - a + e - i, f + h, c - g),
        (c + g, f + h, 1 - a - e + i, d - b),
        (h - f, c - g, d - b, 1 + a + e + i),
    )
    x, y, z, w = max(four, key=lambda row: row[four.index(row)])
    length = math.copysign(math.sqrt(x * x + y * y + z * z + w * w), w)
    return x / length, y / length, z / length, w / length
