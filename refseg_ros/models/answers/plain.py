"""Answers that hold no mask: whether something is there ("yes", "no"), and a caption on its own.

They teach a language model to see before a head is put on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from refseg_ros.models.answers.caption import NOT_IN_CAPTIONS
from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import Symbol, Term, Text, either, literal, spelled

YES, NO = "yes", "no"


def presence() -> Term:
    """Yes or no."""
    return either(literal(YES), literal(NO))


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
