"""Which pixels of a mask measure the thing's own surface: no flying pixels, no other layers, no specks.

All tests look at a pixel's own neighbourhood in the depth image, so that they cost the same for every pixel: a flying
pixel differs from the median around it, a layer begins behind a step, a speck is a component of its own. Nothing is
filled in: what has no reading stays a hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Depth = npt.NDArray[Any]  # float32 (h, w), metres; Any because OpenCV's own types say no more
Pixels = npt.NDArray[Any]  # uint8 (h, w), 0 or not 0
SQUARE = np.ones((3, 3), np.uint8)
WIDE = np.ones((5, 5), np.uint8)
STEP_NOISE, MOST_NOISE = 6.0, 0.01  # noise of a centimetre at 1 m is a bad camera, beyond it is no camera
MOST_READ = 600  # pixels of one component
Part = tuple[Pixels, npt.NDArray[Any], int]  # labels (h, w), what OpenCV says of one of them, and which
NOWHERE = np.float32(1e6)  # metres: behind everything


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig:
    """Depth in (min_depth_m, max_depth_m) is a reading. noise: the least standard deviation of one at 1 m, metres; it
    grows with z^2. Where the picture is noisier than that, its own is measured, up to MOST_NOISE.

    A reading further than outlier * its noise (and floor_m) from the median of its 3 x 3 neighbours flies. One that is
    more than step_m + step_ratio * z (and STEP_NOISE * its noise) behind a neighbour is across an edge: layers end
    there. Parts of one mask whose depths come within gap_m of each other are one layer; so are parts within hidden_m
    that are too broad to be an outline drawn too wide: a tray's floor behind the tray's own wall. Raises ValueError for
    values that cannot work.
    """

    min_depth_m: float = 0.05
    max_depth_m: float = 10.0
    noise: float = 0.0012
    outlier: float = 4.0
    floor_m: float = 0.002
    step_m: float = 0.012
    step_ratio: float = 0.008
    gap_m: float = 0.03
    hidden_m: float = 0.065

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_depth_m < self.max_depth_m < float("inf"):
            raise ValueError(f"need 0 <= min_depth_m < max_depth_m, not {self.min_depth_m} and {self.max_depth_m}")
        for name in ("noise", "outlier", "floor_m", "step_m", "gap_m", "hidden_m"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"SurfaceConfig.{name} must be positive, not {getattr(self, name)}")
        if not 0.0 <= self.step_ratio < 1.0:
            raise ValueError(f"SurfaceConfig.step_ratio must be in [0, 1), not {self.step_ratio}")


def readings(depth: Depth, config: SurfaceConfig) -> tuple[Depth, Pixels]:
    """Depth (h, w) with 0 where there is no reading, and where there is one (uint8, 255)."""
    low, high = np.nextafter(np.float32(config.min_depth_m), np.float32(9)), np.float32(config.max_depth_m)
    valid = cv2.inRange(depth, float(low), float(np.nextafter(high, np.float32(0))))  # NaN is not in a range
    return cv2.copyTo(depth, valid), valid


def flying(z: Depth, config: SurfaceConfig) -> Pixels:
    """Readings (h, w; 0 none) that differ from the median around them, uint8 255. Holes count as near."""
    off = cv2.absdiff(z, cv2.medianBlur(z, 3))
    tolerance = np.maximum(np.float32(config.outlier * config.noise) * z * z, np.float32(config.floor_m))
    return cv2.compare(off, tolerance, cv2.CMP_GT)


def edge_depth(z: Depth, config: SurfaceConfig) -> Depth:
    """How near a neighbour of each reading (h, w) must be for an edge to lie between them, metres."""
    step = np.float32(config.step_ratio) * z + np.float32(config.step_m)
    return np.asarray(z - np.maximum(step, np.float32(STEP_NOISE * config.noise) * z * z))


def behind_step(z: Depth, valid: Pixels, edge: Depth) -> Pixels:
    """Readings (h, w) behind an edge: an 8-neighbour is nearer than edge_depth() there. uint8 255."""
    nearest = cv2.erode(cv2.copyTo(z, valid, np.full(z.shape, NOWHERE, np.float32)), SQUARE)
    return cv2.compare(nearest, edge, cv2.CMP_LT)


def measured_noise(depth: Depth, config: SurfaceConfig) -> float:
    """The standard deviation of readings at 1 m, metres, from how much three neighbours in a row are off a line."""
    rows = depth[::16] if len(depth) > 400 else depth[::4]
    width = (rows.shape[1] // 3) * 3
    a, b, c = (rows[:, i:width:3] for i in range(3))
    with np.errstate(invalid="ignore", over="ignore"):
        there = (np.minimum(np.minimum(a, b), c) > config.min_depth_m) & (b < config.max_depth_m)
        off = np.abs(a - 2 * b + c)[there] / np.square(b[there])
    off = off[np.isfinite(off)]
    if len(off) < 100:
        return config.noise
    off.partition(len(off) // 2)
    # The median of a normal number's size is 0.6745 of its deviation; that of a - 2 b + c is sqrt(6) times a reading's.
    return float(np.clip(off[len(off) // 2] / (0.6745 * 6**0.5), config.noise, max(config.noise, MOST_NOISE)))


def narrow(z: Depth, pixels: Pixels, config: SurfaceConfig) -> bool:
    """Whether half of the pixels' depths lie within gap_m of each other: those of a thin thing do, noise does not."""
    low, high = np.percentile(z[pixels > 0], (25, 75))
    return bool(high - low <= config.gap_m)


def layers(
    z: Depth, pixels: Pixels, config: SurfaceConfig, smallest: int, broad: float
) -> tuple[Pixels, tuple[float, ...]]:
    """The pixels ((h, w), not 0) of the largest layer, and every layer's median depth, its own first.

    pixels: a mask's readings without flying ones and those behind a step, so that connected means one surface.
    Components of fewer than `smallest` pixels are specks and go. Components whose depths come within gap_m are one
    thing cut in two by something before it; within hidden_m, one that hides a part of itself, if some pixel of that
    part is `broad` pixels from its edge.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8, ltype=cv2.CV_16U)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return pixels, ()
    large = np.flatnonzero(areas >= min(smallest, int(areas.max()))) + 1
    spans = [_span(z, labels, stats[label], int(label)) for label in large]
    group = _joined([(low, high) for low, _, high in spans], config.gap_m)
    if group.any():
        group = _with_hidden_parts(group, spans, [(labels, stats[n], int(n)) for n in large], config.hidden_m, broad)
    order = np.argsort(-np.bincount(group, weights=areas[large - 1]), kind="stable")
    depths = []
    for g in order:
        members = np.flatnonzero(group == g)
        depths.append(spans[members[np.argmax(areas[large[members] - 1])]][1])
    own = large[group == order[0]]
    if len(own) == count - 1:
        return pixels, tuple(depths)
    if len(own) == 1:
        return np.equal(labels, own[0]).view(np.uint8), tuple(depths)
    chosen = np.zeros(count, np.uint8)
    chosen[own] = 1
    return chosen[labels], tuple(depths)


def _span(z: Depth, labels: Pixels, stats: npt.NDArray[Any], label: int) -> tuple[float, ...]:
    """The 5th, 50th and 95th percentile of a component's depth."""
    x, y, w, h = stats[:4].tolist()
    step = max(1, int(np.sqrt(w * h / MOST_READ)))  # a regular part of a large one tells as much
    window = slice(y, y + h, step), slice(x, x + w, step)
    part = z[window][labels[window] == label]
    if len(part) < 20:
        part = z[y : y + h, x : x + w][labels[y : y + h, x : x + w] == label]
    at = len(part) // 20, len(part) // 2, len(part) - 1 - len(part) // 20
    part.partition(at)
    return tuple(float(part[i]) for i in at)


def _joined(spans: list[tuple[float, float]], gap: float) -> npt.NDArray[np.int64]:
    """The group of each span (low, high): those that overlap or come within gap of each other share one."""
    order = sorted(range(len(spans)), key=lambda i: spans[i][0])
    group = np.zeros(len(spans), np.int64)
    reach, number = -np.inf, -1
    for i in order:
        low, high = spans[i]
        if low > reach + gap:
            number, reach = number + 1, high
        reach = max(reach, high)
        group[i] = number
    return group


def with_rough(z: Depth, pixels: Pixels, dropped: Pixels, config: SurfaceConfig) -> Pixels:
    """The thing's own pixels, and those of `dropped` (uint8, 255) whose depths come within hidden_m of most of them."""
    low, high = np.percentile(z[pixels != 0], (5, 95))
    near = cv2.inRange(z, float(low) - config.hidden_m, float(high) + config.hidden_m)
    return cv2.bitwise_or(pixels, cv2.bitwise_and(dropped, near))


def _with_hidden_parts(
    group: npt.NDArray[np.int64], spans: list[tuple[float, ...]], parts: list[Part], hidden_m: float, broad: float
) -> npt.NDArray[np.int64]:
    """The groups, with those near the largest and broad enough made part of it."""
    sizes = np.bincount(group, weights=[stats[cv2.CC_STAT_AREA] for _, stats, _ in parts])
    joined, own = group.copy(), int(sizes.argmax())
    low, high = (edge(s[i] for s, g in zip(spans, group, strict=True) if g == own) for edge, i in ((min, 0), (max, 2)))
    for n, (a, _, b) in enumerate(spans):
        if group[n] != own and max(a - high, low - b) <= hidden_m and _breadth(*parts[n]) >= broad:
            joined[n] = own
    return np.unique(joined, return_inverse=True)[1]


def _breadth(labels: Pixels, stats: npt.NDArray[Any], label: int) -> float:
    """How far the innermost pixel of a component is from its edge, pixels."""
    x, y, w, h = stats[:4].tolist()
    part = np.zeros((h + 2, w + 2), np.uint8)
    part[1:-1, 1:-1] = labels[y : y + h, x : x + w] == label
    return float(cv2.distanceTransform(part, cv2.DIST_L2, 3).max())


def covered_by_nearer(
    z: Depth, valid: Pixels, edge: Depth, mask: Pixels, pixels: Pixels, noisy: Pixels, config: SurfaceConfig
) -> float:
    """The share of the outline of `pixels`, the thing's own, beside which something outside the mask is nearer.

    valid: 255 where there is a reading; mask: 255 inside; noisy: 255 where it flies or lies behind a step; all uint8
    (h, w); edge: edge_depth().
    """
    outside = cv2.copyTo(z, cv2.compare(valid, mask, cv2.CMP_GT), np.full(z.shape, NOWHERE, np.float32))
    # One pixel on, over noise and over what the mask has of that nearer thing; not over anything farther between them.
    grown = cv2.erode(outside, SQUARE)
    open_way = cv2.bitwise_or(noisy, cv2.compare(z, grown + np.float32(config.gap_m), cv2.CMP_LT))
    outside = cv2.copyTo(grown, cv2.compare(open_way, pixels, cv2.CMP_GT), outside)
    nearer = cv2.compare(cv2.erode(outside, WIDE), edge, cv2.CMP_LT)
    outline = cv2.bitwise_and(pixels, cv2.bitwise_not(cv2.erode(pixels, SQUARE, borderValue=0)))
    length = cv2.countNonZero(outline)
    return cv2.countNonZero(cv2.bitwise_and(outline, nearer)) / max(length, 1)
