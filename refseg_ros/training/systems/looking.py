"""Where words look while they are read and written, taught: for a backbone whose decoder glances at the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg_ros.models.heads.box_prompt.losses import pointing_loss

Meant = Sequence[tuple[Sequence[int], Tensor]]


def looking_loss(looks: Sequence[Tensor], meant: Sequence[Meant]) -> Tensor | None:
    """The first stage's pointing loss, mean over words. None where nothing is said about any word.

    looks: of each text, logits (t, h, w); meant: of each text, as System.meant() gives it.
    """
    words = [(text, at, mask) for text, pairs in enumerate(meant) for at, mask in pairs if at]
    if not words:
        return None
    logits = torch.cat([looks[text][list(at)] for text, at, _ in words])
    masks = torch.stack([mask for _, _, mask in words]).to(logits.device).float()
    truth = F.adaptive_avg_pool2d(masks[:, None], (logits.shape[1], logits.shape[2]))[:, 0]
    times = torch.tensor([len(at) for _, at, _ in words], device=logits.device)
    return pointing_loss(logits, truth.repeat_interleave(times, 0))
