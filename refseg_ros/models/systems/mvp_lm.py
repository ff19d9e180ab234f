"""MVP-LM: a caption, then <PER>; its state and the phrases' own states become queries (Xiang et al., 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from refseg_ros.models.answers import caption
from refseg_ros.models.answers.caption import Caption
from refseg_ros.models.answers.grammar import Symbol
from refseg_ros.models.backbones.base import Backbone, Prefix
from refseg_ros.models.heads.mvp_lm import (
    Instruction,
    LossWeights,
    MVPLMConfig,
    MVPLMHead,
    MVPLMOutput,
    Target,
    Task,
    average_spans,
    losses,
    target_of,
)
from refseg_ros.models.heads.mvp_lm.encoded import EncodedImages
from refseg_ros.models.heads.mvp_lm.perception import refer_scores
from refseg_ros.models.heads.mvp_lm.prompts import members, sentence_prompt, word_prompt
from refseg_ros.models.systems.system import Conversation, PhraseAnswer, Said, Truth, WordListSystem

MOST_CAPTION_TOKENS = 60
UNTOLD = "a picture"  # the caption that is taught where a picture has none: an empty one is not of the answer's form
SHOWN_SCORE, MOST_SHOWN = 0.05, 20


class MvpLm(WordListSystem):
    """with_caption False: <PER> at once (an ablation)."""

    tasks = ("sentences", "words", "panoptic")

    def __init__(
        self,
        backbone: Backbone,
        config: MVPLMConfig,
        *,
        with_caption: bool = True,
        weights: LossWeights | None = None,
    ) -> None:
        self.with_caption, self.weights = with_caption, weights
        closing = caption.closing(backbone.vocabulary.spell, with_caption)
        self.closing = closing
        super().__init__(backbone, MVPLMHead(config))
        self.config = config

    def converse(self, phrases: Sequence[str]) -> Conversation:
        (phrase,) = phrases
        grammar = caption.grammar(self.closing, self.with_caption)
        return self.question(sentence_prompt(phrase).text, self.spelled(phrases), grammar, Task.SENTENCE.value)

    def converse_about_words(self, names: Sequence[str], stuff: Sequence[bool] = ()) -> Conversation:
        """A word list. stuff: of each name, where stuff is asked for too, by queries of its own."""
        task = Task.PANOPTIC if stuff else Task.WORDS
        if stuff and len(stuff) != len(names):
            raise ValueError(f"{len(names)} names need as many flags for stuff, not {len(stuff)}")
        grammar = caption.grammar(self.closing, self.with_caption)
        asked = self.question(word_prompt(names).text, names, grammar, task.value)
        return replace(asked, stuff=tuple(stuff))

    def budget(self, conversation: Conversation) -> int:
        return MOST_CAPTION_TOKENS + len(self.closing.encode()) + 4

    def parse(self, conversation: Conversation, entries: Sequence[bytes | str]) -> Caption:
        return caption.parse(entries, self.closing)

    def write(self, conversation: Conversation, truth: Truth) -> tuple[Symbol, ...]:
        said = self.backbone.vocabulary.spell(truth.caption).rstrip(" .") or UNTOLD
        return caption.write(said if self.with_caption else "", self.closing)

    def look(self, prefix: Prefix) -> EncodedImages:
        finest = prefix.vision.maps[0]
        grid = (finest.shape[2], finest.shape[3])
        inside = torch.stack([g.inside(grid) for g in prefix.vision.geometries]).to(finest.device)
        return self.head.encode(prefix.vision.maps, inside)  # type: ignore[operator]

    def segment(
        self, looked: EncodedImages, rows: Sequence[int], conversations: Sequence[Conversation], said: Sequence[Said]
    ) -> list[list[PhraseAnswer]]:
        output = self.perceive(looked, rows, conversations, said)
        scores = refer_scores(output)
        return [[self._referred(output, n, scores[n])] for n in range(len(conversations))]

    def _referred(self, output: MVPLMOutput, row: int, score_q: Tensor) -> PhraseAnswer:
        best = score_q.topk(min(MOST_SHOWN, len(score_q)))
        kept = best.indices[(best.values >= SHOWN_SCORE)]
        logits = output.answer.mask_logits(row, kept)
        return PhraseAnswer(float(best.values[0]), logits, tuple(score_q[kept].tolist()))

    def perceive(
        self,
        looked: EncodedImages,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        said: Sequence[Said],
        targets: Sequence[Target] | None = None,
    ) -> MVPLMOutput:
        """The head's output for conversations of one kind. Raises ValueError when they are of several."""
        kinds = {c.kind for c in conversations}
        if len(kinds) != 1:
            raise ValueError(f"one kind of question at a time, not {', '.join(sorted(kinds))}")
        device = looked.mask_features_vdhw.device
        instruction = _instruction(conversations, said)
        images = torch.tensor(rows, dtype=torch.long, device=device)
        return self.head.decode(looked, instruction, Task(kinds.pop()), images, targets)  # type: ignore[operator]

    def losses(
        self,
        looked: EncodedImages,
        rows: Sequence[int],
        conversations: Sequence[Conversation],
        truths: Sequence[Truth],
        said: Sequence[Said],
    ) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        kinds = [c.kind for c in conversations]
        for kind in sorted(set(kinds)):
            own = [n for n, k in enumerate(kinds) if k == kind]
            targets = [_target(truths[n]) for n in own]
            output = self.perceive(
                looked, [rows[n] for n in own], [conversations[n] for n in own], [said[n] for n in own], targets
            )
            part = losses(output, targets, self.config.mask_points, self.weights)
            for name, value in part.items():
                total[name] = total.get(name, 0) + value * len(own) / len(kinds)
        return total


def _instruction(conversations: Sequence[Conversation], said: Sequence[Said]) -> Instruction:
    phrases = []
    for conversation, answer in zip(conversations, said, strict=True):
        sentence = conversation.kind == Task.SENTENCE.value
        prompt = word_prompt(conversation.labels) if not sentence else None
        spans = prompt.spans if prompt else _sentence_span(conversation)
        member = torch.tensor(members(spans, conversation.offsets), device=answer.states.device)
        phrases.append(average_spans(answer.states[None, : answer.asked], member[None])[0])
    most = max(len(p) for p in phrases)
    there = torch.tensor([[k < len(p) for k in range(most)] for p in phrases], device=phrases[0].device)
    padded = torch.stack([torch.nn.functional.pad(p, (0, 0, 0, most - len(p))) for p in phrases])
    stuff = None
    if any(any(c.stuff) for c in conversations):
        flags = [[*c.stuff, *[False] * (most - len(c.stuff))] for c in conversations]
        stuff = torch.tensor(flags, device=there.device)
    return Instruction(padded, there, torch.stack([s.own(s.parsed.at) for s in said]), stuff)


def _sentence_span(conversation: Conversation) -> tuple[tuple[int, int], ...]:
    start = len(sentence_prompt("x").text) - 1
    return ((start, len(conversation.text)),)


def _target(truth: Truth) -> Target:
    """All targets of all labels; masks of which less than a cell is seen are left out."""
    labels = [k for k, masks in enumerate(truth.masks) for m in masks if (m > 0.5).any()]
    masks = [m for masks in truth.masks for m in masks if (m > 0.5).any()]
    stacked = torch.stack(masks) if masks else truth.masks[0][:0]
    stuff = [truth.stuff[k] for k in labels] if truth.stuff else None
    target = target_of(stacked.cpu(), labels, stuff)
    device = stacked.device
    moved = [t.to(device) for t in (target.labels_n, target.boxes_n4, target.stuff_n)]
    return Target(moved[0], moved[1], stacked.to(device), moved[2])
