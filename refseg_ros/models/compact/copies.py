"""Masks that show one thing twice. Visible parts of two things never overlap, so that masks which do are one thing's.

find_instances() leaves such pairs: a cell on a mug's handle draws the handle and half of the mug. It cannot drop them,
since a thing in a basket lies inside the basket's mask, too. That both fit one phrase tells the cases apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SHARED = 0.5  # of the smaller mask


def overlapping(logits_nhw: Tensor) -> npt.NDArray[np.bool_]:
    """(N, N): whether two masks share more than half of the smaller one's pixels."""
    inside = (logits_nhw > 0).flatten(1).float()
    area = inside.sum(1)
    smaller = torch.minimum(area[:, None], area[None]).clamp(min=1)
    return np.asarray((inside @ inside.T > SHARED * smaller).cpu().numpy())


def distinct(best_first: Sequence[int], overlap_nn: npt.NDArray[np.bool_]) -> list[int]:
    """Of the masks that fit a phrase the best one of each thing, in the same order."""
    kept: list[int] = []
    for index in best_first:
        if not overlap_nn[index, kept].any():
            kept.append(index)
    return kept
