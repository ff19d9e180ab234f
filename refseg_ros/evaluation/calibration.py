"""Whether a stated belief is worth its number, how to make it so, and thresholds that keep a stated error rate.

Thresholds follow conformal risk control (Angelopoulos et al., ICLR 2024): of n exchangeable images, the loss of one
is its share of wrongly answered phrases; the threshold is the boldest at which (sum of losses + 1) / (n + 1) stays
within the rate. Then a new image's expected loss is within the rate, whatever the model and the distribution are, as
long as new images are drawn like those of the calibration. Phrases of one image are not independent, so the unit is
the image. Temperature and isotonic maps keep the order of beliefs, so they may be fitted on the same images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize, minimize_scalar

FloatArray = npt.NDArray[np.float64]
MOST_LOG_TEMPERATURE = 3.0


def expected_calibration_error(belief: npt.ArrayLike, truth: npt.ArrayLike, bins: int = 10) -> float:
    """Mean distance of belief and frequency over equal-width bins, weighted by count; NaN without samples.

    belief: (N,) in [0, 1]; truth: (N,) of 0 and 1.
    """
    b, t = np.asarray(belief, np.float64), np.asarray(truth, np.float64)
    if not len(b):
        return float("nan")
    which = np.minimum((b * bins).astype(int), bins - 1)
    return float(sum(abs(b[which == n].sum() - t[which == n].sum()) for n in range(bins)) / len(b))


def sigmoid(logits: npt.ArrayLike) -> FloatArray:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))), np.float64)


def fit_temperature(logits: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """The T > 0 at which sigmoid(logits / T) has the least cross entropy. Raises ValueError for unusable arrays."""
    x, t = _checked(logits, truth)

    def cross_entropy(log_temperature: float) -> float:
        scaled = x / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, scaled) - t * scaled))

    bounds = (-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE)
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def fit_shift(logits: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """What to add to logits before their temperature (Platt scaling), so that 0 means as likely as not: scores that
    were not taught as probabilities may all lie on one side of it. Raises ValueError for unusable arrays."""
    x, t = _checked(logits, truth)

    def cross_entropy(found: FloatArray) -> float:
        scaled = (x + found[0]) / np.exp(np.clip(found[1], -MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE))
        return float(np.mean(np.logaddexp(0.0, scaled) - t * scaled))

    middle = -float(np.median(x))
    tries = [minimize(cross_entropy, (start, 0.0), method="Nelder-Mead") for start in (0.0, middle)]
    return float(min(tries, key=lambda found: found.fun).x[0])


@dataclass(frozen=True, eq=False)
class IsotonicMap:
    """A rising curve from logit to belief: straight lines between knots, flat beyond them. x, y: (K,)."""

    x: FloatArray
    y: FloatArray

    def __call__(self, logits: npt.ArrayLike) -> FloatArray:
        return np.asarray(np.interp(np.asarray(logits, np.float64), self.x, self.y), np.float64)


def fit_isotonic(logits: npt.ArrayLike, truth: npt.ArrayLike) -> IsotonicMap:
    """The rising curve that lies nearest to the truth. Needs some hundred samples to be better than a temperature."""
    x, t = _checked(logits, truth)
    values, where = np.unique(x, return_inverse=True)
    counts = np.bincount(where).astype(np.float64)
    fitted = isotonic_regression(np.bincount(where, t) / counts, weights=counts)
    ends = fitted.blocks
    keep = np.unique(np.concatenate([ends[:-1], ends[1:] - 1]))  # both ends of each flat piece
    return IsotonicMap(values[keep], np.asarray(fitted.x[keep], np.float64))


@dataclass(frozen=True, kw_only=True)
class ErrorRates:
    """What the thresholds promise, as shares in (0, 1): of absent phrases said to be there, of present ones denied."""

    false_accept: float = 0.02
    false_reject: float = 0.05

    def __post_init__(self) -> None:
        for name in ("false_accept", "false_reject"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"ErrorRates.{name} must be in (0, 1), not {getattr(self, name)}")


@dataclass(frozen=True)
class Band:
    """belief >= accept: FOUND; belief < reject: ABSENT; between them UNCERTAIN. 0 <= reject <= accept <= 1."""

    accept: float
    reject: float


def conformal_band(
    belief: npt.ArrayLike, truth: npt.ArrayLike, images: npt.ArrayLike, rates: ErrorRates | None = None
) -> Band:
    """The narrowest UNCERTAIN band that keeps both rates on new images, in expectation.

    belief: (N,) in [0, 1]; truth: (N,), 1 where the phrase names something in view; images: (N,) which image each
    phrase belongs to. Where one threshold keeps both rates the band is empty and lies in the middle of what is allowed.
    Raises ValueError for unusable arrays, and where there are too few images for a rate (a rate of 2 % needs 49).
    """
    rates = rates or ErrorRates()
    b, t = _checked(belief, truth)
    units = np.asarray(images)
    if units.shape != b.shape or b.min() < 0 or b.max() > 1:
        raise ValueError("conformal_band() needs beliefs in [0, 1] and an image for each")
    absent, present = t == 0, t == 1
    # Above the belief at which too many absent phrases would be accepted; at the one where too many present ones ...
    highest = _boldest(-b[absent], units[absent], rates.false_accept, "false_accept")
    accept = 0.0 if highest is None else float(np.nextafter(-highest, np.inf))
    lowest = _boldest(b[present], units[present], rates.false_reject, "false_reject")
    reject = 1.0 if lowest is None else lowest
    if accept > 1.0:
        raise ValueError("too many absent phrases are believed with certainty: no threshold keeps false_accept")
    if reject >= accept:
        accept = reject = (accept + reject) / 2
    return Band(accept, reject)


def _boldest(values: FloatArray, units: npt.NDArray, rate: float, name: str) -> float | None:
    """The value at which, going up, the losses pass what the rate allows; None if they never do."""
    kinds, which = np.unique(units, return_inverse=True)
    allowed = rate * (len(kinds) + 1) - 1.0
    if allowed < 0:
        raise ValueError(
            f"{name} {rate:g} needs {int(np.ceil(1 / rate)) - 1} images with such a phrase, and there are {len(kinds)}"
        )
    weight = 1.0 / np.bincount(which)[which]
    order = np.argsort(values, kind="stable")
    risen = np.cumsum(weight[order])
    sorted_values = values[order]
    total = risen[np.searchsorted(sorted_values, sorted_values, side="right") - 1]  # equal values fall together
    over = np.flatnonzero(total > allowed + 1e-9)
    return float(sorted_values[over[0]]) if len(over) else None


@dataclass(frozen=True)
class Calibration:
    """What goes beside the weights: belief = sigmoid(logit / temperature), and the band on that belief."""

    temperature: float
    band: Band
    rates: ErrorRates


def calibrate(
    logits: npt.ArrayLike, truth: npt.ArrayLike, images: npt.ArrayLike, rates: ErrorRates | None = None
) -> Calibration:
    """Temperature and band from one set of phrases: arrays as in conformal_band(), with logits for beliefs."""
    rates = rates or ErrorRates()
    temperature = fit_temperature(logits, truth)
    belief = sigmoid(np.asarray(logits, np.float64) / temperature)
    return Calibration(temperature, conformal_band(belief, truth, images, rates), rates)


def held_out_figures(
    logits: npt.ArrayLike,
    truth: npt.ArrayLike,
    images: npt.ArrayLike,
    rates: ErrorRates | None = None,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, float]:
    """What calibrate() keeps on images it has not seen: each fold is judged by a calibration on the others.

    Returns shares of phrases: false_accept and uncertain_absent of the absent ones, false_reject and uncertain_present
    of the present ones, and ece. Raises ValueError as calibrate() does.
    """
    x, t = _checked(logits, truth)
    kinds, which = np.unique(np.asarray(images), return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(kinds))[which] % folds
    belief, said = np.zeros(len(x)), np.zeros(len(x), np.int8)  # 1 accepted, -1 rejected
    for n in range(folds):
        here = fold == n
        found = calibrate(x[~here], t[~here], which[~here], rates)
        belief[here] = sigmoid(x[here] / found.temperature)
        said[here] = np.where(
            belief[here] >= found.band.accept, 1, np.where(belief[here] < found.band.reject, -1, 0)
        )
    absent, present = t == 0, t == 1
    return {
        "false_accept": float(np.mean(said[absent] == 1)),
        "uncertain_absent": float(np.mean(said[absent] == 0)),
        "false_reject": float(np.mean(said[present] == -1)),
        "uncertain_present": float(np.mean(said[present] == 0)),
        "ece": expected_calibration_error(belief, t),
    }


def reliability(belief: Sequence[float], truth: Sequence[float], bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean belief, frequency, count) of each equal-width bin that holds something: the reliability diagram."""
    b, t = np.asarray(belief, np.float64), np.asarray(truth, np.float64)
    which = np.minimum((b * bins).astype(int), bins - 1)
    return [
        (float(b[which == n].mean()), float(t[which == n].mean()), int(np.count_nonzero(which == n)))
        for n in range(bins)
        if np.any(which == n)
    ]


def _checked(values: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    v, t = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    if v.ndim != 1 or v.shape != t.shape or not np.isfinite(v).all() or not np.isin(t, (0, 1)).all():
        raise ValueError("calibration needs finite values and truths of 0 and 1, both (N,)")
    if not (t == 0).any() or not (t == 1).any():
        raise ValueError("calibration needs phrases that name something in view and phrases that do not")
    return v, t
