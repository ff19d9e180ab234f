"""What the language model says of an image: answers, each with any number of boxes and <mask_token> states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True, eq=False)
class Objects:
    """a answers with up to k objects. boxes_ak4: centre x, centre y, width, height in 0..1 of the padded input;
    states_akc: the language state of each <mask_token>; there_ak: False for padding; image_a: long, whose image.

    Raises ValueError for boxes outside 0..1, as boxes on the answer's scale of 0..1000 are.
    """

    boxes_ak4: Tensor
    states_akc: Tensor
    there_ak: Tensor
    image_a: Tensor

    def __post_init__(self) -> None:
        shape = self.there_ak.shape
        if self.boxes_ak4.shape != (*shape, 4) or self.states_akc.shape[:2] != shape or len(self.image_a) != shape[0]:
            raise ValueError(
                f"Objects needs boxes and states of {tuple(shape)} objects and an image for each answer, not "
                f"{tuple(self.boxes_ak4.shape)}, {tuple(self.states_akc.shape)}, {len(self.image_a)}"
            )
        if shape[1] < 1:
            raise ValueError("Objects needs at least one column; objects_of() pads answers without any object")
        wrong = (self.boxes_ak4 < 0) | (self.boxes_ak4 > 1)
        if (wrong & self.there_ak[..., None]).any():
            raise ValueError("Objects.boxes_ak4 must be in 0..1 of the padded input; divide 0..1000 boxes first")


def objects_of(boxes: Sequence[Tensor], states: Sequence[Tensor], image_a: Tensor) -> Objects:
    """Ragged answers, padded. boxes: (k_i, 4) each; states: (k_i, c) each; none, one or many objects an answer."""
    counts = torch.tensor([len(b) for b in boxes], device=image_a.device)
    columns = max([1, *(len(b) for b in boxes)])
    there = torch.arange(columns, device=image_a.device) < counts[:, None]
    return Objects(_padded(boxes, columns), _padded(states, columns), there, image_a)


def _padded(parts: Sequence[Tensor], columns: int) -> Tensor:
    whole = pad_sequence(list(parts), batch_first=True)
    return torch.nn.functional.pad(whole, (0, 0, 0, columns - whole.shape[1]))


def jittered(boxes_ak4: Tensor, most: float) -> Tensor:
    """Each side moved by up to `most` of the box's length, as a language model's boxes are off in use."""
    x, y, w, h = boxes_ak4.unbind(-1)
    sides = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    moved = sides + torch.stack([w, h, w, h], -1) * most * (2 * torch.rand_like(sides) - 1)
    x0, y0, x1, y1 = moved.clamp(0, 1).unbind(-1)
    return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], -1)
