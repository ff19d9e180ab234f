"""Free-running decoding under a constraint, several texts at once, keeping the states that heads need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from refseg_ros.models.answers.constraint import FREE_TEXT, Constraint
from refseg_ros.models.backbones.base import Backbone, Prefix, Reading


@dataclass(frozen=True, eq=False)
class Choice:
    """What the model could have said at one place: ids (a,) and their log probabilities (a,), which sum to one."""

    ids: Tensor
    log_probs: Tensor

    def probability(self, token: int) -> float:
        """0 for a token that was not allowed."""
        return float(self.log_probs[self.ids == token].exp().sum())


@dataclass(eq=False)
class Generation:
    """One answer. states (asked + read, c): at each token of the question, then of the answer as far as it was read.

    choices: by position in ids, where the model chose among few tokens.
    """

    ids: list[int]
    states: Tensor
    asked: int
    choices: dict[int, Choice] = field(default_factory=dict)

    def predicting(self, at: int) -> Tensor:
        """The state (c,) from which token `at` was predicted, as GSVA takes it."""
        return self.states[self.asked + at - 1]

    def own(self, at: int) -> Tensor:
        """The state (c,) of token `at` itself."""
        return self.states[self.asked + at]


@torch.no_grad()
def generate(
    backbone: Backbone,
    prefix: Prefix,
    rows: Sequence[int],
    questions: Sequence[Sequence[int]],
    constraints: Sequence[Constraint],
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Generation]:
    """An answer to each question about its image. rows: which image of the prefix; questions: as Template.after_ids()
    gives them; temperature 0: the likeliest token.

    Every answer ends, since each constraint has a budget. States of special tokens are always read, the end token's
    never.
    """
    device = prefix.image_states_bchw.device
    reading = backbone.begin(prefix, torch.tensor(rows, dtype=torch.long, device=device))
    rng = torch.Generator().manual_seed(seed)
    answers = [Generation([], torch.empty(0), len(q)) for q in questions]
    states: list[list[Tensor]] = [[] for _ in questions]
    pending = [list(q) for q in questions]
    for number, constraint in enumerate(constraints):
        _append(answers[number], pending[number], constraint.forced())
    while any(pending):
        out = _read(backbone, reading, pending, device)
        for number, constraint in enumerate(constraints):
            read = len(pending[number])
            if not read:
                continue
            states[number].append(out[number, :read])
            pending[number] = []
            if constraint.finished:
                continue
            answer = answers[number]
            allowed = constraint.allowed()
            logits = backbone.logits(states[number][-1][-1], allowed.to(device)).float().log_softmax(-1).cpu()
            if len(allowed) <= FREE_TEXT:
                answer.choices[len(answer.ids)] = Choice(allowed, logits)
            token = int(allowed[_pick(logits, temperature, rng)])
            constraint.advance(token)
            _append(answer, pending[number], [token])
            _append(answer, pending[number], constraint.forced())
            if constraint.finished:
                pending[number] = _up_to_special(pending[number], backbone)
    for answer, rows_of_states in zip(answers, states, strict=True):
        answer.states = torch.cat(rows_of_states)
    return answers


def _append(answer: Generation, pending: list[int], ids: list[int]) -> None:
    answer.ids.extend(ids)
    pending.extend(ids)


def _read(backbone: Backbone, reading: Reading, pending: list[list[int]], device: torch.device) -> Tensor:
    most = max(len(ids) for ids in pending)
    ids = torch.tensor([row + [backbone.vocabulary.eos_id] * (most - len(row)) for row in pending], device=device)
    valid = torch.tensor([[t < len(row) for t in range(most)] for row in pending], device=device)
    return backbone.extend(reading, ids, valid)


def _pick(log_probs: Tensor, temperature: float, rng: torch.Generator) -> int:
    if temperature <= 0:
        return int(log_probs.argmax())
    return int(torch.multinomial((log_probs / temperature).softmax(-1), 1, generator=rng))


def _up_to_special(ids: list[int], backbone: Backbone) -> list[int]:
    """The tokens that must still be read for the states of special tokens among them."""
    special = set(backbone.vocabulary.special_ids.values())
    while ids and ids[-1] not in special:
        ids = ids[:-1]
    return ids
