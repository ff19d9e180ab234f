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

from refseg_ros.evaluation.bootstrap import ROUNDS, Bootstrap

FloatArray = npt.NDArray[np.float64]
THRESHOLDS = (0.7, 0.8, 0.9)


class GeneralizedReferringMetrics:
    """Accumulates samples. min_pixels: smaller predictions count as "nothing", for models that have no other way to
    say so (the GRES paper clears masks below 50 pixels). A mask without a pixel is "nothing" whatever was said.

    Raises ValueError for a min_pixels below 0.
    """

    def __init__(self, min_pixels: int = 0) -> None:
        if min_pixels < 0:
            raise ValueError(f"min_pixels must be at least 0, not {min_pixels}")
        self._min_pixels = min_pixels
        self._rows: list[tuple[int, int, bool, bool]] = []  # intersection, union, said nothing, true nothing
        self._groups: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def update(
        self, pred_mask: npt.ArrayLike, true_mask: npt.ArrayLike, pred_empty: bool, true_empty: bool,
        group: int | None = None,
    ) -> float:
        """Add one sample; returns its IoU. Masks: (H, W), anything that is not 0 is set.

        pred_empty: the model said that nothing fits; true_empty: nothing does; group: a number for the image, for
        intervals(); without it the sample stands for itself. Raises ValueError for masks of different shapes and for an
        empty truth with pixels.
        """
        pred, true = np.asarray(pred_mask).astype(bool), np.asarray(true_mask).astype(bool)
        if pred.shape != true.shape or pred.ndim != 2:
            raise ValueError(f"masks must be (H, W) and of one shape, not {pred.shape} and {true.shape}")
        if true_empty and true.any():
            raise ValueError("true_empty is set, but true_mask has pixels")
        area = int(np.count_nonzero(pred))
        said_nothing = bool(pred_empty) or area < max(1, self._min_pixels)
        if said_nothing:
            pred, area = np.zeros_like(true), 0
        common = int(np.count_nonzero(pred & true))
        return self._add((common, area + int(np.count_nonzero(true)) - common, said_nothing, bool(true_empty)), group)

    def update_failed(self, true_mask: npt.ArrayLike, true_empty: bool, group: int | None = None) -> float:
        """Add one sample whose answer was an error: wrong whatever is true, and neither nothing nor something."""
        area = int(np.count_nonzero(np.asarray(true_mask)))
        return self._add((0, area, not true_empty, bool(true_empty)), group)

    def _add(self, row: tuple[int, int, bool, bool], group: int | None) -> float:
        self._rows.append(row)
        self._groups.append(-len(self._rows) if group is None else group)
        return float(_iou(np.array([row], np.int64))[0])

    def _parts(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        return parts(np.array(self._rows, np.int64).reshape(-1, 4))

    def compute(self) -> dict[str, float]:
        """All figures as fractions; NaN for one that has no sample to rest on."""
        sums = {name: (float(over.sum()), float(under.sum())) for name, (over, under) in self._parts().items()}
        return {name: over / under if under else float("nan") for name, (over, under) in sums.items()}

    def intervals(self, level: float = 0.95, rounds: int = ROUNDS, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Bootstrap confidence intervals of compute()'s figures, over groups."""
        bootstrap = Bootstrap(self._groups, rounds, seed)
        return {name: bootstrap.ratio(over, under, level) for name, (over, under) in self._parts().items()}


def _iou(rows: npt.NDArray[np.int64]) -> FloatArray:
    """IoU of each row, by the protocol's rule for rows where nothing is."""
    common, union, said, true = rows.T
    ratio = common / np.maximum(union, 1)
    return np.where(true.astype(bool), said.astype(bool).astype(float), ratio)


def parts(rows: npt.NDArray[np.int64]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Each figure as what is summed over what, one a row. rows (N, 4): intersection, union, said nothing, truly so."""
    common, union = rows[:, 0].astype(np.float64), rows[:, 1].astype(np.float64)
    said, true = rows[:, 2].astype(bool), rows[:, 3].astype(bool)
    iou, empty, targeted = _iou(rows), true.astype(np.float64), (~true).astype(np.float64)
    out = {
        "gIoU": (iou, np.ones(len(rows))),
        "cIoU": (common, union),
        "N_acc": (said * empty, empty),
        "T_acc": (~said * targeted, targeted),
    }
    return out | {f"Pr@{t}": ((iou >= t) * targeted, targeted) for t in THRESHOLDS}


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """NaN as None, which JSON can say."""
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in values.items()}
