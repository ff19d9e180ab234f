"""Panoptic quality (Kirillov et al., CVPR 2019) by the protocol of COCO, and the mean IoU of names. numpy only.

    PQ   mean over names of sum IoU of matched segments / (matched + wrong / 2 + missed / 2); matched: IoU > 0.5
    SQ, RQ   its factors: how well matched segments fit, and how many are found
    mIoU     mean over names of the IoU of all their pixels in all images
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

MATCH_IOU = 0.5
NOTHING = 0


@dataclass(frozen=True, eq=False)
class PanopticMap:
    """ids: integers (H, W), 0 where nothing is known; names: of every id in it; crowd: ids of unseparated groups, which
    are in the truth only and neither found nor missed. Raises ValueError for an id without a name.
    """

    ids: npt.NDArray[np.integer]
    names: Mapping[int, str]
    crowd: Collection[int] = ()

    def __post_init__(self) -> None:
        nameless = set(np.unique(self.ids).tolist()) - {NOTHING} - set(self.names)
        if nameless or NOTHING in self.names:
            raise ValueError(f"every id but 0 has a name; ids without: {sorted(nameless)}")


@dataclass
class _Count:
    iou: float = 0.0
    matched: int = 0
    wrong: int = 0
    missed: int = 0
    common: int = 0
    union: int = 0


@dataclass
class PanopticQuality:
    """Accumulates images. stuff: the names that are stuff; all others are things."""

    stuff: Collection[str] = ()
    _counts: dict[str, _Count] = field(default_factory=lambda: defaultdict(_Count))

    def update(self, predicted: PanopticMap, true: PanopticMap) -> None:
        """Add one image. Raises ValueError for maps of different shapes, and for a crowd among the predicted."""
        if predicted.ids.shape != true.ids.shape or true.ids.ndim != 2:
            raise ValueError(f"maps must be (H, W) and of one shape: {predicted.ids.shape} and {true.ids.shape}")
        if predicted.crowd:
            raise ValueError("a prediction has no crowds")
        overlap = _overlaps(predicted.ids, true.ids)
        area_p, area_t = _areas(predicted.ids), _areas(true.ids)
        found_p, found_t = set(), set()
        for (p, t), common in overlap.items():
            if NOTHING in (p, t) or t in true.crowd or predicted.names[p] != true.names[t]:
                continue
            iou = common / (area_p[p] + area_t[t] - common - overlap.get((p, NOTHING), 0))
            if iou > MATCH_IOU:  # at most one partner can have that much
                self._counts[true.names[t]].iou += iou
                self._counts[true.names[t]].matched += 1
                found_p.add(p)
                found_t.add(t)
        for t in area_t.keys() - found_t - set(true.crowd):
            self._counts[true.names[t]].missed += 1
        for p in area_p.keys() - found_p:
            excused = overlap.get((p, NOTHING), 0)
            excused += sum(overlap.get((p, t), 0) for t in true.crowd if true.names[t] == predicted.names[p])
            if excused <= MATCH_IOU * area_p[p]:
                self._counts[predicted.names[p]].wrong += 1
        self._add_pixels(predicted, true, overlap)

    def _add_pixels(
        self, predicted: PanopticMap, true: PanopticMap, overlap: Mapping[tuple[int, int], int]
    ) -> None:
        """Pixels by name; those of which the truth knows nothing do not count."""
        for (p, t), common in overlap.items():
            if t == NOTHING:
                continue
            said = predicted.names[p] if p != NOTHING else None
            self._counts[true.names[t]].union += common
            if said == true.names[t]:
                self._counts[said].common += common
            elif said is not None:
                self._counts[said].union += common

    def compute(self) -> dict[str, float]:
        """PQ, SQ, RQ over all names that occur, each also for _things and _stuff, and mIoU; NaN without any."""
        groups = {
            "": list(self._counts),
            "_things": [n for n in self._counts if n not in self.stuff],
            "_stuff": [n for n in self._counts if n in self.stuff],
        }
        by_name = self.by_name()
        out = {
            key + suffix: _mean([by_name[n][key] for n in names if n in by_name])
            for suffix, names in groups.items()
            for key in ("PQ", "SQ", "RQ")
        }
        out["mIoU"] = _mean([c.common / c.union for c in self._counts.values() if c.union])
        return out

    def by_name(self) -> dict[str, dict[str, float]]:
        """PQ, SQ and RQ of every name with a segment on either side."""
        out = {}
        for name, c in sorted(self._counts.items()):
            weight = c.matched + c.wrong / 2 + c.missed / 2
            if weight:
                quality = c.iou / c.matched if c.matched else 0.0
                out[name] = {"PQ": c.iou / weight, "SQ": quality, "RQ": c.matched / weight}
        return out


def _overlaps(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer]) -> dict[tuple[int, int], int]:
    pairs, counts = np.unique(np.stack([a.ravel(), b.ravel()], 1), axis=0, return_counts=True)
    return {(int(p), int(t)): int(n) for (p, t), n in zip(pairs, counts, strict=True)}


def _areas(ids: npt.NDArray[np.integer]) -> dict[int, int]:
    values, counts = np.unique(ids, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, counts, strict=True) if v != NOTHING}


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
