"""Whether a stated belief is worth its number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def expected_calibration_error(belief: npt.ArrayLike, truth: npt.ArrayLike, bins: int = 10) -> float:
    """Mean distance of belief and frequency over equal-width bins, weighted by count; NaN without samples.

    belief: (N,) in [0, 1]; truth: (N,) of 0 and 1.
    """
    b, t = np.asarray(belief, np.float64), np.asarray(truth, np.float64)
    if not len(b):
        return float("nan")
    which = np.minimum((b * bins).astype(int), bins - 1)
    return float(sum(abs(b[which == n].sum() - t[which == n].sum()) for n in range(bins)) / len(b))
