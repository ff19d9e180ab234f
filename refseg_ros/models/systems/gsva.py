"""GSVA: several [SEG] in one answer and an explicit [REJ] a phrase (arXiv 2312.10103).

Free-running: masks are decoded from what the model itself said; a phrase it rejected has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from refseg_ros.models.backbones.base import Backbone, Prefix
from refseg_ros.models.heads.gsva import GSVAConfig, GSVAHead, LossWeights, Slots, losses
from refseg_ros.models.heads.gsva.head import GSVAEncoded
from refseg_ros.models.systems.slots import SlotSystem
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, Truth


class Gsva(SlotSystem):
    """most 1 and may_reject False: one [SEG] whatever is asked, as LISA answers (the baseline)."""

    def __init__(
        self,
        backbone: Backbone,
        config: GSVAConfig,
        *,
        most: int = 8,
        may_reject: bool = True,
        weights: LossWeights | None = None,
    ) -> None:
        super().__init__(backbone, GSVAHead(config), most, may_reject)
        self.config, self.weights = config, weights

    def look(self, prefix: Prefix) -> GSVAEncoded:
        width, height = prefix.vision.geometries[0].padded
        grid = (height // self.config.stride, width // self.config.stride)
        return self.head.encode(prefix.vision.maps, grid)  # type: ignore[operator]

    def segment(
        self, looked: GSVAEncoded, rows: Sequence[int], conversations: Sequence[Conversation], said: Sequence[Said]
    ) -> list[list[PhraseAnswer]]:
        output = self.head.decode(looked, Slots(*self.slots_of(rows, said)))  # type: ignore[operator]
        return self.answers_of(said, output.logits_nhw, output.iou_n)

    def losses(
        self,
        looked: GSVAEncoded,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        truths: Sequence[Truth],
        said: Sequence[Said],
    ) -> dict[str, Tensor]:
        output = self.head.decode(looked, Slots(*self.slots_of(rows, said)))  # type: ignore[operator]
        return losses(output, self.truths_of(truths), self.weights)
