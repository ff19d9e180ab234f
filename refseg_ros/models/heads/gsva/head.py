"""GSVA's mask head (arXiv 2312.10103): each [SEG] of an answer is a prompt of SAM's mask decoder, a [REJ] is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from refseg_ros.models.heads.gsva.config import GSVAConfig
from refseg_ros.models.heads.gsva.slots import Slots
from refseg_ros.models.heads.prompted import PromptedDecoder, PromptedEncoded

GSVAEncoded = PromptedEncoded


@dataclass(frozen=True, eq=False)
class GSVAOutput:
    """logits_nhw: a mask for each of the n [SEG] slots, in their order; iou_n: how good SAM's decoder holds it;
    segment_s: which slots they are."""

    logits_nhw: Tensor
    iou_n: Tensor
    segment_s: Tensor

    @property
    def slots(self) -> tuple[Tensor | None, ...]:
        """The mask logits (h, w) of each slot, None for a [REJ]."""
        masks = iter(self.logits_nhw)
        return tuple(next(masks) if kind else None for kind in self.segment_s.tolist())


class PromptProjection(nn.Sequential):
    """A language state -> a sparse prompt: Linear, ReLU, Linear."""

    def __init__(self, language_width: int, width: int) -> None:
        super().__init__(nn.Linear(language_width, language_width), nn.ReLU(), nn.Linear(language_width, width))


class GSVAHead(PromptedDecoder):
    """encode() once a frame, decode() once for a batch of slots; forward() does both."""

    def __init__(self, config: GSVAConfig) -> None:
        super().__init__(config)
        self.config = config
        self.prompt = PromptProjection(config.language_width, config.width)

    def decode(self, encoded: GSVAEncoded, slots: Slots) -> GSVAOutput:
        """Masks of the [SEG] slots, four times finer than the grid. [REJ] slots cost nothing."""
        state, image = slots.states_sc[slots.segment_s], slots.image_s[slots.segment_s]
        logits, iou = self.masks(encoded, self.prompt(state)[:, None], image)
        return GSVAOutput(logits, iou, slots.segment_s)

    def forward(self, maps: Sequence[Tensor], grid: tuple[int, int], slots: Slots) -> GSVAOutput:
        """encode() and decode()."""
        return self.decode(self.encode(maps, grid), slots)
