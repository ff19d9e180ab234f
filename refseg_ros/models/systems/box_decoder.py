"""The language model writes a box, and a decoder that sees only the box and the picture draws the mask.

Two uses: as the baseline beside the four systems, and as the first stage that all of them start from at compact scale,
in the place of a pretrained model that grounds. For that it is taught boxes of sentences and of word lists, captions,
and whether something is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refseg_ros.models.answers import boxes, plain
from refseg_ros.models.answers.boxes import BoxEntry
from refseg_ros.models.answers.grammar import Symbol
from refseg_ros.models.backbones.base import Backbone, Prefix, VisionFeatures
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.models.heads.box_prompt import BoxPromptConfig, BoxPromptHead, LossWeights, losses, pointing_loss
from refseg_ros.models.heads.prompted import PromptedEncoded
from refseg_ros.models.systems.boxes import corner_tokens, list_belief, normalised_boxes, thousandths, with_cells
from refseg_ros.models.systems.slots import NAMED
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, Truth, WordListSystem

BOXES, PRESENCE, CAPTION = "boxes", "presence", "caption"
ENTRY_TOKENS = 64  # an entry's tokens but for its label, at the most
MOST_CAPTION_TOKENS = 60


@dataclass(frozen=True, eq=False)
class Looked:
    """A frame for the decoder; the language model's states at its tokens, for the pointer."""

    encoded: PromptedEncoded
    image_states_bchw: Tensor
    geometries: tuple[Geometry, ...]


class BoxDecoder(WordListSystem):
    """most: boxes in one answer. step: in thousandths, to which the boxes that are taught are rounded."""

    tasks = ("sentences", "words", "captions", "presence", "naming")

    def __init__(
        self,
        backbone: Backbone,
        config: BoxPromptConfig,
        *,
        most: int = 8,
        step: int = 1,
        weights: LossWeights | None = None,
    ) -> None:
        if most < 1 or step < 1:
            raise ValueError(f"most and step must be at least 1, not {most} and {step}")
        super().__init__(backbone, BoxPromptHead(config))
        self.config, self.most, self.step, self.weights = config, most, step, weights or LossWeights()

    def converse(self, phrases: Sequence[str]) -> Conversation:
        (phrase,) = phrases
        labels = self.spelled(phrases)
        return self.question(f"Boxes as JSON: {phrase}", labels, boxes.grammar(labels, self.most, False), BOXES)

    def converse_about_words(self, names: Sequence[str], stuff: Sequence[bool] = ()) -> Conversation:
        labels = self.spelled(names)
        grammar = boxes.grammar(labels, self.most, False)
        return self.question(f"Boxes as JSON of all of these: {', '.join(names)}", labels, grammar, BOXES)

    def converse_about_presence(self, phrases: Sequence[str]) -> Conversation:
        """Whether something fits each of these: the cheapest question that teaches what phrases mean. They stand in the
        answer alone."""
        labels = self.spelled(phrases)
        return self.question("Is this there?", labels, plain.presence(labels), PRESENCE)

    def converse_to_caption(self) -> Conversation:
        """What can be seen."""
        return self.question("Describe the image.", (), plain.caption(), CAPTION)

    def budget(self, conversation: Conversation) -> int:
        if conversation.kind != BOXES:
            return MOST_CAPTION_TOKENS + ENTRY_TOKENS * len(conversation.labels)
        return 8 + self.most * (ENTRY_TOKENS + 2 * max(len(label.encode()) for label in conversation.labels))

    def parse(self, conversation: Conversation, entries: Sequence[bytes | str]) -> Any:
        if conversation.kind != BOXES:
            return plain.parse(entries)
        return boxes.parse(entries, conversation.labels, self.most, False)

    def write(self, conversation: Conversation, truth: Truth) -> tuple[Symbol, ...]:
        if conversation.kind == CAPTION:
            return plain.write(self.backbone.vocabulary.spell(truth.caption).rstrip(" ."))
        if conversation.kind == PRESENCE:
            return plain.write(plain.presence_text(conversation.labels, [bool(len(m)) for m in truth.masks]))
        entries = [BoxEntry(thousandths(m, truth.geometry, self.step), k) for k, m in self._named(truth)]
        return boxes.write(entries, conversation.labels, False)

    def _named(self, truth: Truth) -> list[tuple[int, Tensor]]:
        """The masks of the answer's boxes, each with its label's number, up to `most`."""
        return [(k, m) for k, masks in enumerate(truth.masks) for m in with_cells(masks)][: self.most]

    def meant(self, conversation: Conversation, truth: Truth, said: Said) -> list[tuple[list[int], Tensor]]:
        asked = [([end], _union(m)) for end, m in zip(self._ends(conversation, said), truth.masks, strict=False)]
        written = [m for _, m in self._named(truth)] if conversation.kind == BOXES else []
        corners = corner_tokens(said, self.backbone.vocabulary) if written else []
        return asked + [([said.asked + at - 1 for at in c], m) for c, m in zip(corners, written, strict=True)]

    def _ends(self, conversation: Conversation, said: Said) -> list[int]:
        """The tokens that the pointer reads: of presence, each label's last in the answer; of one phrase, the
        question's; none of a word list, whose answer says it all."""
        if conversation.kind == BOXES and len(conversation.labels) == 1:
            return [said.asked - 1]
        if conversation.kind != PRESENCE:
            return []
        tokens = [s if isinstance(s, bytes) else b"" for s in self.backbone.vocabulary.symbols(said.ids)]
        return [said.asked + at for at in plain.label_ends(conversation.labels, tokens)]

    def look(self, prefix: Prefix) -> Looked:
        return Looked(self._encoded(prefix.vision), prefix.image_states_bchw, prefix.vision.geometries)

    def _encoded(self, vision: VisionFeatures) -> PromptedEncoded:
        width, height = vision.geometries[0].padded
        grid = (height // self.config.stride, width // self.config.stride)
        encoded: PromptedEncoded = self.head.encode(vision.maps, grid)  # type: ignore[operator]
        return encoded

    def drawing_losses(self, vision: VisionFeatures, masks: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the decoder alone is taught: to draw each picture's masks (n, h, w) from the boxes around them."""
        drawn = [with_cells(own) for own in masks]
        corners = [
            normalised_boxes([thousandths(m, geometry, self.step) for m in own], geometry)
            for own, geometry in zip(drawn, vision.geometries, strict=True)
        ]
        images = torch.tensor([n for n, own in enumerate(drawn) for _ in own], dtype=torch.long)
        where, device = torch.cat(corners), vision.tokens_blc.device
        output = self.head.decode(self._encoded(vision), where.to(device), images.to(device))  # type: ignore[operator]
        truth = [m for own in drawn for m in own]
        return losses(output, torch.stack(truth) if truth else torch.zeros_like(output.logits_nhw), self.weights)

    def _decoded(self, looked: Looked, rows: Sequence[int], said: Sequence[Said]) -> Any:
        device = looked.image_states_bchw.device
        corners = [
            normalised_boxes([e.box for e in answer.parsed], looked.geometries[row])
            for row, answer in zip(rows, said, strict=True)
        ]
        images = [row for row, boxes_ in zip(rows, corners, strict=True) for _ in boxes_]
        where = torch.tensor(images, dtype=torch.long, device=device)
        return self.head.decode(looked.encoded, torch.cat(corners).to(device), where)  # type: ignore[operator]

    def segment(
        self, looked: Looked, rows: Sequence[int], conversations: Sequence[Conversation], said: Sequence[Said]
    ) -> list[list[PhraseAnswer]]:
        output, at = self._decoded(looked, rows, said), 0
        out: list[list[PhraseAnswer]] = []
        for conversation, answer in zip(conversations, said, strict=True):
            belief = list_belief(answer, self.backbone.vocabulary)
            own = range(at, at + len(answer.parsed))
            phrases = []
            for k in range(len(conversation.labels)):
                mine = [n for n, entry in zip(own, answer.parsed, strict=True) if entry.phrase == k]
                scores = tuple(NAMED + (1 - NAMED) * float(output.iou_n[n].clamp(0, 1)) for n in mine)
                phrases.append(PhraseAnswer(belief, output.logits_nhw[mine], scores))
            out.append(phrases)
            at += len(answer.parsed)
        return out

    def losses(
        self,
        looked: Looked,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        truths: Sequence[Truth],
        said: Sequence[Said],
    ) -> dict[str, Tensor]:
        asked = [n for n, c in enumerate(conversations) if c.kind == BOXES]
        drawn = [n for n in asked if said[n].parsed]
        if drawn:
            output = self._decoded(looked, [rows[n] for n in drawn], [said[n] for n in drawn])
            truth = torch.stack([m for n in drawn for _, m in self._named(truths[n])])
            parts = losses(output, truth, self.weights)
        else:
            parts = {}
        pointed = [
            (n, said[n].states[end], mask)
            for n, conversation in enumerate(conversations)
            for end, mask in zip(self._ends(conversation, said[n]), truths[n].masks, strict=False)
        ]
        if self.weights.pointing and pointed:
            states = torch.stack([state for _, state, _ in pointed])
            where = torch.tensor([rows[n] for n, _, _ in pointed], dtype=torch.long, device=states.device)
            masks = torch.stack([_union(mask) for _, _, mask in pointed])
            logits = self.head.point(looked.image_states_bchw, states, where)  # type: ignore[operator]
            parts["pointing"] = self.weights.pointing * pointing_loss(logits, masks)
        return parts


def _union(masks_nhw: Tensor) -> Tensor:
    return masks_nhw.amax(0) if len(masks_nhw) else masks_nhw.new_zeros(masks_nhw.shape[1:])
