"""COCO's three ways to write a mask (polygons, run lengths, compressed run lengths) to pixels, by pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

BoolArray = npt.NDArray[np.bool_]


def to_mask(segmentation: Any, size: tuple[int, int]) -> BoolArray:
    """bool (H, W). size: the image's (width, height). Raises ValueError for what is no mask of that size."""
    width, height = size
    if isinstance(segmentation, list):
        return _decoded(rle.merge(rle.frPyObjects(_polygons(segmentation), height, width)))
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("a segmentation is a list of polygons or run lengths with counts and size")
    if list(segmentation.get("size", ())) != [height, width]:
        raise ValueError(f"a mask has size {segmentation.get('size')}, its image [{height}, {width}]")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not all(isinstance(c, int) and 0 <= c <= width * height for c in counts):
            raise ValueError("run lengths must be whole numbers within the image")
        packed = rle.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    elif isinstance(counts, (str, bytes)):
        packed = {"size": [height, width], "counts": counts}
    else:
        raise ValueError("run lengths must be a list or text")
    mask = _decoded(packed)
    # pycocotools refuses runs longer than the image, but leaves the rest of shorter ones unwritten: whole ones do not
    # fit an image with one pixel less.
    try:
        rle.decode({"size": [height * width - 1, 1], "counts": packed["counts"]})
    except ValueError:
        return mask
    raise ValueError("the run lengths end before the image does")


def _polygons(polygons: list[Any]) -> list[list[float]]:
    out = []
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
            raise ValueError("a polygon has at least three corners: x0, y0, x1, y1, ...")
        if np.abs(corners).max() > 1e6:
            raise ValueError("a polygon's corner lies far outside of any image")
        out.append(corners.tolist())
    if not out:
        raise ValueError("a segmentation holds no polygon")
    return out


def _decoded(packed: Any) -> BoolArray:
    return np.asarray(rle.decode(packed)).astype(np.bool_)
