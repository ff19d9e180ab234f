"""How many things a phrase asks for."""

from __future__ import annotations

from enum import Enum

from refseg_ros.core import lexicon as lex
from refseg_ros.core.word_tables import longest


class Number(Enum):
    """How many things a phrase asks for."""

    SINGULAR = "singular"
    PLURAL = "plural"
    COUNT = "count"


def number_of(low: list[str]) -> tuple[Number, int | None]:
    """How many the phrase asks for, from its determiners, or else from its head noun's ending."""
    if bound_at(low, 0):
        return Number.PLURAL, None
    described = next((k for k, w in enumerate(low) if w not in lex.BEFORE_NUMBERS), 0)
    counted = described if low[described] in lex.NUMBERS or low[described].isdigit() else 0
    words = low[counted or int(low[0] in lex.BEFORE_NOUNS and len(low) > 1) :]
    first = words[0]
    if words[1:2] == ["or"] and words[2:3] and (words[2] in lex.NUMBERS or words[2].isdigit()):
        return Number.PLURAL, None  # "two or three mugs"
    if words[:3] == ["a", "pair", "of"] or words[:2] == ["pair", "of"]:
        return (Number.SINGULAR, None) if lex.SOLE_PAIRS & set(words) else (Number.COUNT, 2)
    if first == "both" or words[:3] == ["a", "couple", "of"]:
        return Number.COUNT, 2
    value = _dozens(words) or _value(first)
    if value is not None and value >= 2 and len(words) > 1 and words[1] not in lex.UNITS:
        return Number.COUNT, value
    if value == 1 or first in ("a", "an", "this", "another"):
        return (Number.PLURAL, None) if words[:2] in (["a", "few"], ["a", "lot"]) else (Number.SINGULAR, None)
    if low[0] in lex.PLURAL_WORDS or first in lex.PLURAL_WORDS:
        return Number.PLURAL, None
    return (Number.PLURAL if _plural(low) else Number.SINGULAR), None


def bound_at(low: list[str], i: int) -> int:
    """How many words of "up to", "at least" stand at i, before a number; 0 for none."""
    n = longest(low, i, lex.BOUNDS)
    return n if n and i + n < len(low) and _value(low[i + n]) is not None else 0


def _value(word: str) -> int | None:
    """The number that a word or its digits say; None for any other word."""
    return lex.NUMBERS.get(word, int(word) if word.isascii() and word.isdigit() and len(word) < 4 else None)


def _dozens(words: list[str]) -> int | None:
    """The count of "a dozen eggs", "two dozen eggs"; None where there is no dozen of anything."""
    if "dozen" not in words[:3] or words[-1] == "dozen":
        return None
    before = words[: words.index("dozen")]
    each = _value(before[0]) if len(before) == 1 else None
    return 12 * each if each else lex.DOZENS.get(" ".join(before))


def _plural(low: list[str]) -> bool:
    """Whether a phrase's head noun ends like a plural."""
    listed = next((k for k, w in enumerate(low) if w not in _LISTED), 0)  # "the red, green and blue blocks"
    begin = int(low[0] in lex.BEFORE_NOUNS and len(low) > 1)
    ends = (
        k
        for k, w in enumerate(low)
        if k > begin and ((w == "," and k > listed) or (w in lex.CONTINUERS and not _side(low, k)))
    )
    stop = next(ends, len(low))
    head = low[stop - 1]
    if head == "glasses":
        return next((w for w in reversed(low[: stop - 1]) if w not in lex.ADJECTIVES), "") not in lex.WORN
    if head in lex.SOLE_PAIRS or head in lex.IRREGULAR_PLURALS:
        return head in lex.IRREGULAR_PLURALS and head != "fish"
    plural = len(head) > 2 and head.endswith("s") and not head.endswith(("ss", "us", "is", "'s"))
    return plural and head not in lex.SINGULAR_S


_LISTED = lex.ADJECTIVES | lex.NOUN_COLOURS | lex.DETERMINERS | {",", "and"}


def _side(words: list[str], k: int) -> bool:
    """Whether "left" or "right" at k is an adjective: "the left mugs", not "the mugs left of the milk"."""
    return words[k] in lex.ADJECTIVES and words[k + 1 : k + 2] not in (["of"], ["from"])
