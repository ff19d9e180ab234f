"""What the mask head is taught: BCE and Dice of [SEG] slots. [REJ] slots are taught by the answer's text alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from refseg_ros.models.heads.gsva.head import GSVAOutput
from refseg_ros.models.losses import LISA_SMOOTH, averaged, bce, dice, iou


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """BCE and Dice as published. iou: ours, to teach SAM's own judgement of its mask; 0 leaves it as it was."""

    bce: float = 2.0
    dice: float = 0.5
    iou: float = 0.0


def losses(output: GSVAOutput, truth_shw: Tensor, weights: LossWeights | None = None) -> dict[str, Tensor]:
    """Weighted losses by name, means over [SEG] slots; 0 without any. truth_shw: a mask for every slot in order; what
    stands at a [REJ] is not read."""
    weights = weights or LossWeights()
    if len(truth_shw) != len(output.segment_s):
        raise ValueError(f"there are {len(output.segment_s)} slots and {len(truth_shw)} true masks")
    truth, logits = truth_shw[output.segment_s], output.logits_nhw
    parts = {
        "bce": weights.bce * averaged(bce(logits, truth)),
        "dice": weights.dice * averaged(dice(logits, truth, LISA_SMOOTH)),
    }
    if weights.iou:
        parts["iou"] = weights.iou * averaged((output.iou_n.float() - iou(logits, truth)) ** 2)
    return parts
