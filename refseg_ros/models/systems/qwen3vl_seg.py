"""Qwen3-VL-Seg: boxes and <mask_token> from the language model, masks from a light decoder (arXiv 2605.07141)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from refseg_ros.models.answers import boxes
from refseg_ros.models.answers.boxes import SCALE, BoxEntry
from refseg_ros.models.answers.grammar import Symbol
from refseg_ros.models.backbones.base import Backbone, Prefix
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.models.heads.qwen3vl_seg import (
    LossWeights,
    Objects,
    Qwen3VLSegConfig,
    Qwen3VLSegEncoded,
    Qwen3VLSegHead,
    losses,
    objects_of,
)
from refseg_ros.models.systems.slots import NAMED
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, System, Truth

ENTRY_TOKENS = 96  # an entry's tokens but for its label, at the most


class Qwen3VLSeg(System):
    """most: boxes in one answer. An empty list says that nothing fits."""

    def __init__(
        self, backbone: Backbone, config: Qwen3VLSegConfig, *, most: int = 8, weights: LossWeights | None = None
    ) -> None:
        if most < 1:
            raise ValueError(f"most must be at least 1, not {most}")
        super().__init__(backbone, Qwen3VLSegHead(config))
        self.config, self.most, self.weights = config, most, weights

    def converse(self, phrases: Sequence[str]) -> Conversation:
        (phrase,) = phrases
        labels = self.spelled(phrases)
        return self.question(f"Boxes and masks as JSON: {phrase}", labels, boxes.grammar(labels, self.most))

    def budget(self, conversation: Conversation) -> int:
        return 8 + self.most * (ENTRY_TOKENS + 2 * len(conversation.labels[0].encode()))

    def parse(self, conversation: Conversation, entries: Sequence[bytes | str]) -> tuple[BoxEntry, ...]:
        return boxes.parse(entries, conversation.labels, self.most)

    def write(self, conversation: Conversation, truth: Truth) -> tuple[Symbol, ...]:
        entries = [BoxEntry(thousandths(m, truth.geometry), 0) for m in self._masks(truth)]
        return boxes.write(entries, conversation.labels)

    def _masks(self, truth: Truth) -> list[Tensor]:
        """Targets that have a cell of their own, up to `most`."""
        return [m for m in truth.masks[0] if (m > 0.5).any()][: self.most]

    def look(self, prefix: Prefix) -> tuple[Qwen3VLSegEncoded, tuple[Geometry, ...]]:
        vision = prefix.vision
        encoded = self.head.encode(vision.maps, prefix.image_states_bchw, vision.image_bchw)  # type: ignore[operator]
        return encoded, vision.geometries

    def _objects(self, geometries: Sequence[Geometry], rows: Sequence[int], said: Sequence[Said]) -> Objects:
        like = said[0].states
        corners = [
            normalised_boxes([e.box for e in answer.parsed], geometries[row]).to(like.device)
            for row, answer in zip(rows, said, strict=True)
        ]
        states = [
            torch.stack([a.own(e.at) for e in a.parsed]) if a.parsed else like.new_zeros(0, like.shape[1])
            for a in said
        ]
        return objects_of(corners, states, torch.tensor(rows, dtype=torch.long, device=like.device))

    def segment(
        self,
        looked: tuple[Qwen3VLSegEncoded, tuple[Geometry, ...]],
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        said: Sequence[Said],
    ) -> list[list[PhraseAnswer]]:
        encoded, geometries = looked
        output = self.head.decode(encoded, self._objects(geometries, rows, said))  # type: ignore[operator]
        out = []
        for answer, masks, ious in zip(said, output.masks, output.iou_ak, strict=True):
            quality = ious[: len(masks)].float().clamp(0, 1)
            scores = tuple(float(NAMED + (1 - NAMED) * q) for q in quality)
            out.append([PhraseAnswer(self._belief(answer), masks, scores)])
        return out

    def _belief(self, answer: Said) -> float:
        """The probability that the list is not empty: of no way to close it right after its bracket."""
        vocabulary, belief, text = self.backbone.vocabulary, 1.0, b""
        for at, entry in enumerate(vocabulary.symbols(answer.ids)):
            if at in answer.choices:
                choice = answer.choices[at]
                closes = [(text + bytes(self._spelled(i))).startswith(b"[]") for i in choice.ids.tolist()]
                belief *= max(0.0, 1.0 - float(choice.log_probs[torch.tensor(closes)].exp().sum()))
            text += entry if isinstance(entry, bytes) else b"\0"
            if len(text) > 1:
                break
        return min(1.0, belief)

    def _spelled(self, token: int) -> list[int]:
        return [s for s in self.backbone.vocabulary.symbols_of(token, False) if isinstance(s, int)]

    def losses(
        self,
        looked: tuple[Qwen3VLSegEncoded, tuple[Geometry, ...]],
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        truths: Sequence[Truth],
        said: Sequence[Said],
    ) -> dict[str, Tensor]:
        encoded, geometries = looked
        output = self.head.decode(encoded, self._objects(geometries, rows, said))  # type: ignore[operator]
        masks = [self._masks(truth) for truth in truths]
        empty = truths[0].masks[0][:0]
        return losses(output, [torch.stack(m) if m else empty for m in masks], self.weights)


def thousandths(mask_hw: Tensor, geometry: Geometry) -> tuple[int, int, int, int]:
    """The box around a mask on a grid over the padded input, in thousandths of the image; at least 1 wide and high."""
    rows, cols = (mask_hw > 0.5).any(1).nonzero()[:, 0], (mask_hw > 0.5).any(0).nonzero()[:, 0]
    height, width = mask_hw.shape
    across = SCALE * geometry.padded[0] / (width * geometry.resized[0])
    down = SCALE * geometry.padded[1] / (height * geometry.resized[1])
    x0, y0 = min(int(cols[0] * across), SCALE - 1), min(int(rows[0] * down), SCALE - 1)
    x1, y1 = round(float(cols[-1] + 1) * across), round(float(rows[-1] + 1) * down)
    return x0, y0, min(max(x1, x0 + 1), SCALE), min(max(y1, y0 + 1), SCALE)


def normalised_boxes(corners: Sequence[tuple[int, int, int, int]], geometry: Geometry) -> Tensor:
    """Boxes in thousandths of the image -> (k, 4) centre x, centre y, width, height in shares of the padded input."""
    width, height = geometry.original
    pixels = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4) / SCALE
    return geometry.boxes_to_input(pixels * torch.tensor([width, height, width, height])).clamp(0, 1)
