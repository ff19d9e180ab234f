"""One or more [SEG], or [REJ], for each phrase, as GSVA answers (arXiv 2312.10103). MLLMSeg uses it with one [SEG].

    the milk:[SEG],the screwdriver:[REJ].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refseg_ros.models.answers.errors import AnswerError, Fault, decoded
from refseg_ros.models.answers.grammar import Symbol, Term, chain, either, literal, repeated, spelled

SEG, REJ = SPECIALS = ("[SEG]", "[REJ]")


@dataclass(frozen=True)
class PhraseSlots:
    """segments: positions of the phrase's [SEG], none when it was rejected; first: of its first [SEG] or [REJ]."""

    segments: tuple[int, ...]
    first: int

    @property
    def rejected(self) -> bool:
        return not self.segments


def grammar(labels: Sequence[str], most: int = 8, may_reject: bool = True) -> Term:
    """Every phrase in order, with up to `most` [SEG] each. may_reject False: [SEG] whatever is asked (as LISA)."""
    segments = repeated(literal((SEG,)), chain(), most)
    slot = either(segments, literal((REJ,))) if may_reject else segments
    parts: list[Term] = []
    for number, label in enumerate(labels):
        parts += [literal(("," if number else "") + label + ":"), slot]
    return chain(*parts, literal("."))


def write(segments: Sequence[int], labels: Sequence[str]) -> tuple[Symbol, ...]:
    """The answer with so many [SEG] per phrase; 0 is [REJ]."""
    parts: list[str | tuple[str]] = []
    for number, (count, label) in enumerate(zip(segments, labels, strict=True)):
        parts.append(("," if number else "") + label + ":")
        parts += [(SEG,)] * count or [(REJ,)]
    return spelled(*parts, ".")


def parse(entries: Sequence[bytes | str], labels: Sequence[str], most: int = 8) -> tuple[PhraseSlots, ...]:
    """A transcript as slots, one a phrase. Raises AnswerError(MALFORMED), or FOREIGN for words that were not asked."""
    at, slots = 0, []
    for number, label in enumerate([*labels, ""]):
        words = bytearray()
        while at < len(entries) and isinstance(entries[at], bytes):
            words += entries[at]  # type: ignore[arg-type]
            at += 1
        said, wanted = decoded(bytes(words)), (("," if number else "") + label + ":" if label else ".")
        if said != wanted:
            fault = Fault.FOREIGN if label and said.endswith(":") else Fault.MALFORMED
            raise AnswerError(fault, f"it says {said[:60]!r} in place of {wanted[:60]!r}")
        if not label:
            break
        slots.append(_slot(entries, at, most))
        at += max(1, len(slots[-1].segments))
    if at != len(entries):
        raise AnswerError(Fault.MALFORMED, "it goes on after its end")
    return tuple(slots)


def _slot(entries: Sequence[bytes | str], at: int, most: int) -> PhraseSlots:
    end = at
    while end < len(entries) and isinstance(entries[end], str):
        end += 1
    named = list(entries[at:end])
    if named == [REJ]:
        return PhraseSlots((), at)
    if not named or len(named) > most or set(named) != {SEG}:
        raise AnswerError(Fault.MALFORMED, f"a phrase has {named[:4]} in place of [REJ] or up to {most} [SEG]")
    return PhraseSlots(tuple(range(at, end)), at)
