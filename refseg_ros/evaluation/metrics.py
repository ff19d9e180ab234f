"""The generalised referring metrics of gRefCOCO (Liu et al., GRES, CVPR 2023). Knows nothing of models or files.

    gIoU   mean over samples of IoU; an empty truth answered "nothing" counts 1, answered with anything 0
    cIoU   sum of intersections over sum of unions; a right rejection adds nothing, a wrong one adds its area
    N_acc  share of empty truths that were answered "nothing"
    T_acc  share of targeted samples that were not
    Pr@t   share of targeted samples with IoU >= t
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

THRESHOLDS = (0.7, 0.8, 0.9)


class GeneralizedReferringMetrics:
    """Accumulates samples. min_pixels: smaller predictions count as "nothing", for models that have no other way to
    say so (the GRES paper clears masks below 50 pixels); 0 takes every prediction as it is.

    Raises ValueError for a min_pixels below 0.
    """

    def __init__(self, min_pixels: int = 0) -> None:
        if min_pixels < 0:
            raise ValueError(f"min_pixels must be at least 0, not {min_pixels}")
        self._min_pixels = min_pixels
        self._rows: list[tuple[int, int, bool, bool]] = []  # intersection, union, said nothing, true nothing

    def __len__(self) -> int:
        return len(self._rows)

    def update(
        self, pred_mask: npt.ArrayLike, true_mask: npt.ArrayLike, pred_empty: bool, true_empty: bool
    ) -> float:
        """Add one sample; returns its IoU. Masks: (H, W), anything that is not 0 is set.

        pred_empty: the model said that nothing fits; true_empty: nothing does. Raises ValueError for masks of
        different shapes and for an empty truth with pixels.
        """
        pred, true = np.asarray(pred_mask).astype(bool), np.asarray(true_mask).astype(bool)
        if pred.shape != true.shape or pred.ndim != 2:
            raise ValueError(f"masks must be (H, W) and of one shape, not {pred.shape} and {true.shape}")
        if true_empty and true.any():
            raise ValueError("true_empty is set, but true_mask has pixels")
        area = int(np.count_nonzero(pred))
        said_nothing = bool(pred_empty) or area < self._min_pixels
        if said_nothing:
            pred, area = np.zeros_like(true), 0
        common = int(np.count_nonzero(pred & true))
        union = area + int(np.count_nonzero(true)) - common
        self._rows.append((common, union, said_nothing, bool(true_empty)))
        return float(_iou(np.array([self._rows[-1]], np.int64))[0])

    def compute(self) -> dict[str, float]:
        """All figures as fractions; NaN for one that has no sample to rest on."""
        return figures(np.array(self._rows, np.int64).reshape(-1, 4))

    def intervals(self, level: float = 0.95, rounds: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Bootstrap confidence intervals of compute()'s figures, over samples."""
        rows, rng = np.array(self._rows, np.int64).reshape(-1, 4), np.random.default_rng(seed)
        drawn: dict[str, list[float]] = {}
        for _ in range(rounds if len(rows) else 0):
            for name, value in figures(rows[rng.integers(len(rows), size=len(rows))]).items():
                drawn.setdefault(name, []).append(value)
        ends = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
        return {name: _span(values, ends) for name, values in drawn.items()}


def _span(values: list[float], ends: list[float]) -> tuple[float, float]:
    known = [v for v in values if not np.isnan(v)]
    low, high = np.percentile(known, ends) if known else (np.nan, np.nan)
    return float(low), float(high)


def _iou(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """IoU of each row, by the protocol's rule for rows where nothing is."""
    common, union, said, true = rows.T
    ratio = common / np.maximum(union, 1)
    return np.where(true.astype(bool), said.astype(bool).astype(float), ratio)


def figures(rows: npt.NDArray[np.int64]) -> dict[str, float]:
    """The figures of rows (N, 4): intersection, union, said nothing, truly nothing."""
    common, union, said, true = rows.T
    said, true = said.astype(bool), true.astype(bool)
    iou, targeted = _iou(rows), ~true
    out = {
        "gIoU": _mean(iou),
        "cIoU": float(common.sum() / union.sum()) if union.sum() else float("nan"),
        "N_acc": _mean(said[true]),
        "T_acc": _mean(~said[targeted]),
    }
    return out | {f"Pr@{t}": _mean(iou[targeted] >= t) for t in THRESHOLDS}


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """NaN as None, which JSON can say."""
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in values.items()}
