"""An answer against the truth: overlap per phrase, 3-D error, and whether all of it was right."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Score:
    """iou: mean over phrases that have targets, None where nothing could be segmented; centroid_error_mm: mean."""

    right: bool
    iou: float | None
    centroid_error_mm: float | None


def score(request: DemoRequest, answer: Answer, truth: SceneTruth) -> Score:
    """Right: the outcome, every phrase's verdict, and an IoU of at least 0.5 for every phrase that is present."""
    ious: list[float] = []
    errors_mm: list[float] = []
    for index, targets in enumerate(request.targets):
        if not targets:
            continue
        true = truth.mask(targets)
        predicted = answer.masks.get(index, np.zeros_like(true))
        union = np.count_nonzero(true | predicted)
        ious.append(np.count_nonzero(true & predicted) / union if union else 0.0)
        truths = [np.asarray(truth.centroids_m[i]) for i in targets if i in truth.centroids_m]
        found = [c for phrase, c in answer.centroids_m if phrase == index]
        if ious[-1] >= RIGHT_IOU and truths:
            errors_mm += [1000 * min(float(np.linalg.norm(c - t)) for t in truths) for c in found]
    verdicts = tuple(verdict for _, verdict, _ in answer.phrases)
    right = (
        answer.outcome is request.expected
        and (answer.outcome is Outcome.ERROR or verdicts == request.verdicts)
        and all(iou >= RIGHT_IOU for iou in ious)
    )
    return Score(
        right,
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
        "right": scored.right,
        "phrases": [{"text": t, "verdict": v.name, "score": round(s, 4)} for t, v, s in answer.phrases],
        "expected_verdicts": [v.name for v in request.verdicts],
        "error": {"code": answer.error_code, "message": answer.error_message} if answer.error_code else None,
        "iou": scored.iou,
        "centroid_error_mm": scored.centroid_error_mm,
        "latency_ms": answer.latency_ms,
        "timings_ms": answer.timings_ms,
    }
