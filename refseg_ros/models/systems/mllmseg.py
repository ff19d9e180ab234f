"""MLLMSeg: one [SEG] or [REJ] a phrase, and a light decoder on the model's own ViT (arXiv 2508.04107)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from refseg_ros.models.backbones.base import Backbone, Prefix
from refseg_ros.models.heads.mllmseg import LossWeights, MLLMSegConfig, MLLMSegEncoded, MLLMSegHead, losses
from refseg_ros.models.systems.slots import SlotSystem
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, Truth


class MllmSeg(SlotSystem):
    """A phrase has one mask of all its targets."""

    def __init__(
        self, backbone: Backbone, config: MLLMSegConfig, *, may_reject: bool = True, weights: LossWeights | None = None
    ) -> None:
        super().__init__(backbone, MLLMSegHead(config), 1, may_reject)
        self.config, self.weights = config, weights
        self.mask_stride = config.mask_stride

    def look(self, prefix: Prefix) -> MLLMSegEncoded:
        return self.head.encode(  # type: ignore[operator]
            prefix.vision.maps, prefix.image_states_bchw, prefix.preceding_bc if self.config.as_released else None
        )

    def segment(
        self, looked: MLLMSegEncoded, rows: Sequence[int], conversations: Sequence[Conversation], said: Sequence[Said]
    ) -> list[list[PhraseAnswer]]:
        states, kinds, images = self.slots_of(rows, said)
        logits = self.head.decode(looked, states[kinds], images[kinds])  # type: ignore[operator]
        return self.answers_of(said, logits, mean_certainty(logits))

    def losses(
        self,
        looked: MLLMSegEncoded,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        truths: Sequence[Truth],
        said: Sequence[Said],
    ) -> dict[str, Tensor]:
        states, kinds, images = self.slots_of(rows, said)
        logits = self.head.decode(looked, states[kinds], images[kinds])  # type: ignore[operator]
        truth = self.truths_of(truths)[kinds]
        return losses(logits, truth, self.weights, as_released=self.config.as_released)


def mean_certainty(logits_nhw: Tensor) -> Tensor:
    """(n,): the mean probability of the cells that a mask claims; 0 for one that claims none."""
    chance = logits_nhw.float().flatten(1).sigmoid()
    claimed = (chance > 0.5).float()
    return (chance * claimed).sum(1) / torch.clamp(claimed.sum(1), min=1)
