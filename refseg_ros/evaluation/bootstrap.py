"""Confidence intervals by the percentile bootstrap over images (Efron and Tibshirani, 1993).

What is drawn again is the image, not the line: the instructions about one image share its light, its clutter and its
missed masks, and intervals that took them for independent would be far too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ROUNDS = 1000


class Bootstrap:
    """The same draws for every figure of a set of samples. groups: (N,) what image each sample belongs to."""

    def __init__(self, groups: Sequence[int] | npt.NDArray[np.int64], rounds: int = ROUNDS, seed: int = 0) -> None:
        kinds, self._which = np.unique(np.asarray(groups, np.int64), return_inverse=True)
        self._count = len(kinds)
        share = np.full(self._count, 1.0 / max(self._count, 1))
        rng = np.random.default_rng(seed)
        self._times = rng.multinomial(self._count, share, size=rounds) if self._count else np.zeros((rounds, 0))

    def sums(self, values: npt.ArrayLike) -> FloatArray:
        """(R, ...) sums over each draw of values (N, ...), one a sample."""
        v = np.asarray(values, np.float64)
        by_group = np.zeros((self._count, *v.shape[1:]))
        np.add.at(by_group, self._which, v)
        return np.tensordot(self._times.astype(np.float64), by_group, 1)

    def ratio(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
        """The interval of sum(numerator) / sum(denominator); NaN where no draw has a denominator."""
        over, under = self.sums(numerator), self.sums(denominator)
        return span(over[under > 0] / under[under > 0], level)


def span(drawn: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """The central share `level` of drawn figures (R,); NaN for none."""
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
