"""What is said of a scene: the expression, and the claim behind it before it is put into words."""

from __future__ import annotations

from dataclasses import dataclass, field

Ids = frozenset[int]


@dataclass(frozen=True)
class Mentions:
    """What the words of one phrase name on the way to what they mean, as object ids: of "the mug left of the bowl" all
    mugs are named and the bowl is an anchor. arguable: ids that someone could call what is named."""

    named: Ids
    anchors: Ids = frozenset()
    arguable: Ids = frozenset()


@dataclass(frozen=True)
class Expression:
    """targets: object ids per phrase, empty where nothing fits; expect "AMBIGUOUS" where several fit a singular.

    phrases: what core.instruction.parse() reads in the text, without its negated phrases; those are in excluded, and
    what they name is taken out of the targets already. mentions: of a single phrase whose words' parts are known.
    """

    text: str
    type: str
    phrases: tuple[str, ...]
    targets: tuple[Ids, ...]
    expect: str | None = None
    excluded: tuple[str, ...] = ()
    mentions: Mentions | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Claim:
    """Something true of a scene: its type, the form of words it takes (a key of wording.FORMS), what fills the form's
    slots, and the objects meant by each of its phrases."""

    type: str
    form: str
    slots: dict[str, str]
    targets: tuple[Ids, ...]
    expect: str | None = None
