"""How far and where to a thing is to be moved, which does not tell which thing: "move the mug a bit to the left"."""

from __future__ import annotations

from refseg_ros.core import lexicon as lex
from refseg_ros.core.word_tables import Entries

# After these, a direction or a distance belongs to them: "the mug that is to the left", "a ruler of 10 cm".
_OWNERS = lex.COPULAS | {"that", "which", "the", "a", "an", "of", "on", "at", "in", "from"}


def without_way(words: list[str], verb: str) -> list[str]:
    """The words without a direction and a distance at their end, after a verb of moving (lower case)."""
    low = [w.lower() for w in words]
    end = _before_direction(low) if verb in lex.MOVING else len(low)
    return without_distance(words[:end], verb)


def without_manner(words: list[str]) -> list[str]:
    """The words without how to do it at their end: "by its handle", "with your left hand", "for 5 seconds"."""
    low = [w.lower() for w in words]
    k = max((k for k, w in enumerate(low) if k and w in ("by", "with", "for")), default=len(low))
    said = low[k + 1 :]
    if not said or len(said) > 3:
        return words
    ways = {
        "by": said[0] in ("its", "their") or (said[0] == "the" and said[-1] in lex.GRIPS),
        "with": said[-1] in lex.HANDS and said[0] in {"your", "both", "one", "the"},
        "for": said[-1] in lex.DURATIONS and (said[0] in {"a", "one"} | set(lex.NUMBERS) or _number(said[0])),
    }
    return words[:k] if ways[low[k]] else words


def without_distance(words: list[str], verb: str) -> list[str]:
    """The words without a distance at their end, after a verb of moving (lower case)."""
    low = [w.lower() for w in words]
    end = _before_distance(low) if verb in lex.MOVING else len(low)
    return words if _owned(low, end) else words[:end]


def _before_direction(low: list[str]) -> int:
    """Where a "to the left", "left" or "upside down" at the end begins."""
    n = _ending(low, lex.DIRECTIONS)
    return len(low) if _owned(low, len(low) - n) else len(low) - n


def _before_distance(low: list[str]) -> int:
    """Where an "a bit", "slightly" or "10 cm" at the end begins."""
    if n := _ending(low, lex.BITS):
        return len(low) - n
    if len(low) > 1 and low[-1] in lex.LENGTHS and (low[-2] in lex.NUMBERS or _number(low[-2])):
        return len(low) - 2
    return len(low) - int(bool(low) and low[-1].endswith(("cm", "mm")) and _number(low[-1].rstrip("cm")))


def _ending(low: list[str], table: Entries) -> int:
    """Length of the longest entry of a table that the words end in; 0 when there is none."""
    return next((n for n in range(min(3, len(low)), 0, -1) if tuple(low[-n:]) in table), 0)


def _owned(low: list[str], end: int) -> bool:
    """Whether what begins at `end` belongs to the word before it: "the one to the left" tells which."""
    return end > 0 and (low[end - 1] in _OWNERS or low[:end] in (["the", "one"], ["the", "ones"], ["one"]))


def _number(word: str) -> bool:
    return word.isascii() and word.replace(".", "", 1).isdigit()
