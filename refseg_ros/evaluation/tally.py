"""Everything that is counted over a set of scored answers, and its summary as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refseg_ros.core.outcome import Verdict
from refseg_ros.evaluation.bootstrap import Bootstrap, span
from refseg_ros.evaluation.calibration import expected_calibration_error
from refseg_ros.evaluation.metrics import GeneralizedReferringMetrics, without_nan

GRES_PIXELS = 50
BINS = 10
NAMES = [v.name for v in Verdict]


@dataclass(frozen=True)
class Score:
    """One answer judged. image: a number for its image; iou: of all that it names; truths, said: a verdict a phrase;
    beliefs: (belief, whether it is there) a phrase, empty where the answer's phrases are not the truth's;
    f1: of instances, each within its own phrase where the answer's phrases are the truth's; box: REC, for one target of
    one phrase, else None; right: the outcome, and an instance F1 of 1."""

    image: int
    iou: float
    truths: tuple[str, ...]
    said: tuple[str, ...]
    outcome_right: bool
    f1: float
    grec: float
    box: bool | None
    beliefs: tuple[tuple[float, bool], ...]
    centroid_mm: tuple[float, ...]

    @property
    def right(self) -> bool:
        return self.outcome_right and self.f1 == 1.0


@dataclass
class Tally:
    """metrics: the protocol's figures; small_is_nothing: the same with masks under GRES_PIXELS cleared."""

    metrics: GeneralizedReferringMetrics = field(default_factory=GeneralizedReferringMetrics)
    small_is_nothing: GeneralizedReferringMetrics = field(
        default_factory=lambda: GeneralizedReferringMetrics(GRES_PIXELS)
    )
    scores: list[Score] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Plain values; None where there is nothing to say."""
        out: dict[str, Any] = {"count": len(self.metrics), **without_nan(self.metrics.compute())}
        shares = self._shares()
        out |= {name: float(np.mean(values)) if values else None for name, (values, _) in shares.items()}
        out["min_pixels_50"] = without_nan(self.small_is_nothing.compute())
        out["ambiguous"] = self._ambiguous()
        beliefs, _ = self._beliefs()
        out["calibration"] = without_nan({"ece": expected_calibration_error(beliefs[:, 0], beliefs[:, 1], BINS)})
        out["centroid_error_mm"] = spread([e for s in self.scores for e in s.centroid_mm])
        draws: dict[tuple[int, ...], Bootstrap] = {}  # most figures rest on the same samples
        spans = self.metrics.intervals() | {"ece": self._ece_interval()}
        for name, (values, images) in shares.items():
            if values:
                if tuple(images) not in draws:
                    draws[tuple(images)] = Bootstrap(images)
                spans[name] = draws[tuple(images)].ratio(values, np.ones(len(values)))
        out["intervals_95"] = {n: [round(x, 4) if x == x else None for x in ends] for n, ends in spans.items()}
        return out

    def confusion(self) -> dict[str, dict[str, int]]:
        """By true verdict, how many phrases were said to be what."""
        seen = Counter((t, s) for score in self.scores for t, s in zip(score.truths, score.said, strict=True))
        heard = NAMES + sorted({s for _, s in seen} - set(NAMES))
        return {t: {s: seen[t, s] for s in heard} for t in NAMES[:3]}

    def beliefs(self) -> tuple[list[float], list[float]]:
        """Stated belief and truth (0 or 1) of every phrase."""
        values, _ = self._beliefs()
        return values[:, 0].tolist(), values[:, 1].tolist()

    def _shares(self) -> dict[str, tuple[list[float], list[int]]]:
        """Figures that are a mean over samples or phrases: their values, and the image of each."""
        out: dict[str, tuple[list[float], list[int]]] = {}
        per_sample = {
            "outcome_right": lambda s: float(s.outcome_right),
            "instance_F1": lambda s: s.f1,
            "instance_F1_is_1": lambda s: float(s.f1 == 1.0),
            "GREC_F1_is_1": lambda s: float(s.grec == 1.0),
        }
        for name, value in per_sample.items():
            out[name] = ([value(s) for s in self.scores], [s.image for s in self.scores])
        boxes = [(float(s.box), s.image) for s in self.scores if s.box is not None]
        out["box_accuracy"] = ([b for b, _ in boxes], [i for _, i in boxes])
        said = [(t, w, s.image) for s in self.scores for t, w in zip(s.truths, s.said, strict=True)]
        absent = [(w, image) for t, w, image in said if t == "ABSENT"]
        present = [(w, image) for t, w, image in said if t != "ABSENT"]
        out["said_uncertain"] = ([float(w == "UNCERTAIN") for _, w, _ in said], [i for _, _, i in said])
        for name, words in (("found", {"FOUND", "AMBIGUOUS"}), ("uncertain", {"UNCERTAIN"})):
            out[f"absent_said_{name}"] = ([float(w in words) for w, _ in absent], [i for _, i in absent])
        out["present_said_absent"] = ([float(w == "ABSENT") for w, _ in present], [i for _, i in present])
        return out

    def _ambiguous(self) -> dict[str, Any]:
        """How well several fits for one thing are told: of those there are, how many are said so and with exactly the
        candidates; of those said, how many are."""
        pairs = [(t, w, s) for s in self.scores for t, w in zip(s.truths, s.said, strict=True)]
        true = [(w, s) for t, w, s in pairs if t == "AMBIGUOUS"]
        said = [t for t, w, _ in pairs if w == "AMBIGUOUS"]
        return {
            "count": len(true),
            "recall": _mean([w == "AMBIGUOUS" for w, _ in true]),
            "precision": _mean([t == "AMBIGUOUS" for t in said]),
            "candidates_F1": _mean([s.f1 for _, s in true]),
        }

    def _beliefs(self) -> tuple[np.ndarray, list[int]]:
        rows = [(b, float(t)) for s in self.scores for b, t in s.beliefs]
        return np.array(rows, np.float64).reshape(-1, 2), [s.image for s in self.scores for _ in s.beliefs]

    def _ece_interval(self) -> tuple[float, float]:
        values, images = self._beliefs()
        if not len(values):
            return float("nan"), float("nan")
        which = np.minimum((values[:, 0] * BINS).astype(int), BINS - 1)
        gaps = np.zeros((len(values), BINS + 1))
        gaps[np.arange(len(values)), which] = values[:, 0] - values[:, 1]
        gaps[:, BINS] = 1.0
        sums = Bootstrap(images).sums(gaps)
        return span(np.abs(sums[:, :BINS]).sum(1) / sums[:, BINS])


def _mean(values: Sequence[float | bool]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile."""
    if not len(values):
        return {"median": None, "p95": None}
    return {"median": round(float(np.median(values)), 3), "p95": round(float(np.percentile(values, 95)), 3)}
