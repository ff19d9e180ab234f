"""A caption, then the summary token, as MVP-LM answers: "<caption>. The perception result is <PER>"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import Symbol, Term, Text, chain, literal, spelled

(PER,) = SPECIALS = ("<PER>",)
CLOSING = "The perception result is"
NOT_IN_CAPTIONS = frozenset({*range(32), *range(127, 256)})
"""Bytes that constrained decoding leaves out: all but printable ASCII."""


@dataclass(frozen=True)
class Caption:
    """text: what the model says it sees; at: position of <PER>."""

    text: str
    at: int


def closing(spell: Callable[[str], str], with_caption: bool = True) -> str:
    """The sentence before <PER> as the model's tokenizer spells it, with the caption's full stop before it."""
    return spell(f". {CLOSING}" if with_caption else CLOSING)


def grammar(closing_text: str, with_caption: bool = True) -> Term:
    """closing_text: from closing(). with_caption False: the summary alone (the ablation)."""
    caption = (Text(NOT_IN_CAPTIONS, least=1),) if with_caption else ()
    return chain(*caption, literal(closing_text, (PER,)))


def write(caption: str, closing_text: str) -> tuple[Symbol, ...]:
    """The answer with this caption, as spell() gives it, without its full stop; "" for none."""
    return spelled(caption + closing_text, (PER,))


def parse(entries: Sequence[bytes | str], closing_text: str) -> Caption:
    """A transcript as a caption. Raises AnswerError(MALFORMED)."""
    if not entries or entries[-1] != PER or any(isinstance(e, str) for e in entries[:-1]):
        raise AnswerError(Fault.MALFORMED, "it does not end with one summary token")
    text = decoded(b"".join(e for e in entries if isinstance(e, bytes)))
    if not text.endswith(closing_text):
        raise AnswerError(Fault.MALFORMED, "it does not say that its result follows")
    return Caption(text[: -len(closing_text)], len(entries) - 1)
