"""How far the truth may lie from a centroid and from a box's sizes, from measured errors rather than from noise alone.

Thousands of pixels average sensor noise away; what is left is the mask: which pixels were taken for the thing. Its
error grows with the thing's own spread and with the size of a pixel. The factors were fitted on rendered scenes with
the demo camera's sensor model and masks with jittered outlines (python -m refseg_ros.evaluation.objects --fit), so
that the regions stated for 95 % hold the truth 95 times in 100; another camera or much worse masks need other ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """spread: standard deviation of a centroid in shares of the points' own; pixels: in pixels at its distance;
    readings: along the ray, in readings' standard deviations. size_share, size_pixels: of each size of an upright box,
    in shares of it and in pixels; loose: factor for a box without a plane."""

    spread: float = 0.06
    pixels: float = 0.4
    readings: float = 0.2
    size_share: tuple[float, float, float] = (0.05, 0.08, 0.03)
    size_pixels: float = 1.0
    loose: float = 2.0

    def centroid(self, centroid: Matrix, scatter: Matrix, pixel_m: float, noise: float) -> Matrix:
        """Covariance (3, 3), m^2, of the mean of points with the covariance `scatter`; noise: of a reading at 1 m."""
        ray = centroid / np.linalg.norm(centroid)
        along = (self.readings * noise * centroid[2] ** 2) ** 2
        mask: Matrix = self.spread**2 * scatter + (self.pixels * pixel_m) ** 2 * np.eye(3)
        return mask + along * np.outer(ray, ray)

    def sizes(self, size: tuple[float, float, float], pixel_m: float, upright: bool) -> tuple[float, float, float]:
        """Standard deviations of a box's sizes, metres."""
        factor = 1.0 if upright else self.loose
        a, b, c = (
            factor * float(np.hypot(share * s, self.size_pixels * pixel_m))
            for share, s in zip(self.size_share, size, strict=True)
        )
        return a, b, c
