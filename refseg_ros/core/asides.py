"""What is said beside the request: courtesies, cautions, and more about the thing just named.

"Be careful!" and "great, thanks" ask for nothing; "don't drop the glass, put it on the table" asks for the glass; "It
is on the table" tells which mug was meant.
"""

from __future__ import annotations

from refseg_ros.core import lexicon as lex
from refseg_ros.core.parts import Part
from refseg_ros.core.word_tables import longest

_JOINTS = frozenset([",", "and", "&", "but", "then"])
_ABOUT = frozenset(["it", "they"])
_ABOUT_COPULAS = {"it's": "is", "they're": "are"}


def without_asides(sentences: list[list[str]]) -> list[list[str]]:
    """The sentences without what is nothing but a courtesy from one joint to the next."""
    out: list[list[str]] = []
    for words in sentences:
        low, kept, i = [w.lower() for w in words], [], 0
        while i < len(words):
            end = _aside_end(low, i + int(low[i] in _JOINTS))
            if not end:
                end = next((k for k in range(i + 1, len(low)) if low[k] in _JOINTS), len(low))
                kept += words[i:end]
            i = end
        if any(w.lower() not in _JOINTS for w in kept):
            out.append(kept)
    return out


def _aside_end(low: list[str], begin: int) -> int:
    """Where the asides that begin here end; 0 where there are none, or more than asides before the next joint."""
    end = begin
    while n := longest(low, end, lex.ASIDES):
        end += n
    return end if end > begin and (end == len(low) or low[end] in _JOINTS) else 0


def said_of_it(words: list[str]) -> list[str]:
    """What "it is on the table" adds to the phrase before: "that is on the table"; empty for anything else."""
    low = [w.lower() for w in words[:2]]
    if low and low[0] in _ABOUT_COPULAS:
        return ["that", _ABOUT_COPULAS[low[0]], *words[1:]]
    said = len(low) == 2 and low[0] in _ABOUT and (low[1] in lex.COPULAS or low[1] in ("has", "have"))
    return ["that", *words[1:]] if said else []


def everything_there(words: list[str]) -> list[str]:
    """The words, with everything asked for where they ask what there is: "what is on the table?"."""
    low = [w.lower() for w in words]
    n = longest(low, 0, lex.WHATEVER)
    asked = n > 2 if n == len(low) else longest(low, n, lex.PLACES) > 0  # "what do you see", but not "what is"
    return ["everything", *words[n:]] if n and asked else words


def names_nothing(low: list[str]) -> bool:
    """Whether a refusal is about nothing that can be seen: "don't break it", "don't touch anything"."""
    nobody = lex.PRONOUNS | lex.NOBODY
    known = lex.DETERMINERS | lex.ADJECTIVES
    return all(w in nobody for w in low[1:]) and (low[0] in nobody or (len(low) == 2 and low[0] not in known))


def cared_for(parts: list[Part]) -> list[Part]:
    """The parts, with what a caution names asked for where a later "it" asks for it."""
    for k, part in enumerate(parts):
        if not part.negated:
            if part.own_verb and part.low[0] in ("it", "them"):
                for cared in parts[:k]:
                    cared.negated = cared.negated and cared.verb not in lex.CAUTIONS
            break
    return parts


def is_care(part: Part) -> bool:
    """Whether a part only says what to be careful with."""
    return part.negated and part.verb == lex.CAREFUL
