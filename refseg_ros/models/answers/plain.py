"""Answers that hold no mask: whether each of some things is there ("yes no"), or where ("[95,210,340,455],no"), and a
caption on its own.

They teach a language model to see before a head is put on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from refseg_ros.models.answers import boxes
from refseg_ros.models.answers.boxes import SCALE
from refseg_ros.models.answers.caption import NOT_IN_CAPTIONS
from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import END, Integer, Symbol, Term, Text, chain, either, literal, spelled

YES, NO, AND, THEN = "yes", "no", " ", ","


def presence(count: int) -> Term:
    """Yes or no of each of `count` phrases, in their order."""
    answers: list[Term] = []
    for n in range(count):
        answers += [literal(AND)] * (n > 0) + [either(literal(YES), literal(NO))]
    return chain(*answers)


def places(count: int) -> Term:
    """A box in thousandths or no for each of `count` phrases, in their order."""
    rest: Term = END
    for n in reversed(range(count)):
        before = literal(THEN) if n else END
        no = chain(literal(NO), rest)
        rest = chain(before, either(no, chain(literal("["), Integer(0, SCALE - 1, partial(boxes.after_x0, rest)))))
    return rest


def place(box: tuple[int, int, int, int] | None) -> str:
    """One entry of such an answer."""
    return NO if box is None else f"[{','.join(str(v) for v in box)}]"


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
