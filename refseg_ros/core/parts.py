"""A sentence cut into parts at commas and conjunctions; compounds stay whole."""

from __future__ import annotations

from dataclasses import dataclass

from refseg_ros.core import lexicon as lex
from refseg_ros.core.corrections import ADDING, JOINT, correction_at, refusal, takes_back
from refseg_ros.core.word_tables import longest


@dataclass
class Part:
    """A stretch of words between two joints. joint: the word before it ("" at a sentence's start)."""

    joint: str
    words: list[str]
    negated: bool = False
    place_negated: bool = False  # "everything but the bowl in the basket" refuses the bowl, not the basket
    verb: str = ""  # the verb in force, lower case
    own_verb: bool = False
    whole: bool = False  # nothing was taken from its start

    @property
    def low(self) -> list[str]:
        return [w.lower() for w in self.words]


def split(words: list[str]) -> list[Part]:
    """Cut a sentence at commas and conjunctions; compounds stay whole, and "except", "not the ..." begin a part."""
    low, parts, i = [w.lower() for w in words], [Part("", [])], 0
    while i < len(words):
        joint, n = "", 0
        if n := correction_at(low, i):
            joint = JOINT if any(p.words for p in parts) else ""
            joint = "," if low[i + n : i + n + 1] and low[i + n] in ADDING else joint
            if joint and i + n == len(low) and takes_back(low[i:]):
                raise refusal()
        elif low[i] == ",":
            joint, n = ",", 1
        elif only := longest(low, i, lex.ONLY):  # "nothing but the mug" asks for the mug
            i += only
            continue
        elif n := longest(low, i, lex.EXCEPT):
            joint = "except"
        elif n := longest(low, i, lex.CONJUNCTIONS):
            joint, n = ("", 0) if joins_nothing(low, i) else (" ".join(low[i : i + n]), n)
        elif low[i] == "not" and 0 < i < len(low) - 1 and low[i - 1] not in lex.COPULAS:
            joint, n = ("not", 1) if low[i + 1] in lex.DETERMINERS else ("", 0)
        if not n:
            parts[-1].words.append(words[i])
            i += 1
            continue
        if parts[-1].words:
            parts.append(Part(joint, []))
        elif joint and (joint != "," or not parts[-1].joint):  # ", and": the later joint tells more
            parts[-1].joint = joint
        i += n
    return [p for p in parts if p.words]


def joins_nothing(low: list[str], i: int) -> bool:
    """Whether the word at i is an "and" or "or" that joins no two things."""
    pair = (low[i - 1], low[i + 1]) if 0 < i < len(low) - 1 else ()
    if low[i] == "or":
        return bool(pair) and all(w in lex.NUMBERS or w.isdigit() for w in pair)  # "two or three mugs"
    named = pair in lex.COMPOUNDS or (pair in lex.PAIRED and _noun_at(low, i + 2))
    return low[i] in ("and", "&") and (named or _two_colours(low, i) or _sets_off(low, i))


def _noun_at(low: list[str], k: int) -> bool:
    """Whether the word at k goes on with the noun before it: "salt and pepper shaker"."""
    if k >= len(low) or low[k] in lex.CONTINUERS | lex.PARTICLES | lex.PRONOUNS | lex.DETERMINERS | {",", "for"}:
        return False
    tables = (lex.CONJUNCTIONS, lex.CLOSERS, lex.PLACES, lex.SOURCES, lex.GOALS, lex.CORRECTIONS, lex.SOFT_CORRECTIONS)
    return not any(longest(low, k, table) for table in tables)


def _two_colours(low: list[str], i: int) -> bool:
    """Whether the "and" at i joins two colours of one thing: "left of the red and white mug"."""
    colours = lex.COLOURS | lex.NOUN_COLOURS
    after = low[i + 2] if i + 2 < len(low) else ","
    goes_on = after != "," and not longest(low, i + 2, lex.CONJUNCTIONS) and after not in lex.CONTINUERS
    return i > 0 and low[i - 1] in colours and i + 1 < len(low) and low[i + 1] in colours and goes_on


def _sets_off(low: list[str], i: int) -> bool:
    """Whether the "and" at i belongs to an opener: "go and get", "be so kind and bring"."""
    return any(longest(low, i + 1 - n, lex.OPENERS) == n for n in range(2, min(5, i + 1) + 1))
