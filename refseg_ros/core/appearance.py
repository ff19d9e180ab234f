"""What a thing looks like: how its lightness and its two colour axes are spread, compared as one moves earth.

Unlike a histogram's cells, this changes little when exposure and white balance do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import Instance

SAMPLES = 800  # pixels of a mask's box at the most, rows and columns being left out as needed
BINS, LEVELS = 32, 8  # a channel of CIE L*a*b*, and the levels of 256 in each bin
# Levels of a wholly different look: lightness changes with the light, so it counts less than colour.
FAR = np.repeat([160.0, 45.0, 45.0], BINS).astype(np.float32)
_CHANNEL = (np.arange(3, dtype=np.uint8) * BINS)[None]

Look = npt.NDArray[np.float32]


def looks(rgb: npt.NDArray[np.uint8], instances: Sequence[Instance]) -> list[Look]:
    """float32 (3 * BINS,) each: the cumulative distributions of L*, a* and b* under the mask."""
    if not instances:
        return []
    samples = [_under(rgb, instance) for instance in instances]
    sizes = [len(each) for each in samples]
    # All of them at once: a call of their own each would cost more than what it does.
    lab = cv2.cvtColor(np.concatenate(samples)[:, None], cv2.COLOR_RGB2LAB)[:, 0] // LEVELS + _CHANNEL
    bins = lab + np.repeat(np.arange(len(sizes)) * (3 * BINS), sizes)[:, None]
    counts = np.bincount(bins.ravel(), minlength=len(sizes) * 3 * BINS).reshape(-1, 3, BINS)
    shares = np.cumsum(counts, axis=2) / np.array(sizes)[:, None, None]
    return list(shares.reshape(-1, 3 * BINS).astype(np.float32))


def _under(rgb: npt.NDArray[np.uint8], instance: Instance) -> npt.NDArray[np.uint8]:
    """Pixels (N, 3) under a mask, at most about SAMPLES of them."""
    (x, y), (h, w) = instance.offset, instance.mask.shape
    step = math.ceil(math.sqrt(h * w / SAMPLES))
    pixels, inside = rgb[y : y + h : step, x : x + w : step], instance.mask[::step, ::step]
    if not inside.any():  # a mask thinner than the step
        pixels, inside = rgb[y : y + h, x : x + w], instance.mask
    return np.asarray(pixels[inside], np.uint8)


def differences(ours: Sequence[Look], theirs: Sequence[Look]) -> npt.NDArray[np.float64]:
    """(len(ours), len(theirs)), each 0 for the same look to 1 for a wholly different one."""
    if not ours or not theirs:
        return np.zeros((len(ours), len(theirs)))
    apart = np.abs(np.stack(ours)[:, None] - np.stack(theirs)[None]) * (LEVELS / FAR)
    return np.minimum(1.0, apart.sum(-1)).astype(np.float64)
