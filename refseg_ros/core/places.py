"""What goes where: "put X in Y" and "take X from Y" name a thing and a place, and both are asked for.

Where English is open ("put the mug on the plate next to the milk"), what holds or carries a thing is where it goes and
what lies beside it tells which one is meant; of two that could both carry it, the last is where it goes. A direction
alone ("move the mug to the left") is no place that could be found (ways.py).
"""

from __future__ import annotations

from refseg_ros.core import lexicon as lex
from refseg_ros.core.number import bound_at
from refseg_ros.core.ways import without_distance, without_manner, without_way
from refseg_ros.core.word_tables import longest


def thing_and_place(words: list[str], verb: str) -> list[list[str]]:
    """[words] or [thing, place], and a place for each side of a "between". verb: the verb in force, lower case."""
    if not verb:
        return [words]
    words = without_manner(words)
    low = [w.lower() for w in words]
    cuts: list[tuple[int, int]] = []
    for i in range(len(low)):
        if cuts and i < sum(cuts[-1]):
            continue
        n = longest(low, i, lex.SOURCES)
        n = 0 if low[i] in ("from", "away") and i and low[i - 1] in lex.APART else n
        n = n or (longest(low, i, lex.PLACES) if verb in lex.PLACING else 0)
        n = n or (longest(low, i, lex.GOALS) if verb in lex.CARRYING and not beside(low, i) else 0)
        n = n or (longest(low, i, lex.SWAPPED) if verb in lex.SWAPPING else 0)
        n = n or int(low[i] == "with" and verb in lex.TOOLED and low[-1] in lex.TOOLS)
        n = 0 if i and bound_at(low, i - 1) else n  # "bring up to three cups"
        if n and i + n < len(low) and not (low[i] == "of" and i) and _names_a_place(low[i + n :]):
            cuts.append((i, n))
    if not cuts:
        return [without_way(words[: _pronoun_place(low, verb)], verb)]
    at, n = _where(low, cuts)
    places = [words[at + n :]]
    if "between" in low[at : at + n] and (joint := _joint(low, at + n)):
        places = [words[at + n : joint], words[joint + 1 :]]
    return [without_distance(words[:at], verb), *places]


def place_refused(words: list[str], verb: str) -> tuple[list[str], list[str]]:
    """The words up to a "not on the plate" that turns down another place than theirs, and that other place."""
    low = [w.lower() for w in words]
    k = next((k for k in range(1, len(low)) if low[k] == "not" and low[k - 1] not in lex.COPULAS), len(low))
    n = preposition_at(low, k + 1)
    if not n or len(thing_and_place(words[:k], verb)) == 1:
        return words, []  # "the mug, not in the basket": which mug
    return words[:k], words[k + 1 + n :]


def preposition_at(low: list[str], i: int) -> int:
    """How many words of a preposition that may name a place stand at i."""
    return max(longest(low, i, table) for table in (lex.PLACES, lex.SOURCES, lex.GOALS))


def beside(low: list[str], i: int) -> bool:
    """Whether "to" at i belongs to a relation: "next to", "closest to"."""
    return i > 0 and low[i - 1] in lex.TOUCHING


def _names_a_place(rest: list[str]) -> bool:
    """Whether the words after a preposition are a place, and no side: "from the left"."""
    named = [w for w in rest if w not in lex.DETERMINERS]
    if not named or rest[0] in ("it", "them") or named[0] not in lex.SIDES:
        return bool(named) and rest[0] not in ("it", "them")
    ended = len(named) == 1 or longest(named, 1, lex.CLOSERS) or named[1] in lex.CONTINUERS | lex.PARTICLES
    return not (ended or named[1] in (",", "of", "side", "edge", "and", "for"))


def _pronoun_place(low: list[str], verb: str) -> int:
    """Where the words for the thing end: before "in it", whatever that is, but "the plate with circles on it"."""
    end = len(low) - 1
    if low[-1] in ("on", "in") and verb in lex.SWITCHING and not lex.COPULAS & set(low) and "with" not in low:
        return end  # "turn the stove on"
    if low[-1] not in ("it", "them") or "with" in low:
        return len(low)
    tables = (lex.SOURCES, lex.PLACES) if verb in lex.PLACING else (lex.SOURCES,)
    return next((k for k in range(1, end) if any(longest(low, k, t) == end - k for t in tables)), len(low))


def _where(low: list[str], cuts: list[tuple[int, int]]) -> tuple[int, int]:
    """The cut before the place: the strongest preposition, the last of several as strong."""
    strong = [c for c in cuts if low[c[0]] in ("into", "onto", "from")]
    carrying = [c for c in cuts if tuple(low[c[0] : sum(c)]) not in lex.BESIDE]
    return (strong or carrying or cuts)[-1]


def _joint(low: list[str], begin: int) -> int:
    """Where the "and" between the two sides of a "between" stands; 0 for none."""
    joints = [k for k in range(begin + 1, len(low) - 1) if low[k] in ("and", "&")]
    two = [k for k in joints if low[k + 1] in lex.DETERMINERS]
    return (two or joints or [0])[0]
