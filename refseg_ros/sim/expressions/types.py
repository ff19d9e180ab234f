"""What is said of a scene: the expression, and the claim behind it before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass

Ids = frozenset[int]


@dataclass(frozen=True)
class Expression:
    """targets: object ids per phrase, empty where nothing fits; expect "AMBIGUOUS" where several fit a singular.

    phrases: what core.instruction.parse() reads in the text, without its negated phrases; those are in excluded, and
    what they name is taken out of the targets already.
    """

    text: str
    type: str
    phrases: tuple[str, ...]
    targets: tuple[Ids, ...]
    expect: str | None = None
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Something true of a scene: its type, the form of words it takes (a key of wording.FORMS), what fills the form's
    slots, and the objects meant by each of its phrases."""

    type: str
    form: str
    slots: dict[str, str]
    targets: tuple[Ids, ...]
    expect: str | None = None
