"""When nothing fits: the scores between which an answer is withheld or uncertain, kept with the head's weights.

The released MVP-LM always answers. Here the best query's score must reach a threshold that was fitted on validation
scores to keep stated error rates (evaluation.calibration.conformal_band).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

UNIT = 1e-9
"""Kept as whole numbers of this: whoever casts the head to half precision does not move the thresholds."""


class NotCalibrated(Exception):
    """The weights hold no thresholds."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Best score >= accept: it is there; < reject: it is not; between them: uncertain. false_accept, false_reject: the
    stated shares of absent phrases said to be there and of present ones denied. Raises ValueError outside [0, 1].
    """

    accept: float
    reject: float
    false_accept: float
    false_reject: float

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 <= getattr(self, item.name) <= 1:
                raise ValueError(f"Rejection.{item.name} must be in [0, 1], not {getattr(self, item.name)}")
        if self.reject > self.accept:
            raise ValueError(f"Rejection.reject {self.reject} must not be above accept {self.accept}")

    def rejects(self, best_score: float) -> bool:
        return best_score < self.reject

    def tensor(self) -> Tensor:
        """(4,) int64: what the head's buffer `rejection` holds."""
        return torch.tensor([round(value / UNIT) for value in astuple(self)])


def unknown() -> Tensor:
    """The buffer's content before anything was fitted."""
    return torch.full((len(fields(Rejection)),), -1)


def stored(rejection: Tensor) -> Rejection:
    """The head's buffer as a Rejection. Raises NotCalibrated when nothing was fitted."""
    if bool((rejection < 0).any()):
        raise NotCalibrated(
            "These MVP-LM weights hold no rejection thresholds: fit them on validation scores "
            "(evaluation.calibration.conformal_band) and copy Rejection.tensor() into the head."
        )
    values = (value * UNIT for value in rejection.tolist())
    return Rejection(**dict(zip((item.name for item in fields(Rejection)), values, strict=True)))
