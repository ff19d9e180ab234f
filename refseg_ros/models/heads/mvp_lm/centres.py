"""A lesson of ours for the tokens that queries are chosen from: the middle of each thing should fit its phrase.

The paper teaches chosen tokens only, through matching, which takes long to find out which to choose. In short trainings
this weighs as much (LossWeights.centres; 0 as published): at the finest level, the token nearest to the middle of a
thing's mask is to fit its phrase, tokens away from all things fit none, and the others of a thing are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg_ros.models.heads.mvp_lm.targets import Target, resized

PART = 0.25


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Logits of the finest level's tokens: similarity_bkhw with each phrase (NEVER for padding), background_bhw;
    inside_bhw: False in the padding."""

    similarity_bkhw: Tensor
    background_bhw: Tensor
    inside_bhw: Tensor


def middle(shares_hw: Tensor) -> tuple[int, int]:
    """(row, column) of the cell nearest to the centroid among those that the mask covers best. Shares: 0..1."""
    weight = shares_hw / shares_hw.sum()
    rows, cols = (torch.arange(n, device=shares_hw.device, dtype=weight.dtype) for n in shares_hw.shape)
    row, col = (weight.sum(1) * rows).sum(), (weight.sum(0) * cols).sum()
    far = (rows[:, None] - row) ** 2 + (cols - col) ** 2
    covered = shares_hw >= torch.clamp(shares_hw.max(), max=0.5)
    return divmod(int(far.masked_fill(~covered, torch.inf).argmin()), shares_hw.shape[1])


def centre_loss(tokens: TokenScores, targets: Sequence[Target], sentence: bool) -> Tensor:
    """Mean over the middles plus mean over the background. Samples without masks are left out."""
    names = tokens.similarity_bkhw.shape[1]
    truth = torch.full_like(tokens.background_bhw, names, dtype=torch.long).masked_fill(~tokens.inside_bhw, -100)
    for row, target in enumerate(targets):
        if target.masks_nhw is None:
            truth[row] = -100
            continue
        things = ~target.stuff_n
        shares = resized(target.masks_nhw[things], (truth.shape[1], truth.shape[2]))
        truth[row].masked_fill_((shares > PART).any(0), -100)
        for share, label in zip(shares, target.labels_n[things], strict=True):
            truth[row][middle(share)] = label
    if sentence:
        logits, fits = tokens.similarity_bkhw[:, 0], (truth != names).float()
        each = F.binary_cross_entropy_with_logits(logits, fits, reduction="none")
    else:
        table = torch.cat([tokens.similarity_bkhw, tokens.background_bhw[:, None]], 1)
        each = F.cross_entropy(table, truth, reduction="none")
    hit, miss = (truth >= 0) & (truth < names), truth == names
    return (each * hit).sum() / hit.sum().clamp(min=1) + (each * miss).sum() / miss.sum().clamp(min=1)
