"""What a system is: how it asks its language model, reads the answer, and turns states into masks; and its losses.

One object serves inference and training, so that both see the same question, the same answer and the same states.
Layouts as in backbones.base; masks lie on any grid over the padded input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.models.answers.constraint import AllowedTokens, Constraint
from refseg_ros.models.answers.errors import AnswerError, transcript
from refseg_ros.models.answers.grammar import Anything, Symbol, Term
from refseg_ros.models.backbones.base import Backbone, Prefix
from refseg_ros.models.backbones.generation import Choice, Generation, generate
from refseg_ros.models.backbones.geometry import Geometry

RETRY_TEMPERATURE = 0.7
MOST_SHOWN = 40  # characters of a phrase in a message


@dataclass(frozen=True, eq=False)
class Conversation:
    """One question about one image. labels: the phrases as the model spells them; question: its token ids;

    offsets: the characters of `text` that each stands for; grammar: of the answer; kind: what the system calls it;
    stuff: of each label, where stuff is asked for.
    """

    labels: tuple[str, ...]
    text: str
    question: list[int]
    offsets: list[tuple[int, int]]
    grammar: Term
    kind: str = ""
    stuff: tuple[bool, ...] = ()


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a conversation. masks: for each label, shares 0..1 of its targets (n, h, w), n = 0 for none;

    geometry: of the picture; caption: what can be seen; stuff: of each label.
    """

    masks: tuple[Tensor, ...]
    geometry: Geometry
    caption: str = ""
    stuff: tuple[bool, ...] = ()

    def to(self, device: torch.device) -> Truth:
        """The same on another device."""
        masks = tuple(m.to(device) for m in self.masks)
        return Truth(masks, self.geometry, self.caption, self.stuff)


@dataclass(frozen=True, eq=False)
class PhraseAnswer:
    """belief 0..1: that something fits; mask_logits_nhw: of what does, best first; scores 0..1, one a mask."""

    belief: float
    mask_logits_nhw: Tensor
    scores: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Said:
    """An answer that has been read. parsed: as the system's grammar gives it; ids: its tokens; states: at each token of
    the question, then of the answer; choices: by position in the answer."""

    parsed: Any
    ids: list[int]
    states: Tensor
    asked: int
    choices: dict[int, Choice]

    def own(self, at: int) -> Tensor:
        """The state (c,) of the answer's token `at`."""
        return self.states[self.asked + at]

    def predicting(self, at: int) -> Tensor:
        """The state (c,) from which the answer's token `at` was predicted."""
        return self.states[self.asked + at - 1]


class System(nn.Module, ABC):
    """A backbone and a head. joint: whether one question holds several phrases; tasks: what it can be taught, see
    training.systems.mixture.MixtureConfig; mask_stride: input pixels to one of its mask logits, for true masks."""

    joint = False
    mask_stride = 4
    tasks: tuple[str, ...] = ("sentences",)

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.allowed = AllowedTokens(backbone.vocabulary)

    @abstractmethod
    def converse(self, phrases: Sequence[str]) -> Conversation:
        """The question about these phrases; about one only where the system is not joint."""

    @abstractmethod
    def budget(self, conversation: Conversation) -> int:
        """Tokens that its answer may have: enough for every answer of the form, so that none is cut short."""

    @abstractmethod
    def parse(self, conversation: Conversation, entries: Sequence[bytes | str]) -> Any:
        """A transcript as an answer. Raises AnswerError."""

    @abstractmethod
    def write(self, conversation: Conversation, truth: Truth) -> tuple[Symbol, ...]:
        """The answer that is true."""

    @abstractmethod
    def look(self, prefix: Prefix) -> Any:
        """What the head computes once a frame. prefix: as for_head() gives it."""

    @abstractmethod
    def segment(
        self, looked: Any, rows: Sequence[int], conversations: Sequence[Conversation], said: Sequence[Said]
    ) -> list[list[PhraseAnswer]]:
        """For each conversation, an answer to each of its labels. rows: which image each is about."""

    @abstractmethod
    def losses(
        self,
        looked: Any,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        truths: Sequence[Truth],
        said: Sequence[Said],
    ) -> dict[str, Tensor]:
        """The head's losses by name, weighted; the text's loss is the trainer's. said: teacher-forced."""

    def meant(self, conversation: Conversation, truth: Truth, said: Said) -> list[tuple[list[int], Tensor]]:
        """What its words are about, for a backbone that can be taught where to look: positions in question and answer,
        each with the mask (h, w) that the token after it is about, zeros for nothing. said: teacher-forced."""
        return []

    @property
    def dtype(self) -> torch.dtype:
        """The head's: backbones may run at half precision beside it."""
        return next(self.head.parameters()).dtype

    def for_head(self, prefix: Prefix) -> Prefix:
        """The prefix with maps and states in the head's precision; its cache stays as it is."""
        vision, dtype = prefix.vision, self.dtype
        maps = tuple(m.to(dtype) for m in vision.maps)
        preceding = prefix.preceding_bc
        return replace(
            prefix,
            vision=replace(vision, maps=maps, image_bchw=vision.image_bchw.to(dtype)),
            image_states_bchw=prefix.image_states_bchw.to(dtype),
            preceding_bc=None if preceding is None else preceding.to(dtype),
        )

    def question(self, text: str, labels: Sequence[str], grammar: Term, kind: str = "") -> Conversation:
        """A conversation in the backbone's template. text comes from outside: it yields no special token.

        Raises RequestError(INSTRUCTION_UNREADABLE) for text that the tokenizer cannot read: an answer to the question
        about an unknown token would say nothing about what was asked.
        """
        vocabulary = self.backbone.vocabulary
        ids, offsets = self.backbone.template.after_image(vocabulary, text)
        unread = next((text[a:b] for n, (a, b) in zip(ids, offsets, strict=True) if b and vocabulary.is_unknown(n)), "")
        if unread:
            raise _unreadable(unread)
        return Conversation(tuple(labels), text, ids, offsets, grammar, kind)

    def spelled(self, phrases: Sequence[str]) -> list[str]:
        """The phrases as the model can write them. Raises RequestError(INSTRUCTION_UNREADABLE) where it cannot."""
        labels = [self.backbone.vocabulary.spell(phrase) for phrase in phrases]
        unread = next((phrase for phrase, label in zip(phrases, labels, strict=True) if not label), "")
        if unread:
            raise _unreadable(unread)
        return labels

    @torch.no_grad()
    def answer(
        self,
        prefix: Prefix,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        constrained: bool = True,
    ) -> list[Said]:
        """Free-running answers, read strictly; what cannot be read is asked once more.

        constrained False: the first try may say anything. Raises AnswerError when the second cannot be read either.
        """
        said: list[Said | None] = [None] * len(conversations)
        for attempt in (0, 1):
            open_ = [n for n, s in enumerate(said) if s is None]
            if not open_:
                break
            free = attempt == 0 and not constrained
            answers = generate(
                self.backbone, prefix, [rows[n] for n in open_], [conversations[n].question for n in open_],
                [self._constraint(conversations[n], free) for n in open_],
                temperature=RETRY_TEMPERATURE * attempt, seed=attempt,
            )  # fmt: skip
            for n, answer in zip(open_, answers, strict=True):
                try:
                    said[n] = self._read(conversations[n], answer)
                except AnswerError:
                    if attempt:
                        raise
        return [s for s in said if s is not None]

    def _constraint(self, conversation: Conversation, free: bool = False) -> Constraint:
        grammar = Anything(tuple(self.backbone.vocabulary.special_ids)) if free else conversation.grammar
        return Constraint(grammar, self.allowed, self.budget(conversation))

    def _read(self, conversation: Conversation, answer: Generation) -> Said:
        parsed = self.parse(conversation, transcript(answer.ids, self.backbone.vocabulary))
        return Said(parsed, answer.ids, answer.states.to(self.dtype), answer.asked, answer.choices)


class WordListSystem(System, ABC):
    """A system that can be asked for every thing of some names, as panoptic and detection data are."""

    @abstractmethod
    def converse_about_words(self, names: Sequence[str], stuff: Sequence[bool] = ()) -> Conversation:
        """The question about these names. stuff: of each name, where stuff is asked for too."""


def _unreadable(text: str) -> RequestError:
    shown = text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."
    message = f"This model's language has no words for {shown!r}; say it in plain English words."
    return RequestError(ErrorCode.INSTRUCTION_UNREADABLE, message)


def binary_belief(choice: Choice | None, token: int) -> float:
    """The probability that anything but `token` was said where the model chose; 1 where it had no choice."""
    return 1.0 if choice is None else min(1.0, max(0.0, 1.0 - choice.probability(token)))
