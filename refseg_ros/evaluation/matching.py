"""Predicted things against true ones: masks by the best assignment, boxes as REC and GREC define them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

BoolArray = npt.NDArray[np.bool_]
Phrases = tuple[Sequence[int], Sequence[int]]
MATCH_IOU = 0.5


def mask_iou(a: BoolArray, b: BoolArray) -> float:
    """Intersection over union of two (H, W) masks; 0 for two empty ones."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 0.0


def box_of(mask: BoolArray) -> tuple[int, int, int, int] | None:
    """(x0, y0, x1, y1) of the set pixels, x1 and y1 one past the last; None for an empty mask."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return None if not len(rows) else (int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1)


def box_iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union else 0.0


def match(
    predicted: Sequence[BoolArray], true: Sequence[BoolArray], phrases: Phrases | None = None
) -> list[tuple[int, int, float]]:
    """(index predicted, index true, IoU) of the best assignment's pairs with IoU >= MATCH_IOU, one to one. phrases:
    of each predicted and of each true thing, where only those of one phrase may be a pair."""
    if not predicted or not true:
        return []
    overlaps = np.array([[mask_iou(p, t) for t in true] for p in predicted])
    if phrases is not None:
        overlaps[np.not_equal.outer(*phrases)] = 0.0
    pairs = zip(*linear_sum_assignment(-overlaps), strict=True)
    return [(int(i), int(j), float(overlaps[i, j])) for i, j in pairs if overlaps[i, j] >= MATCH_IOU]


def instance_f1(predicted: Sequence[BoolArray], true: Sequence[BoolArray], phrases: Phrases | None = None) -> float:
    """F1 of instances under match(); 1 when there are none on either side (GREC's rule for empty truths)."""
    if not predicted and not true:
        return 1.0
    return 2 * len(match(predicted, true, phrases)) / (len(predicted) + len(true))


def grec_f1(predicted: Sequence[BoolArray], true: Sequence[BoolArray]) -> float:
    """F1 of the masks' boxes as GREC counts it (He et al., 2023): the pair with the greatest IoU is taken first, then
    the next among those left, while IoU >= MATCH_IOU; 1 when there are none on either side."""
    if not predicted and not true:
        return 1.0
    ours, theirs = [box_of(m) for m in predicted], [box_of(m) for m in true]
    pairs = sorted(
        ((box_iou(a, b), i, j) for (i, a), (j, b) in product(enumerate(ours), enumerate(theirs)) if a and b),
        key=lambda pair: -pair[0],
    )
    rows: set[int] = set()
    columns: set[int] = set()
    for overlap, i, j in pairs:
        if overlap >= MATCH_IOU and i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
    return 2 * len(rows) / (len(predicted) + len(true))


def rec_right(predicted: Sequence[BoolArray], true: BoolArray) -> bool:
    """REC: the box of the answer's only thing overlaps the true one by more than half."""
    boxes, truth = [box_of(m) for m in predicted], box_of(true)
    return len(boxes) == 1 and boxes[0] is not None and truth is not None and box_iou(boxes[0], truth) > 0.5
