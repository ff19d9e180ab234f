"""Decoding that cannot break an answer's form: which tokens may come next, and which must.

Tokens that must come whatever the model says ("forced") are not asked of the model: they are read in one pass with
what comes before them, so that an answer costs one decoding step for each of its choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from refseg_ros.models.answers.grammar import NOTHING, Symbol, Term, forced
from refseg_ros.models.answers.vocabulary import Vocabulary

FREE_TEXT = 512
"""With more tokens to choose from than this the answer is in free text, where no token makes its end longer."""


class AllowedTokens:
    """Keeps what Vocabulary.allowed() gives, by term: grammars share most of theirs from one answer to the next."""

    def __init__(self, vocabulary: Vocabulary, most: int = 4096) -> None:
        self.vocabulary = vocabulary
        self._kept: dict[tuple[Term, bool], Tensor] = {}
        self._most = most

    def __call__(self, term: Term, after_word: bool) -> Tensor:
        """Ids (A,) that may come next, the end of the answer among them where it may end."""
        key = (term, after_word)
        if key not in self._kept:
            if len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept)))
            ids = self.vocabulary.allowed(term, after_word)
            self._kept[key] = torch.tensor(ids + [self.vocabulary.eos_id] * term.nullable, dtype=torch.long)
        return self._kept[key]


@dataclass(frozen=True, eq=False)
class Written:
    """An answer's tokens. choices: at each place where the model has a say, the ids (a,) it chooses among."""

    ids: list[int]
    choices: dict[int, Tensor]


class Constraint:
    """Where one answer stands. budget: tokens it may have in all; when it runs out the answer takes its shortest end.

    Raises ValueError for a budget in which not even the shortest answer fits.
    """

    def __init__(self, grammar: Term, allowed: AllowedTokens, budget: int) -> None:
        self.vocabulary = allowed.vocabulary
        self.finished = False
        self.left = budget
        self._term, self._after_word, self._allowed = grammar, False, allowed
        least = len(self._munch(grammar.shortest()))
        if budget <= least:
            raise ValueError(f"a budget of {budget} tokens is too small: the shortest answer has {least} and an end")

    def forced(self) -> list[int]:
        """The tokens that must come next; the constraint has moved past them. The end of the answer is one of them.

        Stops before a token that what the model may say next could make a longer one.
        """
        ids: list[int] = []
        run, rest = forced(self._term)
        while run:
            if self.vocabulary.extends(run, rest, self._after_word):
                break
            token, length = self.vocabulary.longest(run, self._after_word)
            for symbol in run[:length]:
                self._term = self._term.step(symbol)
            run, self._after_word = run[length:], self.vocabulary.is_word(token)
            ids.append(token)
        if not run and rest.nullable and not rest.first() and not self.finished:
            self.finished = True
            ids.append(self.vocabulary.eos_id)
        self.left -= len(ids)
        return ids

    def allowed(self) -> Tensor:
        """Ids (A,) of the tokens that may come next."""
        closing = self._term.shortest()
        path = self._munch(closing)
        if self.left <= len(path) + 1:
            return torch.tensor(path[:1] or [self.vocabulary.eos_id])
        ids = self._allowed(self._term, self._after_word)
        if len(ids) > FREE_TEXT:
            return ids
        # A token may open what takes many more to close: it is only allowed if the budget lasts for that.
        fitting = [i for i in ids.tolist() if i == self.vocabulary.eos_id or self._closes_behind(i)]
        return torch.tensor(fitting or path[:1])

    def _closes_behind(self, token: int) -> bool:
        rest = self._after(token)
        return rest is not NOTHING and len(rest.shortest()) + 2 <= self.left

    def advance(self, token: int) -> None:
        """The model chose this token. Raises ValueError for one that is not allowed."""
        if token == self.vocabulary.eos_id and self._term.nullable:
            self.finished, self.left = True, self.left - 1
            return
        rest = self._after(token)
        if rest is NOTHING:
            raise ValueError(f"token {token} may not stand here")
        self._term, self._after_word, self.left = rest, self.vocabulary.is_word(token), self.left - 1

    def _after(self, token: int) -> Term:
        symbols = self.vocabulary.symbols_of(token, self._after_word)
        term = self._term if symbols else NOTHING
        for symbol in symbols:
            term = term.step(symbol)
        return term

    def _munch(self, symbols: Sequence[Symbol]) -> list[int]:
        ids, after_word, rest = [], self._after_word, list(symbols)
        while rest:
            token, length = self.vocabulary.longest(rest[:64], after_word)
            ids.append(token)
            rest, after_word = rest[length:], self.vocabulary.is_word(token)
        return ids

    def encode(self, answer: Sequence[Symbol]) -> Written:
        """A known answer as the tokens that decoding would give for it. Ends with the end token.

        Raises ValueError when the grammar does not accept the answer.
        """
        ids: list[int] = []
        choices: dict[int, Tensor] = {}
        rest = tuple(answer)
        while not self.finished:
            run = self.forced()
            spelled = self._spelled(ids, run)
            if spelled != rest[: len(spelled)]:
                raise ValueError(f"the grammar does not accept this answer near {rest[:8]!r}")
            ids, rest = ids + run, rest[len(spelled) :]
            if self.finished:
                break
            token, length = self.vocabulary.eos_id, 0
            if rest:
                token, length = self.vocabulary.longest(rest[:64], self._after_word)
            choices[len(ids)] = self._allowed(self._term, self._after_word)
            self.advance(token)
            ids, rest = [*ids, token], rest[length:]
        if rest:
            raise ValueError(f"the grammar ends before {rest[:8]!r}")
        return Written(ids, choices)

    def _spelled(self, before: list[int], run: list[int]) -> tuple[Symbol, ...]:
        words = [i for i in run if i != self.vocabulary.eos_id]
        spelled = self.vocabulary.symbols(before[-1:] + words)[len(before[-1:]) :]
        return tuple(s for item in spelled for s in ((item,) if isinstance(item, str) else item))


class ConstraintProcessor:
    """The same rule for transformers' own generate(): a logits processor over batches of one grammar.

    prompt_length: tokens before the answer, the same in every row.
    """

    def __init__(self, grammar: Term, allowed: AllowedTokens, budget: int, prompt_length: int) -> None:
        self._new = lambda: Constraint(grammar, allowed, budget)
        self._prompt_length = prompt_length

    def __call__(self, input_ids: Any, scores: Tensor) -> Tensor:
        """scores (B, V) with everything that may not come next at minus infinity."""
        barred = torch.full_like(scores, float("-inf"))
        for row, ids in enumerate(input_ids[:, self._prompt_length :].tolist()):
            allowed = self._next(ids).to(scores.device)
            barred[row, allowed] = scores[row, allowed]
        return barred

    def _next(self, ids: list[int]) -> Tensor:
        constraint, rest = self._new(), list(ids)
        while True:
            run = constraint.forced()
            if len(run) > len(rest):
                return torch.tensor([run[len(rest)]])
            rest = rest[len(run) :]
            if constraint.finished:
                return torch.tensor([constraint.vocabulary.eos_id])
            if not rest:
                return constraint.allowed()
            constraint.advance(rest.pop(0))
