"""Before a decoder is taught anything: image tokens and words come to lie in one space.

Each image token is taught to lie near the words of what it shows (word-region alignment: GLIP, Li et al., CVPR 2022).
No decoder is run, so that minutes do what would take it an hour to find out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.systems.system import System
from refseg_ros.training.systems.batches import Batch

SCALE, BIAS = 10.0, -3.0  # of cosines, as logits
WORTH = 20.0  # of the mean over words and places: most are of what is not there


class WordAlignment(nn.Module):
    """A system's image tokens against its words, in the place of training.systems.step.Step."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss by name: cross entropy of which words each image token shows."""
        backbone = self.system.backbone
        vision = batch.pictures.vision(backbone, batch.indices)
        said = [self._said(batch, index) for index in batch.indices]
        ids = sorted({number for words in said for number in words})
        device = vision.tokens_blc.device
        truth = torch.zeros(len(said), len(ids), *vision.token_grid)
        for row, words in enumerate(said):
            for number, mask in words.items():
                truth[row, ids.index(number)] = F.adaptive_avg_pool2d(mask[None], vision.token_grid)[0].clamp(max=1)
        embedded = F.normalize(backbone.embed(torch.tensor(ids, device=device)).float(), dim=-1)
        tokens = F.normalize(vision.tokens_blc.float(), dim=-1)
        logits = SCALE * torch.einsum("blc,vc->bvl", tokens, embedded) + BIAS
        return {"alignment": WORTH * F.binary_cross_entropy_with_logits(logits, truth.flatten(2).to(device))}

    def _said(self, batch: Batch, index: int) -> dict[int, Tensor]:
        """By token id, the share of each cell (h, w) that shows what its word names."""
        vocabulary = self.system.backbone.vocabulary
        geometry = batch.pictures.geometry(self.system.backbone, index)
        segments = batch.pictures.facts(index).segments
        masks = batch.pictures.masks(index, [s.number for s in segments], geometry, self.system.mask_stride)
        shown: dict[int, Tensor] = {}
        for segment, mask in zip(segments, masks, strict=True):
            names = " ".join((segment.name, *segment.also, segment.said))
            for number in set(vocabulary.encode_user_text(names)):
                shown[number] = shown.get(number, torch.zeros_like(mask)) + mask
        return shown
