"""When nothing fits: the score under which an answer is withheld, fitted on validation with a stated error rate.

The released MVP-LM always answers. Here the best query's score must reach a threshold: the largest one that wrongly
rejects at most a chosen share of the targets that are there. By the conformal argument this share also holds, on
average over validation sets, for new requests like those of the validation set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


class NotCalibrated(Exception):
    """The weights hold no rejection threshold."""


@dataclass(frozen=True)
class Rejection:
    """threshold: a best score below it is rejected; wrong_rejections: the stated share of present targets that this
    loses; wrong_answers: measured share of absent ones that are answered all the same (NaN where none was measured);
    present, absent: how many of each the fit rests on."""

    threshold: float
    wrong_rejections: float
    wrong_answers: float
    present: int
    absent: int

    def rejects(self, best_score: float) -> bool:
        return best_score < self.threshold

    def tensor(self) -> Tensor:
        """(5,), the head's buffer `rejection`."""
        values = (self.threshold, self.wrong_rejections, self.wrong_answers, self.present, self.absent)
        return torch.tensor(values, dtype=torch.float32)


def fit(present: Sequence[float], absent: Sequence[float], wrong_rejections: float = 0.05) -> Rejection:
    """present, absent: best scores on validation requests whose target is there, and is not.

    Raises ValueError when wrong_rejections is not in (0, 1), or too small for so few requests.
    """
    if not 0 < wrong_rejections < 1:
        raise ValueError(f"wrong_rejections must be between 0 and 1, not {wrong_rejections}")
    rank = math.floor(wrong_rejections * (len(present) + 1))
    if rank < 1:
        need = math.ceil(1 / wrong_rejections) - 1
        raise ValueError(
            f"an error rate of {wrong_rejections} needs at least {need} requests with a target, not {len(present)}"
        )
    # In float32, as the weights file keeps it: what is measured here is what will be done with it.
    threshold = float(np.float32(np.sort(np.asarray(present, np.float32))[rank - 1]))
    wrong = float(np.mean(np.asarray(absent, np.float32) >= threshold)) if len(absent) else math.nan
    return Rejection(threshold, wrong_rejections, wrong, len(present), len(absent))


def stored(rejection_5: Tensor) -> Rejection:
    """The head's buffer as a Rejection. Raises NotCalibrated when nothing was fitted."""
    threshold, lost, wrong, present, absent = rejection_5.tolist()
    if math.isnan(threshold):
        raise NotCalibrated(
            "These MVP-LM weights hold no rejection threshold: fit one on validation scores (rejection.fit) first."
        )
    return Rejection(threshold, lost, wrong, int(present), int(absent))
