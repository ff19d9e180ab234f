"""Answers that hold no mask: whether each of some things is there ("yes no"), and a caption on its own.

They teach a language model to see before a head is put on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from refseg_ros.models.answers.caption import NOT_IN_CAPTIONS
from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import Symbol, Term, Text, chain, either, literal, spelled

YES, NO, AND = "yes", "no", " "


def presence(count: int) -> Term:
    """Yes or no of each of `count` phrases, in their order."""
    answer = either(literal(YES), literal(NO))
    return chain(*([answer] + [literal(AND), answer] * (count - 1)))


def caption() -> Term:
    """Any printable ASCII text."""
    return Text(NOT_IN_CAPTIONS, least=1)


def write(text: str) -> tuple[Symbol, ...]:
    """The answer that says this, as spell() gives it."""
    return spelled(text)


def parse(entries: Sequence[bytes | str]) -> str:
    """A transcript as plain text. Raises AnswerError(FOREIGN) for one with special tokens."""
    if any(isinstance(e, str) for e in entries):
        raise AnswerError(Fault.FOREIGN, "it holds special tokens")
    return decoded(b"".join(e for e in entries if isinstance(e, bytes)))
