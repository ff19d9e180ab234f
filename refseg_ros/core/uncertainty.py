"""How far the truth may lie from a centroid and from a box's sizes: from measured errors, not from noise alone.

Thousands of readings average the sensor's noise away. What is left of a centroid's error is the mask's outline: it
moves the mean of N points by about its own error in pixels, over the square root of N, in units of the points' spread.
What is left of a size's error is the hidden back of the thing: it matters along the line of sight, and for what is
taller than wide, whose top does not show how deep it is. The factors were fitted to errors measured on rendered scenes
(docs/lifting.md says how), such that regions stated for 95 % hold the truth about 95 times in 100.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Sizes = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """outline: how far masks' outlines are off, in shares of the image's width; the default is that of `compact`.

    A centroid's covariance is a share of the points' own, made of steadiness * outline^2 / N, what was dropped of the
    mask beyond a tenth (dropped), and what grows with the outline for any N (bias); hidden: factor for a thing with
    something before it; plus pixel and pixel_outline pixels at its distance in every direction. A size's standard
    deviation is a share of it (footprint, height), deep * how much of it runs along the view * how tall the thing is,
    size_pixels and size_outline; loose: factor for a box without a plane. Raises ValueError for what is not positive.
    """

    outline: float = 3.6 / 640
    steadiness: float = 0.82
    dropped: float = 0.56
    bias: float = 0.013
    hidden: float = 2.6
    pixel: float = 0.63
    pixel_outline: float = 0.145
    footprint: float = 0.042
    height: float = 0.031
    deep: float = 0.36
    size_pixels: float = 1.0
    size_outline: float = 0.55
    loose: float = 2.0

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0.0 < getattr(self, item.name) < float("inf"):
                raise ValueError(f"Uncertainty.{item.name} must be positive, not {getattr(self, item.name)}")

    def centroid(self, scatter: Matrix, count: int, kept: float, width: int, pixel_m: float, occluded: bool) -> Matrix:
        """Covariance (3, 3), m^2, of the mean of `count` points with the covariance `scatter`, m^2.

        kept: share of the mask's pixels that are points; width: of the image, pixels; pixel_m: of one at the thing.
        """
        off = self.outline * width
        share = (self.steadiness * off) ** 2 / count + (self.dropped * max(0.9 - kept, 0.0)) ** 2
        share = (share + (self.bias * off) ** 2) * (self.hidden if occluded else 1.0)
        everywhere = (self.pixel**2 + (self.pixel_outline * off) ** 2) * pixel_m**2
        stated: Matrix = share * scatter + everywhere * np.eye(3)
        return stated

    def upright(self, size: Sizes, along_view: tuple[float, float], width: int, pixel_m: float) -> Sizes:
        """Standard deviations, metres, of the sizes of a box that stands on a plane: two of its footprint, its height.

        along_view: cosines, 0 to 1, in the plane, of the footprint's axes with the line of sight; width: of the image,
        pixels; pixel_m: of one at the thing.
        """
        rim = self._rim(width, pixel_m)
        flat = []
        for length, cosine in zip(size[:2], along_view, strict=True):
            tall = min(max((size[2] / length - 0.5) / 1.5, 0.0), 1.0)
            flat.append(float(np.hypot(length * np.hypot(self.footprint, self.deep * cosine * tall), rim)))
        return flat[0], flat[1], float(np.hypot(self.height * size[2], rim))

    def free(self, size: Sizes, width: int, pixel_m: float) -> Sizes:
        """Standard deviations, metres, of the sizes of a box without a plane."""
        rim = self._rim(width, pixel_m)
        a, b, c = (float(self.loose * np.hypot(max(self.footprint, self.deep / 2) * s, rim)) for s in size)
        return a, b, c

    def _rim(self, width: int, pixel_m: float) -> float:
        """What the outline leaves open of any size, metres."""
        return float(np.hypot(self.size_pixels, self.size_outline * self.outline * width)) * pixel_m
