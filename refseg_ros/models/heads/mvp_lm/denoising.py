"""Denoising queries for word tasks: true things with false boxes and names, which the decoder learns to put right.

As in DN-DETR and MaskDINO: several noisy copies (groups) of all true things are decoded beside the real queries. The
real queries never see them, no group sees another, and no matching is needed, since who is who is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg_ros.models.heads.mvp_lm.config import MVPLMConfig
from refseg_ros.models.heads.mvp_lm.targets import Target


@dataclass(frozen=True, eq=False)
class Denoising:
    """M noisy things a sample, groups one after another. labels_bm: phrase it claims to be; boxes_bm4: where it claims
    to be; truth_bm: index of the target it was made from; real_bm: False for padding; group_m: its group."""

    labels_bm: Tensor
    boxes_bm4: Tensor
    truth_bm: Tensor
    real_bm: Tensor
    group_m: Tensor


def noisy(targets: Sequence[Target], there_bk: Tensor, config: MVPLMConfig) -> Denoising | None:
    """Noisy copies of every thing (not of stuff); None where there is none. there_bk: names a label may turn into.

    A label is replaced with probability noise / 2 by any name of the sample; a box's centre moves by up to noise x half
    its size, its size changes by up to noise of itself.
    """
    things = [(~t.stuff_n).nonzero()[:, 0] for t in targets]
    most = max(len(t) for t in things)
    if not most or not config.denoising_queries:
        return None
    groups = max(1, config.denoising_queries // most)
    device, count = there_bk.device, groups * most
    labels = torch.zeros(len(targets), count, dtype=torch.long, device=device)
    truth, real = torch.zeros_like(labels), torch.zeros_like(labels, dtype=torch.bool)
    boxes = torch.full((len(targets), count, 4), 0.5, device=device)
    for row, (target, index) in enumerate(zip(targets, things, strict=True)):
        at = (torch.arange(groups)[:, None] * most + torch.arange(len(index))).flatten()
        which = index.repeat(groups)
        truth[row, at], real[row, at] = which, True
        labels[row, at] = target.labels_n[which]
        boxes[row, at] = target.boxes_n4[which]
    flip = torch.rand(labels.shape, device=device) < config.denoising_noise / 2
    other = torch.multinomial(there_bk.float(), count, replacement=True)
    labels = torch.where(flip & real, other, labels)
    reach = torch.cat([boxes[..., 2:] / 2, boxes[..., 2:]], -1)
    boxes = boxes + (2 * torch.rand_like(boxes) - 1) * reach * config.denoising_noise
    group = torch.arange(count, device=device) // most
    return Denoising(labels, boxes.clamp(0, 1), truth, real, group)


def blocked(answers: int, denoising: Denoising) -> Tensor:
    """(B, Q, Q) bool, True where a query may not look; Q = answers + M, the denoising queries last."""
    batch, count = denoising.real_bm.shape
    out = torch.zeros(batch, answers + count, answers + count, dtype=torch.bool, device=denoising.real_bm.device)
    out[:, :answers, answers:] = True
    out[:, answers:, answers:] = (denoising.group_m[:, None] != denoising.group_m) | ~denoising.real_bm[:, None]
    out.diagonal(dim1=1, dim2=2).fill_(False)  # padding looks at itself: a softmax needs something
    return out
