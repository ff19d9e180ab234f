"""An answer against the truth: overlap per phrase, 3-D error, and whether all of it was right, open or wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.demo.requests import DemoRequest
from refseg_ros.demo.truth import SceneTruth

RIGHT_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Answer:
    """One result message in plain values. masks: phrase -> bool (H, W) union; centroids_m: (phrase, xyz) per object."""

    outcome: Outcome
    phrases: tuple[tuple[str, Verdict, float], ...]
    masks: dict[int, npt.NDArray[np.bool_]]
    centroids_m: tuple[tuple[int, npt.NDArray[np.float64]], ...]
    latency_ms: float
    error_code: str = ""
    error_message: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)


class Grade(StrEnum):
    """UNDECIDED: the node said that it does not know, and nothing that is wrong; a robot can ask again."""

    RIGHT = "right"
    UNDECIDED = "undecided"
    WRONG = "wrong"


@dataclass(frozen=True)
class Score:
    """iou: mean over phrases that have targets, None where nothing could be segmented; centroid_error_mm: mean."""

    grade: Grade
    iou: float | None
    centroid_error_mm: float | None


def score(request: DemoRequest, answer: Answer, truth: SceneTruth) -> Score:
    """Right: the outcome, every phrase's verdict, and an IoU of at least 0.5 for every phrase that is present.
    Undecided: UNCERTAIN as a whole, and every phrase UNCERTAIN or right."""
    ious: list[float] = []
    phrases_right: list[bool] = []
    errors_mm: list[float] = []
    verdicts = tuple(verdict for _, verdict, _ in answer.phrases)
    as_asked = len(verdicts) == len(request.verdicts)
    for index, targets in enumerate(request.targets):
        phrases_right.append(as_asked and verdicts[index] is request.verdicts[index])
        if not targets:
            continue
        true = truth.mask(targets)
        predicted = answer.masks.get(index, np.zeros_like(true))
        union = np.count_nonzero(true | predicted)
        ious.append(np.count_nonzero(true & predicted) / union if union else 0.0)
        phrases_right[-1] &= ious[-1] >= RIGHT_IOU
        truths = [np.asarray(truth.centroids_m[i]) for i in targets if i in truth.centroids_m]
        found = [c for phrase, c in answer.centroids_m if phrase == index]
        if ious[-1] >= RIGHT_IOU and truths:
            errors_mm += [1000 * min(float(np.linalg.norm(c - t)) for t in truths) for c in found]
    complete = answer.outcome is Outcome.ERROR or (as_asked and all(phrases_right))
    right = answer.outcome is request.expected and complete
    undecided = (
        answer.outcome is Outcome.UNCERTAIN and as_asked
        and all(v is Verdict.UNCERTAIN or fits for v, fits in zip(verdicts, phrases_right, strict=True))
    )  # fmt: skip
    return Score(
        Grade.RIGHT if right else Grade.UNDECIDED if undecided else Grade.WRONG,
        float(np.mean(ious)) if ious else None,
        float(np.mean(errors_mm)) if errors_mm else None,
    )


def report_entry(request: DemoRequest, answer: Answer, scored: Score) -> dict[str, Any]:
    """One entry of report.json."""
    return {
        "kind": request.kind,
        "instruction": request.instruction,
        "expected": request.expected.name,
        "outcome": answer.outcome.name,
        "grade": scored.grade.value,
        "phrases": [{"text": t, "verdict": v.name, "score": round(s, 4)} for t, v, s in answer.phrases],
        "expected_verdicts": [v.name for v in request.verdicts],
        "error": {"code": answer.error_code, "message": answer.error_message} if answer.error_code else None,
        "iou": scored.iou,
        "centroid_error_mm": scored.centroid_error_mm,
        "latency_ms": answer.latency_ms,
        "timings_ms": answer.timings_ms,
    }
