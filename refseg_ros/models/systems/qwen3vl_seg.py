"""Qwen3-VL-Seg: boxes and <mask_token> from the language model, masks from a light decoder (arXiv 2605.07141)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from refseg_ros.models.answers import boxes
from refseg_ros.models.answers.boxes import BoxEntry
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
from refseg_ros.models.systems.boxes import corner_tokens, list_belief, normalised_boxes, thousandths, with_cells
from refseg_ros.models.systems.slots import NAMED
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, System, Truth

ENTRY_TOKENS = 96  # an entry's tokens but for its label, at the most


class Qwen3VLSeg(System):
    """most: boxes in one answer. An empty list says that nothing fits. step: as in BoxDecoder."""

    def __init__(
        self,
        backbone: Backbone,
        config: Qwen3VLSegConfig,
        *,
        most: int = 8,
        step: int = 1,
        weights: LossWeights | None = None,
    ) -> None:
        if most < 1 or step < 1:
            raise ValueError(f"most and step must be at least 1, not {most} and {step}")
        super().__init__(backbone, Qwen3VLSegHead(config))
        self.config, self.most, self.step, self.weights = config, most, step, weights

    def converse(self, phrases: Sequence[str]) -> Conversation:
        (phrase,) = phrases
        labels = self.spelled(phrases)
        return self.question(f"Boxes and masks as JSON: {phrase}", labels, boxes.grammar(labels, self.most))

    def budget(self, conversation: Conversation) -> int:
        return 8 + self.most * (ENTRY_TOKENS + 2 * len(conversation.labels[0].encode()))

    def parse(self, conversation: Conversation, entries: Sequence[bytes | str]) -> tuple[BoxEntry, ...]:
        return boxes.parse(entries, conversation.labels, self.most)

    def write(self, conversation: Conversation, truth: Truth) -> tuple[Symbol, ...]:
        entries = [BoxEntry(thousandths(m, truth.geometry, self.step), 0) for m in self._masks(truth)]
        return boxes.write(entries, conversation.labels)

    def _masks(self, truth: Truth) -> list[Tensor]:
        """Targets that have a cell of their own, up to `most`."""
        return with_cells(truth.masks[0])[: self.most]

    def meant(self, conversation: Conversation, truth: Truth, said: Said) -> list[tuple[list[int], Tensor]]:
        masks = self._masks(truth)
        every = truth.masks[0].amax(0) if len(masks) else truth.masks[0].new_zeros(truth.masks[0].shape[1:])
        corners = [
            [said.asked + at - 1 for at in (*corner, entry.at + 1)]
            for corner, entry in zip(corner_tokens(said, self.backbone.vocabulary), said.parsed, strict=True)
        ]  # and the state of <mask_token> itself, which the head is given
        return [([said.asked - 1], every), *zip(corners, masks, strict=True)]

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
            out.append([PhraseAnswer(list_belief(answer, self.backbone.vocabulary), masks, scores)])
        return out

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
