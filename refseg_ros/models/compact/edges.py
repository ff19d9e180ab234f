"""Masks at the frame's size that end where the picture's colours and depths do.

A guided filter (He, Sun and Tang, PAMI 2013): around each pixel the mask is told as a linear function of colour and
depth, and that function is asked again; where it explains nothing, the mask stays. Its coefficients are found at the
network's size and used at the frame's (He and Sun, arXiv 1505.00996). It needs no training.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import BoolArray, Frame, crop_mask

Floats = npt.NDArray[np.float32]
RADIUS, EPSILON, PASSES = 5, 1e-4, 2  # pixels of the network's size; of colours in 0..1 and metres; how often
TRUST = 0.25  # the power of what is explained, by which it counts: the little that a faint edge explains is much
MARGIN = 3 * RADIUS  # how far around a mask the picture is looked at


class Edges:
    """A frame as a guide for masks. inner: the network's (width, height) without padding."""

    def __init__(self, frame: Frame, inner: tuple[int, int]) -> None:
        self._frame, self.inner = frame, inner
        self._rgb = np.asarray(cv2.resize(frame.rgb, inner, interpolation=cv2.INTER_AREA), np.uint8)
        self._depth: Floats | None = None
        if frame.depth is not None:
            self._depth = np.asarray(cv2.resize(frame.depth, inner, interpolation=cv2.INTER_NEAREST), np.float32)

    def followed(self, mask_hw: BoolArray) -> tuple[BoolArray, tuple[int, int]] | None:
        """A mask at the network's size as (mask, (x, y) of its corner) at the frame's; None when that
        has no pixel for it."""
        rows, cols = np.flatnonzero(mask_hw.any(1)), np.flatnonzero(mask_hw.any(0))
        if not len(rows):
            return None
        height, width = mask_hw.shape
        top, bottom = max(rows[0] - MARGIN, 0), min(rows[-1] + MARGIN + 1, height)
        left, right = max(cols[0] - MARGIN, 0), min(cols[-1] + MARGIN + 1, width)
        here = np.s_[top:bottom, left:right]
        (x0, x1), (y0, y1) = (
            _scaled(*span, self._frame.size[axis] / self.inner[axis], self._frame.size[axis])
            for axis, span in enumerate(((left, right), (top, bottom)))
        )
        there = np.s_[y0:y1, x0:x1]
        middle = self._middle(here)
        guide = _guide(self._rgb[here], None if middle is None or self._depth is None else self._depth[here], middle)
        depth = self._frame.depth
        fine = _guide(self._frame.rgb[there], None if middle is None or depth is None else depth[there], middle)
        around, rough = Surroundings(guide), mask_hw[here].astype(np.float32)
        for _ in range(PASSES - 1):
            rough = (around.smoothed(guide, around.coefficients(rough), rough) > 0.5).astype(np.float32)
        size = (x1 - x0, y1 - y0)
        mask = around.smoothed(fine, _resized(around.coefficients(rough), size), _resized(rough, size)) > 0.5
        if not mask.any():  # what was found is not lost over an edge
            mask = _resized(mask_hw[here].astype(np.float32), size) >= 0.5
        if not mask.any():
            return None
        cropped, (x, y) = crop_mask(mask)
        return cropped, (x + x0, y + y0)

    def _middle(self, here: tuple[slice, slice]) -> float | None:
        """The median depth there in metres, for pixels that have none; None where no pixel has one."""
        if self._depth is None:
            return None
        known = self._depth[here]
        known = known[np.isfinite(known) & (known > 0)]
        return float(np.median(known)) if len(known) else None


def _scaled(first: int, end: int, scale: float, size: int) -> tuple[int, int]:
    """A span of pixels at another scale: of at least one pixel, within `size`."""
    low = min(round(first * scale), size - 1)
    return low, min(max(round(end * scale), low + 1), size)


def _guide(rgb_hw3: npt.NDArray[np.uint8], depth_hw: Floats | None, middle: float | None) -> Floats:
    """(H, W, 3 or 4): colour in 0..1 and depth in metres from the middle one."""
    colour = rgb_hw3.astype(np.float32) * np.float32(1 / 255)
    if depth_hw is None or middle is None:
        return colour
    known = np.isfinite(depth_hw) & (depth_hw > 0)
    return np.dstack([colour, np.where(known, depth_hw - np.float32(middle), np.float32(0))])


class Surroundings:
    """What is around each pixel of a guide (H, W, C): means and covariances, factored (L D L^T) for all pixels at once,
    since the library's solver takes them one by one, and ten times as long."""

    def __init__(self, guide_hwc: Floats) -> None:
        self._guide, size = guide_hwc, guide_hwc.shape[2]
        pairs = [(i, j) for i in range(size) for j in range(i, size)]
        products = np.stack([guide_hwc[..., i] * guide_hwc[..., j] for i, j in pairs], 2)
        means = _mean(np.dstack([guide_hwc, products]))
        self._means = means[..., :size]
        rows = {p: means[..., size + n] - means[..., p[0]] * means[..., p[1]] for n, p in enumerate(pairs)}
        self._pivots: list[Floats] = []
        self._factors: dict[tuple[int, int], Floats] = {}
        for i in range(size):
            pivot = np.maximum(rows[i, i], 0) + EPSILON  # not negative, whatever rounding says
            self._pivots.append(np.asarray(pivot, np.float32))
            for j in range(i + 1, size):
                self._factors[i, j] = np.asarray(rows[i, j] / pivot, np.float32)
                for k in range(i + 1, j + 1):
                    rows[k, j] -= self._factors[i, j] * rows[i, k]

    def coefficients(self, mask_hw: Floats) -> Floats:
        """(H, W, C + 2): around each pixel the mask is about slope (C) . guide + level, for that share of it which
        guide explains; all three as means over the windows that hold the pixel, the first two times the third."""
        size = self._guide.shape[2]
        means = _mean(np.dstack([mask_hw, self._guide * mask_hw[..., None]]))
        mask = means[..., 0]
        shared = [means[..., 1 + i] - self._means[..., i] * mask for i in range(size)]
        slope = [s.copy() for s in shared]
        for i in range(size):
            for j in range(i + 1, size):
                slope[j] -= self._factors[i, j] * slope[i]
        for i in reversed(range(size)):
            slope[i] /= self._pivots[i]
            for j in range(i + 1, size):
                slope[i] -= self._factors[i, j] * slope[j]
        level, explained = mask.copy(), np.zeros_like(mask)
        for i in range(size):
            level -= slope[i] * self._means[..., i]
            explained += slope[i] * shared[i]
        share = np.power(np.clip(explained / (mask * (1 - mask) + np.float32(1e-4)), 0, 1), np.float32(TRUST))
        return _mean(np.dstack([*(s * share for s in slope), level * share, share]))

    @staticmethod
    def smoothed(guide_hwc: Floats, coefficients_hwk: Floats, mask_hw: Floats) -> Floats:
        """What the coefficients say of the guide, and the mask itself where that explains nothing."""
        size = guide_hwc.shape[2]
        told = (coefficients_hwk[..., :size] * guide_hwc).sum(2) + coefficients_hwk[..., size]
        rest: Floats = 1 - coefficients_hwk[..., size + 1]
        return np.asarray(told + rest * mask_hw, np.float32)


def _resized(values: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _mean(values_hwc: Floats) -> Floats:
    side = 2 * RADIUS + 1
    return np.asarray(cv2.blur(values_hwc, (side, side)), np.float32)
