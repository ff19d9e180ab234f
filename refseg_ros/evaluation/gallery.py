"""A few right and wrong answers of each type, drawn evenly from all of them, as pictures for people."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.data.dataset import Sample
from refseg_ros.evaluation.tally import Score

WIDTH = 480
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Example:
    """picture: base64 JPEG of the answer's masks and verdicts; the true outlines are white."""

    kind: str
    instruction: str
    right: bool
    iou: float
    truths: tuple[str, ...]
    said: tuple[str, ...]
    outcome: str
    picture: str


class Gallery:
    """Watches an evaluation and keeps up to `each` right and `each` wrong answers of every type (reservoir sampling:
    every answer has the same chance, whatever the order)."""

    def __init__(self, each: int = 2, seed: int = 0) -> None:
        self._each, self._rng = each, np.random.default_rng(seed)
        self._seen: Counter[tuple[str, bool]] = Counter()
        self._kept: dict[tuple[str, bool], list[Example]] = {}

    def __call__(self, sample: Sample, frame: Frame, answer: Segmentation, score: Score) -> None:
        """As evaluate()'s watch."""
        key = (sample.kind or "untyped", score.right)
        self._seen[key] += 1
        place = int(self._rng.integers(self._seen[key]))
        kept = self._kept.setdefault(key, [])
        if len(kept) < self._each:
            kept.append(_example(sample, frame, answer, score))
        elif place < self._each:
            kept[place] = _example(sample, frame, answer, score)

    def examples(self, right: bool) -> list[Example]:
        """What was kept, by type."""
        return [e for key in sorted(self._kept) if key[1] == right for e in self._kept[key]]


def _example(sample: Sample, frame: Frame, answer: Segmentation, score: Score) -> Example:
    picture = draw_overlay(frame.rgb, answer)
    for target in sample.targets:
        mask = target.read(frame.size).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture[: frame.size[1]], outlines, -1, WHITE, 1)
    outcome = answer.outcome.name if answer.error is None else answer.error.code.value
    return Example(
        sample.kind or "untyped", sample.instruction, score.right, score.iou, score.truths, score.said, outcome,
        jpeg_base64(picture),
    )  # fmt: skip


def jpeg_base64(picture: npt.NDArray[np.uint8]) -> str:
    """An RGB picture, WIDTH pixels wide, as base64 JPEG."""
    size = (WIDTH, max(1, round(picture.shape[0] * WIDTH / picture.shape[1])))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not ok:
        raise ValueError(f"cannot encode a picture of {picture.shape} as JPEG")
    return base64.b64encode(data.tobytes()).decode()
