"""What is taught beside the answers' text: masks of true boxes, and the places that phrases mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from refseg_ros.models.heads.box_prompt.head import BoxPromptOutput
from refseg_ros.models.losses import LISA_SMOOTH, averaged, bce, dice, iou


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """bce, dice: of masks, as GSVA's; iou: of the decoder's judgement; pointing: of the places."""

    bce: float = 2.0
    dice: float = 0.5
    iou: float = 0.1
    pointing: float = 1.0


def losses(output: BoxPromptOutput, truth_nhw: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Weighted losses by name, means over boxes; 0 without any."""
    logits = output.logits_nhw
    return {
        "bce": weights.bce * averaged(bce(logits, truth_nhw)),
        "dice": weights.dice * averaged(dice(logits, truth_nhw, LISA_SMOOTH)),
        "iou": weights.iou * averaged((output.iou_n.float() - iou(logits, truth_nhw)) ** 2),
    }


def pointing_loss(logits_nhw: Tensor, truth_nhw: Tensor) -> Tensor:
    """Mean over phrases: cross entropy of every place, and Dice of phrases that mean something.

    truth_nhw: shares of cells that the targets cover, on the same grid or a finer one; zeros for an absent phrase.
    """
    grid = (logits_nhw.shape[1], logits_nhw.shape[2])
    truth = F.adaptive_avg_pool2d(truth_nhw[:, None].float(), grid)[:, 0]
    there = truth.flatten(1).amax(1) > 0
    spread = bce(logits_nhw, truth) * truth[0].numel() / SPREAD
    return averaged(spread) + averaged(dice(logits_nhw[there], truth[there]))


SPREAD = 32.0
"""Cells over which the cross entropy is summed as one: about what a thing covers, so that few cells still count."""
