"""What the page's 3-D view shows of one answer: the scene's points, the objects' boxes, as the script reads it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.core.box_edges import BOX_EDGES
from refseg_ros.core.overlay import colour

MOST_POINTS = 24_000
REACH_M = 0.6  # around what is shown: the walls of the room are of no interest


def view(
    points: npt.NDArray[np.float32], colors: npt.NDArray[np.uint8], boxes: list[tuple[int, npt.NDArray[np.float64]]],
    up: tuple[float, float, float] = (0.0, -1.0, 0.0),
) -> dict[str, Any] | None:
    """The view's data, ready for JSON; None when nothing has depth.

    points (N, 3) metres, optical frame, NaN where there is none; colors (N, 3); boxes: (id, corners (8, 3) metres);
    up: away from the table, unit length: the view turns about it, and begins as the camera sees it.
    """
    level, tilt = _level(np.asarray(up, np.float64))
    points = (points.astype(np.float64) @ level.T).astype(np.float32)
    boxes = [(n, c @ level.T) for n, c in boxes]
    seen = np.isfinite(points).all(1)
    if not seen.any():
        return None
    corners = [c for _, c in boxes]
    middle = np.concatenate(corners).mean(0) if corners else np.median(points[seen], axis=0)
    near = np.flatnonzero(seen & (np.linalg.norm(points - middle, axis=1) < REACH_M))
    if not len(near):
        return None
    shown = near[:: max(1, len(near) // MOST_POINTS)]
    # The distance between neighbours, had each the same share of a square of the view's reach.
    spacing = 1.6 * REACH_M / np.sqrt(len(shown))
    return {
        "xyz_mm": _base64(np.rint(1e3 * points[shown]).astype("<i2")),
        "rgb": _base64(colors[shown]),
        "centre_mm": np.rint(1e3 * middle).tolist(),
        "pitch": -tilt,
        "radius_mm": 1e3 * REACH_M / 2,
        "spacing_mm": float(1e3 * spacing),
        "edges": BOX_EDGES,
        "boxes": [
            {"name": str(n), "color": "rgb({}, {}, {})".format(*colour(n)), "corners_mm": (1e3 * c).round(1).tolist()}
            for n, c in boxes
        ],
    }


def _level(up: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """The rotation (3, 3) about the picture's x axis that leaves `up` no part along z, and its angle, radians."""
    tilt = float(np.arctan2(-up[2], -up[1]))
    sine, cosine = np.sin(tilt), np.cos(tilt)
    return np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]]), tilt


def _base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
