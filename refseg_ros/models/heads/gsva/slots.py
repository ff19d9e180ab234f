"""The [SEG] and [REJ] of an answer, in the order in which they were said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg_ros.models.heads import states


@dataclass(frozen=True, eq=False)
class Slots:
    """s slots of a batch. states_sc: that predicted each; segment_s: True for [SEG]; image_s: long, whose image.

    All [SEG] share one projection and one decoder; what tells them apart is their state alone.
    """

    states_sc: Tensor
    segment_s: Tensor
    image_s: Tensor

    def __post_init__(self) -> None:
        counts = len(self.states_sc), len(self.segment_s), len(self.image_s)
        if len(set(counts)) != 1:
            raise ValueError(f"Slots needs a state, a kind and an image for each slot, not {counts}")


def slots_of(
    states_ntc: Tensor, places: Sequence[Sequence[int]], segments: Sequence[Sequence[bool]], image_n: Tensor
) -> Slots:
    """Slots of n answers. places: positions of their [SEG] and [REJ] among the t states; segments: True for [SEG];
    image_n: whose image each answer is about. The state is taken one position earlier, where the slot was decided."""
    if [len(p) for p in places] != [len(s) for s in segments]:
        raise ValueError("places and segments must name the same slots")
    state, row = states.predicting(states_ntc, places)
    kinds = torch.tensor([kind for each in segments for kind in each], dtype=torch.bool, device=state.device)
    return Slots(state, kinds, image_n[row])
