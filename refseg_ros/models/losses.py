"""Mask losses on logits, one value a mask: binary cross entropy, Dice, focal; and what an IoU head is taught.

Layouts: n masks of h x w. Truths are shares of cells in 0..1 on the logits' own grid, or on another one: the coarser
of the two is then resized to the finer, so that every logit is taught. Raises ValueError where the numbers of masks
differ.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1.0
LISA_SMOOTH = 1e-3  # LISA's and GSVA's code divides both sums by 1000 and adds 1e-6


def paired(logits_nhw: Tensor, truth_nhw: Tensor) -> tuple[Tensor, Tensor]:
    """Both (n, cells) in float32 on the finer of their grids."""
    if len(logits_nhw) != len(truth_nhw):
        raise ValueError(f"there are {len(logits_nhw)} predicted masks and {len(truth_nhw)} true ones")
    logits, truth = logits_nhw.float(), truth_nhw.float()
    if not len(logits):
        return logits.reshape(0, 0), truth.reshape(0, 0)
    if logits[0].numel() > truth[0].numel():
        truth = _resized(truth, logits)
    elif logits.shape[1:] != truth.shape[1:]:
        logits = _resized(logits, truth)
    return logits.flatten(1), truth.flatten(1)


def _resized(values_nhw: Tensor, like_nhw: Tensor) -> Tensor:
    size = (like_nhw.shape[1], like_nhw.shape[2])
    return F.interpolate(values_nhw[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def bce(logits_nhw: Tensor, truth_nhw: Tensor) -> Tensor:
    """(n,): binary cross entropy, the mean over cells."""
    x, t = paired(logits_nhw, truth_nhw)
    return _mean(F.binary_cross_entropy_with_logits(x, t, reduction="none"))


def dice(logits_nhw: Tensor, truth_nhw: Tensor, smooth: float = SMOOTH) -> Tensor:
    """(n,): 1 - (2 sum p t + smooth) / (sum p + sum t + smooth) (V-Net)."""
    x, t = paired(logits_nhw, truth_nhw)
    p = x.sigmoid()
    return 1 - (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)


def focal(
    logits_nhw: Tensor, truth_nhw: Tensor, alpha: float = 0.25, gamma: float = 2.0, *, sigmoid_twice: bool = False
) -> Tensor:
    """(n,): alpha-balanced focal loss, the mean over cells (RetinaNet).

    sigmoid_twice: the cross entropy takes a probability for a logit, as MLLMSeg's released code does; it can then
    never come near zero. For comparisons only.
    """
    x, t = paired(logits_nhw, truth_nhw)
    p = x.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(p if sigmoid_twice else x, t, reduction="none")
    wrong = p * (1 - t) + (1 - p) * t
    return _mean((alpha * t + (1 - alpha) * (1 - t)) * wrong**gamma * entropy)


@torch.no_grad()
def iou(logits_nhw: Tensor, truth_nhw: Tensor) -> Tensor:
    """(n,): intersection over union of what is over 0 and what is at least 0.5; 1 where both are empty."""
    x, t = paired(logits_nhw, truth_nhw)
    ours, theirs = x > 0, t >= 0.5
    union = (ours | theirs).sum(1)
    return torch.where(union > 0, (ours & theirs).sum(1) / union.clamp(min=1), 1.0)


def averaged(values_n: Tensor) -> Tensor:
    """The mean over masks; 0, still differentiable, where there is none."""
    return values_n.sum() / max(len(values_n), 1)


def _mean(values_nc: Tensor) -> Tensor:
    return values_nc.sum(1) / max(values_nc.shape[1], 1)
