"""From a model's reading of a phrase to a verdict and the candidates it names.

The rule, for a phrase with score s and n candidates at or above the instance threshold:

    s < reject               ABSENT
    reject <= s < accept     UNCERTAIN, naming the candidates (the best one when none reaches the threshold)
    s >= accept, n = 0       UNCERTAIN, naming the best candidate if there is one
    s >= accept, singular    FOUND for n = 1, AMBIGUOUS for more
    s >= accept, count c     FOUND for n = c, AMBIGUOUS for more, UNCERTAIN for fewer
    s >= accept, plural      FOUND, all n

A negated phrase ("but not the bowl") gets no verdict: what it names is taken from the other phrases' candidates, so
that a grasp planner never receives it as a thing to pick. Where it takes all of them, the phrase's score falls to at
most 1 - the negated phrase's score, and the phrase is ABSENT or UNCERTAIN by that score.

This module knows nothing of models beyond their output, and nothing of ids: those are the pipeline's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from refseg_ros.core.instruction import Number, Phrase
from refseg_ros.core.outcome import ErrorCode, RequestError, Verdict
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds

EXCLUDED_IOU = 0.5
"""A candidate that overlaps an excluded one by more than this is the excluded thing."""

SAME_IOU = 0.85
"""Two candidates of one phrase that overlap by more than this are one thing."""


@dataclass(frozen=True, eq=False)
class Decision:
    """A verdict, the score it rests on, and the candidates it names, best first."""

    verdict: Verdict
    score: float
    chosen: tuple[Candidate, ...] = ()


@dataclass(frozen=True, eq=False)
class Exclusion:
    """What a negated phrase names. score in [0, 1]: the belief that it is in view."""

    candidates: tuple[Candidate, ...]
    score: float


def iou(a: Candidate, b: Candidate) -> float:
    """Intersection over union of two cropped masks, in [0, 1]; works on the crops' overlap only."""
    ax, ay, bx, by = *a.offset, *b.offset
    x0, y0 = max(ax, bx), max(ay, by)
    x1, y1 = min(ax + a.mask.shape[1], bx + b.mask.shape[1]), min(ay + a.mask.shape[0], by + b.mask.shape[0])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    both = np.count_nonzero(a.mask[y0 - ay : y1 - ay, x0 - ax : x1 - ax] & b.mask[y0 - by : y1 - by, x0 - bx : x1 - bx])
    union = np.count_nonzero(a.mask) + np.count_nonzero(b.mask) - both
    return float(both / union) if union else 0.0


def exclude(decoding: PhraseDecoding, thresholds: Thresholds) -> Exclusion:
    """What a negated phrase removes: its candidates at the instance threshold, unless the phrase is ABSENT."""
    if decoding.score < thresholds.reject:
        return Exclusion((), decoding.score)
    return Exclusion(tuple(c for c in decoding.candidates if c.score >= thresholds.instance), decoding.score)


def decide(
    phrase: Phrase, decoding: PhraseDecoding, thresholds: Thresholds, exclusions: Sequence[Exclusion] = ()
) -> Decision:
    """The verdict on one phrase that is not negated, by the rule above."""
    score = float(decoding.score)
    candidates = unique(decoding.candidates)
    takers = [e for e in exclusions if any(iou(c, x) > EXCLUDED_IOU for c in candidates for x in e.candidates)]
    kept = tuple(c for c in candidates if all(iou(c, x) <= EXCLUDED_IOU for e in takers for x in e.candidates))
    meant = tuple(c for c in kept if c.score >= thresholds.instance)
    if takers and not meant and any(c.score >= thresholds.instance for c in candidates):
        score, kept = min(score, 1.0 - max(e.score for e in takers)), ()
    if score < thresholds.reject:
        return Decision(Verdict.ABSENT, score)
    named = meant or kept[:1]
    if score < thresholds.accept or not meant:
        return Decision(Verdict.UNCERTAIN, score, named)
    wanted = {Number.SINGULAR: 1, Number.PLURAL: len(meant), Number.COUNT: phrase.count or 1}[phrase.number]
    if len(meant) > wanted:
        return Decision(Verdict.AMBIGUOUS, score, meant)
    return Decision(Verdict.FOUND if len(meant) == wanted else Verdict.UNCERTAIN, score, meant)


def unique(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Best first, without empty masks and without second copies of one thing; real overlaps survive."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if candidate.mask.any() and all(iou(candidate, other) <= SAME_IOU for other in kept):
            kept.append(candidate)
    return tuple(kept)


def check_decodings(decodings: Sequence[PhraseDecoding], phrases: int, size: tuple[int, int]) -> None:
    """Refuse output that no verdict can rest on. size: (width, height). Raises RequestError(MODEL_OUTPUT)."""
    if len(decodings) != phrases:
        raise _output_error(f"it answered {len(decodings)} of {phrases} phrases")
    for decoding in decodings:
        scores = [decoding.score, *(c.score for c in decoding.candidates)]
        if not all(0.0 <= s <= 1.0 for s in scores):  # NaN fails too
            raise _output_error(f"a score is outside [0, 1]: {scores[:4]}")
        for c in decoding.candidates:
            if c.mask.dtype != np.bool_ or c.mask.ndim != 2:
                raise _output_error(f"a mask is {c.mask.dtype} with {c.mask.ndim} dimensions, not bool with 2")
            (x, y), (h, w) = c.offset, c.mask.shape
            if x < 0 or y < 0 or x + w > size[0] or y + h > size[1]:
                raise _output_error(f"a mask of {w} x {h} at ({x}, {y}) leaves the image of {size[0]} x {size[1]}")


def _output_error(what: str) -> RequestError:
    return RequestError(
        ErrorCode.MODEL_OUTPUT, f"The model's output is not usable: {what}; check its weights and version."
    )
