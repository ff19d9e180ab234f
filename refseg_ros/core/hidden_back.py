"""The back of round things that nobody sees: a front that is an arc of an ellipse is taken for half of a whole one.

Works in the supporting plane, seen from straight above, with the camera's foot at the origin. A thing's nearest
surface, column by column of the picture, is its front. For an ellipse as wide as the thing's outline, centre (u0, d0),
half width a, half depth b and shear k, the front is d = d0 + k x - b sqrt(1 - x^2), x = (u - u0) / a: linear in d0, k
and b, and as the width is known, what the outermost pixels miss costs nothing. Boxes, handles and whatever else is not
so do not fit, and get no back: nothing is made up for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Flat = npt.NDArray[np.float32]  # (2, N), metres

SAMPLES, LEAST_COLUMNS, MOST_COLUMNS, LEAST_IN_COLUMN = 800, 6, 25, 5
OUTERMOST, NEAREST = 0.003, 0.05  # shares of the points: beyond the outline, and before the front
RIM_PX = 0.7  # that the outline loses on either side: a rim's last reading is seldom on it
SEEN = 1.0  # of its width: so deep a thing has shown its back
STEEP = 0.35  # horizontal over vertical distance of the camera: seen from higher up, there is no hidden back


@dataclass(frozen=True, kw_only=True)
class HiddenBack:
    """misfit: of the front, root mean square in half widths, beyond which it is no ellipse. flattest, deepest: b / a of
    one; skew: its largest k / a. A front within round_skew and round_depth of a circle is one. Raises ValueError for
    values that cannot work."""

    misfit: float = 0.05
    flattest: float = 0.3
    deepest: float = 1.5
    skew: float = 0.7
    round_skew: float = 0.1
    round_depth: tuple[float, float] = (0.7, 1.1)

    def __post_init__(self) -> None:
        for name in ("misfit", "flattest", "deepest", "skew", "round_skew"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"HiddenBack.{name} must be positive, not {getattr(self, name)}")
        if not 0.0 < self.round_depth[0] <= self.round_depth[1] or self.flattest > self.deepest:
            raise ValueError("HiddenBack's ranges must be (least, most), and positive")

    def points(self, flat: Flat, camera_height_m: float, pixel_m: float) -> Flat | None:
        """The outline of the hidden half, (2, M), or None where the front is no ellipse's or all of it is seen.

        flat: the visible points; camera_height_m: above the plane; pixel_m: what one pixel covers at the thing.
        """
        seen = flat[:, :: max(1, flat.shape[1] // SAMPLES)].astype(np.float64)
        middle = seen.mean(1)
        away = float(np.hypot(*middle))
        if away < STEEP * camera_height_m or away <= 0.0:
            return None
        sight = middle / away
        across = np.array([-sight[1], sight[0]])
        d = sight @ seen
        if float(d.min()) <= 0.0:
            return None
        u = across @ seen * (away / d)  # along the line of sight a column of the picture has one u
        ends, near_to_far = np.sort(u), np.sort(d)
        edge = int(OUTERMOST * len(u))
        low, high = float(ends[edge]), float(ends[-1 - edge])
        if float(near_to_far[-1 - edge] - near_to_far[edge]) > SEEN * (high - low):
            return None  # the top shows how deep it is
        columns = min(int((high - low) / (1.5 * pixel_m)), MOST_COLUMNS)
        if columns < LEAST_COLUMNS:
            return None
        x, front = _front(u, d, low, high, columns)
        if len(x) < LEAST_COLUMNS:
            return None
        a, u0 = (high - low) / 2 + RIM_PX * pixel_m, (high + low) / 2
        x *= (high - low) / 2 / a
        arc = np.sqrt(1 - x * x)
        terms = np.stack([np.ones_like(x), x, -arc], 1)
        solution = np.linalg.solve(terms.T @ terms, terms.T @ front)
        d0, k, b = solution.tolist()
        off = math.sqrt(float(np.square(terms @ solution - front).mean()))
        fits = off < self.misfit * a and self.flattest * a < b < self.deepest * a and abs(k) < self.skew * a
        if not fits:
            return None
        if abs(k) < self.round_skew * a and self.round_depth[0] * a < b < self.round_depth[1] * a:
            d0, k, b = float(np.median(front + a * arc)), 0.0, a
        if d0 + b < float(near_to_far[-1 - edge]) + pixel_m:
            return None
        turn = np.linspace(-1.0, 1.0, 33)
        back = d0 + k * turn + b * np.sqrt(1 - turn * turn)
        out: Flat = (np.outer(across, (u0 + a * turn) * back / away) + np.outer(sight, back)).astype(np.float32)
        return out


def _front(
    u: npt.NDArray[np.float64], d: npt.NDArray[np.float64], low: float, high: float, columns: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The middle of each column with enough points, -1 at low to 1 at high, and how near its surface comes."""
    column = ((u - low) * (columns / (high - low))).astype(np.intp).clip(0, columns - 1)
    counts = np.bincount(column, minlength=columns)
    begins = np.cumsum(counts) - counts
    least, span = float(d.min()), float(np.ptp(d)) * 1.001 + 1e-9
    ordered = np.sort(column + (d - least) / span)  # by column, in each by distance
    filled = np.flatnonzero(counts >= LEAST_IN_COLUMN)
    nearest = least + span * (ordered[begins[filled] + (NEAREST * counts[filled]).astype(np.intp)] - filled)
    return (filled + 0.5) / columns * 2 - 1, nearest
