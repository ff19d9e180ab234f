"""What every model offers the pipeline. Knows nothing of torch: any object with these methods will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.types import Frame


@dataclass(frozen=True, eq=False)
class Candidate:
    """One thing that a phrase may mean. mask: bool (h, w) crop; offset: (x, y); score in [0, 1]: that it is meant."""

    mask: npt.NDArray[np.bool_]
    offset: tuple[int, int]
    score: float


@dataclass(frozen=True, eq=False)
class PhraseDecoding:
    """A model's reading of one phrase. score in [0, 1]: calibrated belief that something in view fits.

    candidates: best first; those at or above the model's instance threshold are what the phrase means.
    """

    score: float
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Thresholds:
    """Where the verdicts lie: score >= accept FOUND, < reject ABSENT, between them UNCERTAIN.

    instance: a candidate at or above it is meant by the phrase. All in [0, 1], reject <= accept.
    """

    accept: float = 0.6
    reject: float = 0.4
    instance: float = 0.5

    def __post_init__(self) -> None:
        for name in ("accept", "reject", "instance"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"Thresholds.{name} must be in [0, 1], not {value}")
        if self.reject > self.accept:
            raise ValueError(f"Thresholds.reject ({self.reject}) must not exceed accept ({self.accept})")


class SegmentationModel(Protocol):
    """encode() is slow and runs once a frame; decode() is fast and runs once a phrase."""

    name: str
    device: str
    thresholds: Thresholds

    def encode(self, frame: Frame) -> Any:
        """Everything about the frame that no phrase changes (opaque to the pipeline)."""
        ...

    def decode(self, encoded: Any, phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        """One decoding per phrase, in order. Raises RequestError(MODEL_OUTPUT) on unreadable output."""
        ...

    def close(self) -> None:
        """Release the device's memory. Safe to call twice."""
        ...
