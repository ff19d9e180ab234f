"""Where a verb, or a courtesy before it, begins a part: "flip the mug", "could you hand me the mug"."""

from __future__ import annotations

from refseg_ros.core import lexicon as lex
from refseg_ros.core.number import bound_at
from refseg_ros.core.word_tables import longest

_NO_VERBS = frozenset().union(
    lex.NO_VERBS, lex.CONTINUERS, lex.ADJECTIVES, lex.NUMBERS, lex.PLURAL_WORDS, lex.DETERMINERS, lex.PRONOUNS,
    lex.PARTICLES, lex.COPULAS, (entry[0] for entry in lex.PLACES | lex.SOURCES),
)  # fmt: skip
# Before these, or before what ends so, a "that" is no determiner: "the mug that you see", "mug that stands there".
_NO_NOUNS = lex.CONTINUERS | lex.COPULAS | lex.PRONOUNS | lex.PARTICLES | {"we", "can", "could"}


def verb_at(low: list[str], i: int) -> int:
    """How many words of a verb of the lexicon stand at i; 0 when they may be a noun or an adjective."""
    if n := longest(low, i, lex.VERBS):
        return n - 1 if n > 1 and bound_at(low, i + n - 1) else n  # "pick up to three cups"
    n = longest(low, i, lex.MAYBE_VERBS)
    follows = low[i + n] if n and i + n < len(low) else ""
    return n if follows in lex.DETERMINERS or follows.isdigit() else 0


def unknown_verb_at(low: list[str], i: int) -> int:
    """1 where a word that the lexicon lacks can only be a verb, for what stands after it; 0 elsewhere."""
    word = low[i]
    if not (word.isascii() and word.isalpha()) or word in _NO_VERBS or word.endswith("ing"):
        return 0
    if word.endswith("s") and not word.endswith("ss"):
        return 0  # "the man that wears a hat and holds the phone"
    rest = low[i + 2 : i + 5] if low[i + 1 : i + 2] in (["me"], ["us"]) else low[i + 1 : i + 4]
    if not rest or rest[0] not in lex.OBJECTS:
        return 0
    noun = rest[1] if len(rest) == 2 else ""
    if rest[0] != "that":
        return 1
    return int(bool(noun) and noun not in _NO_NOUNS and not noun.endswith(("s", "ed", "ing")))


def opener_at(low: list[str], i: int, then: list[str]) -> int:
    """How many words of an opener stand at i. then: the words of the part that follows."""
    n = longest(low, i, lex.OPENERS, 8)
    if n != 1:
        return n
    if low[i] == "robot":
        return int(i + 1 == len(low) or low[i + 1] in lex.DETERMINERS or _addressed(low, i + 1))  # no "robot vacuum"
    if low[i] == "if":
        return int(low[i + 1 : i + 2] != [] and low[i + 1] in lex.OBJECTS)
    if low[i] in ("first", "go"):
        rest = low[i + 1 :] or then
        return int(bool(rest) and (rest[0] in lex.OBJECTS or _addressed(rest, 0)))  # no "first mug from the left"
    return 1


def asks(low: list[str]) -> bool:
    """Whether a sentence asks something of a thing: "is the mug on the table?"."""
    return low[0] in ("is", "are") and len(low) > 2 and low[1] in lex.OBJECTS and low[1] not in ("this", "that")


def _addressed(low: list[str], i: int) -> bool:
    """Whether what stands at i is said to somebody who is to do something."""
    return bool(verb_at(low, i) or unknown_verb_at(low, i) or longest(low, i, lex.OPENERS | lex.NEGATIONS))
