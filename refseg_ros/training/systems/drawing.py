"""A box-prompted decoder is taught to draw, without a word: what SAM has learned before a language model is put to it.

No language model is run, so that a minute holds several times the masks that answers would ask for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refseg_ros.models.systems.box_decoder import BoxDecoder
from refseg_ros.training.systems.batches import Batch

THINGS = 12  # drawn of each picture, at the most


class MaskDrawing(nn.Module):
    """Every thing of a picture from its box, in the place of training.systems.step.Step."""

    def __init__(self, system: BoxDecoder) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, weighted as the system's are."""
        vision = batch.pictures.vision(self.system.backbone, batch.indices)
        masks = [self._masks(batch, index).to(vision.tokens_blc.device) for index in batch.indices]
        return self.system.drawing_losses(vision, masks)

    def _masks(self, batch: Batch, index: int) -> Tensor:
        """(n, h, w): other things each time in training, the first ones else."""
        numbers = [s.number for s in batch.pictures.facts(index).segments]
        if self.training:
            numbers = [numbers[k] for k in torch.randperm(len(numbers)).tolist()]
        geometry = batch.pictures.geometry(self.system.backbone, index)
        return batch.pictures.masks(index, numbers[:THINGS], geometry, self.system.mask_stride)
