"""Systems that answer each phrase by [SEG] or [REJ]: the questions, the answers and their states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from refseg_ros.models.answers import rejections
from refseg_ros.models.answers.grammar import Symbol
from refseg_ros.models.answers.rejections import REJ, PhraseSlots
from refseg_ros.models.backbones.base import Backbone
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, System, Truth, binary_belief

NAMED = 0.5  # the score of what the model named, however poor its mask


class SlotSystem(System):
    """most: [SEG] of one phrase; with 1 a phrase has one mask of all its targets. may_reject False: always [SEG]."""

    joint = True

    def __init__(self, backbone: Backbone, head: nn.Module, most: int, may_reject: bool) -> None:
        if most < 1:
            raise ValueError(f"most must be at least 1, not {most}")
        super().__init__(backbone, head)
        self.most, self.may_reject = most, may_reject

    def converse(self, phrases: Sequence[str]) -> Conversation:
        labels = self.spelled(phrases)
        grammar = rejections.grammar(labels, self.most, self.may_reject)
        return self.question(f"Segment {', '.join(phrases)}.", labels, grammar)

    def budget(self, conversation: Conversation) -> int:
        return 8 + sum(len(label.encode()) + self.most + 4 for label in conversation.labels)

    def parse(self, conversation: Conversation, entries: Sequence[bytes | str]) -> tuple[PhraseSlots, ...]:
        return rejections.parse(entries, conversation.labels, self.most)

    def write(self, conversation: Conversation, truth: Truth) -> tuple[Symbol, ...]:
        return rejections.write([len(m) for m in self._masks(truth)], conversation.labels)

    def _masks(self, truth: Truth) -> list[Tensor]:
        """For each phrase the masks of its [SEG], in order."""
        out = []
        for masks in truth.masks:
            if len(masks) > 1 and self.most == 1:
                masks = masks.amax(0, keepdim=True)
            if not len(masks) and not self.may_reject:
                masks = masks.new_zeros(1, *masks.shape[1:])
            out.append(masks[: self.most])
        return out

    def truths_of(self, truths: Sequence[Truth]) -> Tensor:
        """Masks (s, h, w) of every slot in order; zeros stand for a [REJ]."""
        rows = [m if len(m) else m.new_zeros(1, *m.shape[1:]) for truth in truths for m in self._masks(truth)]
        return torch.cat(rows)

    def meant(self, conversation: Conversation, truth: Truth, said: Said) -> list[tuple[list[int], Tensor]]:
        slots = [at for phrase in said.parsed for at in phrase.segments or (phrase.first,)]
        return [([said.asked + at - 1], mask) for at, mask in zip(slots, self.truths_of([truth]), strict=True)]

    def slots_of(self, rows: Sequence[int], said: Sequence[Said]) -> tuple[Tensor, Tensor, Tensor]:
        """States (s, c) that predicted each slot, which are [SEG] (s,), and whose image each is about (s,)."""
        states, kinds, images = [], [], []
        for row, answer in zip(rows, said, strict=True):
            for slots in answer.parsed:
                for at in slots.segments or (slots.first,):
                    states.append(answer.predicting(at))
                    kinds.append(not slots.rejected)
                    images.append(row)
        device = states[0].device
        return torch.stack(states), torch.tensor(kinds, device=device), torch.tensor(images, device=device)

    def answers_of(self, said: Sequence[Said], logits_nhw: Tensor, quality_n: Tensor) -> list[list[PhraseAnswer]]:
        """logits_nhw, quality_n (0..1): of the [SEG] of all answers, in order."""
        rej, at = self.backbone.vocabulary.special_ids[REJ], 0
        out: list[list[PhraseAnswer]] = []
        for answer in said:
            phrases = []
            for slots in answer.parsed:
                count = len(slots.segments)
                quality = quality_n[at : at + count].float().clamp(0, 1)
                scores = tuple(float(NAMED + (1 - NAMED) * q) for q in quality)
                belief = binary_belief(answer.choices.get(slots.first), rej)
                phrases.append(PhraseAnswer(belief, logits_nhw[at : at + count], scores))
                at += count
            out.append(phrases)
        return out
