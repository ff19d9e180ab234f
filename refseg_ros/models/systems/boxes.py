"""Boxes in answers and boxes of masks: thousandths of the image, shares of the input; and what a list believes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from refseg_ros.models.answers.boxes import SCALE
from refseg_ros.models.answers.vocabulary import Vocabulary
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.models.systems.system import Said

Box = tuple[int, int, int, int]


def with_cells(masks_nhw: Tensor) -> list[Tensor]:
    """The masks that have a cell of their own."""
    return [m for m in masks_nhw if (m > 0.5).any()]


def thousandths(mask_hw: Tensor, geometry: Geometry, step: int = 1) -> Box:
    """The box around a mask on a grid over the padded input, in thousandths of the image; at least 1 wide and high.

    step: corners are rounded to multiples of it, at least one of them apart.
    """
    rows, cols = (mask_hw > 0.5).any(1).nonzero()[:, 0], (mask_hw > 0.5).any(0).nonzero()[:, 0]
    height, width = mask_hw.shape
    across = SCALE * geometry.padded[0] / (width * geometry.resized[0])
    down = SCALE * geometry.padded[1] / (height * geometry.resized[1])
    x0, x1 = _side(float(cols[0]) * across, float(cols[-1] + 1) * across, step)
    y0, y1 = _side(float(rows[0]) * down, float(rows[-1] + 1) * down, step)
    return x0, y0, x1, y1


def _side(low: float, high: float, step: int) -> tuple[int, int]:
    start = min(round(low / step) * step, SCALE - step)
    return start, min(max(round(high / step) * step, start + step), SCALE)


def normalised_boxes(corners: Sequence[Box], geometry: Geometry) -> Tensor:
    """Boxes in thousandths of the image -> (k, 4) centre x, centre y, width, height in shares of the padded input."""
    width, height = geometry.original
    pixels = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4) / SCALE
    return geometry.boxes_to_input(pixels * torch.tensor([width, height, width, height])).clamp(0, 1)


def corner_tokens(answer: Said, vocabulary: Vocabulary) -> list[list[int]]:
    """For each box that an answer writes, the positions of the tokens of its corners, in the answer."""
    found: list[list[int]] = []
    inside = quoted = escaped = False
    for at, entry in enumerate(vocabulary.symbols(answer.ids)):
        for byte in entry if isinstance(entry, bytes) else b"":
            quoted ^= byte == ord('"') and not escaped
            escaped = byte == ord("\\") and not escaped
            if not quoted and byte == ord("["):
                found, inside = ([*found, []] if not inside else [*found[:-1], []]), True
            elif byte == ord("]"):
                inside &= quoted
            elif inside and not quoted and chr(byte).isdigit() and at not in found[-1]:
                found[-1].append(at)
    return [tokens for tokens in found if tokens]


def list_belief(answer: Said, vocabulary: Vocabulary) -> float:
    """The probability that a list is not empty: of no way to close it right after its bracket."""
    belief, text = 1.0, b""
    for at, entry in enumerate(vocabulary.symbols(answer.ids)):
        if at in answer.choices:
            choice = answer.choices[at]
            spelled = [[s for s in vocabulary.symbols_of(i, False) if isinstance(s, int)] for i in choice.ids.tolist()]
            closes = [(text + bytes(s)).startswith(b"[]") for s in spelled]
            belief *= max(0.0, 1.0 - float(choice.log_probs[torch.tensor(closes)].exp().sum()))
        text += entry if isinstance(entry, bytes) else b"\0"
        if len(text) > 1:
            break
    return min(1.0, belief)
