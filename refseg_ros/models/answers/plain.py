"""Answers that hold no mask: whether each of some things is there, and a caption on its own.

    the milk:yes,the screwdriver:no

They teach a language model to see before a head is put on it. Each thing is named again before it is judged, as where
masks are asked for: yes or no then stands beside what it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from refseg_ros.models.answers.caption import NOT_IN_CAPTIONS
from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import Symbol, Term, Text, chain, either, literal, spelled

YES, NO = "yes", "no"


def presence(labels: Sequence[str]) -> Term:
    """Yes or no of each of the labels, in their order."""
    answer = either(literal(YES), literal(NO))
    return chain(*(part for n, label in enumerate(labels) for part in (literal(_named(n, label)), answer)))


def presence_text(labels: Sequence[str], there: Sequence[bool]) -> str:
    """The answer that says of which labels something is there."""
    return "".join(
        _named(n, label) + (YES if fits else NO) for n, (label, fits) in enumerate(zip(labels, there, strict=True))
    )


def label_ends(labels: Sequence[str], tokens: Sequence[bytes]) -> list[int]:
    """The tokens of an answer about presence in which its labels end, without their colons."""
    text, after = b"".join(tokens), list(accumulate(map(len, tokens)))
    ends, at = [], 0
    for n, label in enumerate(labels):
        named = _named(n, label).encode()
        at = text.index(named, at) + len(named)
        ends.append(next(k for k, high in enumerate(after) if high >= at - 1))
    return ends


def _named(number: int, label: str) -> str:
    return ("," if number else "") + label + ":"


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
