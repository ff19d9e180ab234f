"""What the mask decoder is taught: masks of both passes, and the IoU that the last one reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg_ros.models.heads.qwen3vl_seg.head import Qwen3VLSegOutput
from refseg_ros.models.losses import averaged, bce, dice, iou


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """BCE and Dice as in the paper, their weights and the rest ours. first_pass: of the first mask, per unit."""

    bce: float = 2.0
    dice: float = 0.5
    iou: float = 0.1
    first_pass: float = 1.0


def losses(output: Qwen3VLSegOutput, truths: Sequence[Tensor], weights: LossWeights | None = None) -> dict[str, Tensor]:
    """Weighted losses by name, means over objects. truths: (k_i, h, w) for each answer, in the order of its boxes."""
    weights = weights or LossWeights()
    counts = [int(n) for n in output.there_ak.sum(1)]
    if counts != [len(t) for t in truths]:
        raise ValueError(f"the answers have {counts} objects and {[len(t) for t in truths]} true masks")
    truth = torch.cat(list(truths))
    parts = {"bce": output.iou_ak.new_zeros(()), "dice": output.iou_ak.new_zeros(())}
    for number, logits in enumerate(output.passes):
        share = 1.0 if number == len(output.passes) - 1 else weights.first_pass
        flat = logits[output.there_ak]
        parts["bce"] = parts["bce"] + share * weights.bce * averaged(bce(flat, truth))
        parts["dice"] = parts["dice"] + share * weights.dice * averaged(dice(flat, truth))
    reached = iou(output.passes[-1][output.there_ak], truth)
    parts["iou"] = weights.iou * averaged((output.iou_ak[output.there_ak].float() - reached) ** 2)
    return parts
