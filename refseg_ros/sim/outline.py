"""How many pixels a thing would cover if nothing hid it and the picture had no edges."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

EXACT_GRID, QUICK_GRID = 200, 64
FEW_TRIANGLES, LARGE_CELLS = 700, 3.0
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
# Points over a triangle, as weights of its corners.
_STEPS = np.array([(i, j, 3 - i - j) for i in range(4) for j in range(4 - i)]) / 3


def outline_px(triangles: npt.NDArray[np.float64], focal: float, exact: bool = True) -> float:
    """triangles: (T, 3, 3) in the camera's optical frame, metres; focal: pixels.

    Exact draws every triangle on a grid of at most EXACT_GRID cells; else points of them fill a coarse grid, which is
    many times faster and within some percent.
    """
    triangles = triangles[np.all(triangles[..., 2] > 0.05, axis=1)]
    if not len(triangles):
        return 0.0
    pixels = triangles[..., :2] / triangles[..., 2:] * focal
    low, high = pixels.min((0, 1)), pixels.max((0, 1))
    quick = not exact and len(triangles) > FEW_TRIANGLES
    scale = min(2.0, (QUICK_GRID if quick else EXACT_GRID) / max(float((high - low).max()), 1.0))
    placed = (pixels - low) * scale
    width, height = (np.ceil((high - low) * scale).astype(int) + 1).tolist()
    canvas = np.zeros((height, width), np.uint8)
    if quick:
        large = np.ptp(placed, axis=1).max(1) > LARGE_CELLS
        corners = placed[~large].transpose(1, 0, 2).reshape(3, -1)
        cells = (_STEPS @ corners).reshape(-1, 2).astype(np.intp)
        canvas[cells[:, 1], cells[:, 0]] = 1
        _draw(canvas, placed[large])
        canvas = cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, CROSS)
    else:
        _draw(canvas, placed)
    # Filling marks every cell an edge touches, about half a cell too much all around the outline.
    outline = cv2.countNonZero(canvas) - cv2.countNonZero(canvas - cv2.erode(canvas, CROSS, borderValue=0)) / 2
    return outline / scale**2


def _draw(canvas: npt.NDArray[np.uint8], triangles: npt.NDArray[np.float64]) -> None:
    for triangle in np.round(triangles * 16).astype(np.int32):  # 4 bits below the pixel
        cv2.fillConvexPoly(canvas, triangle, 1, shift=4)
