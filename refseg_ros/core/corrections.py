"""What a speaker takes back: "the mug, no, the bowl" asks for the bowl.

A correction replaces the one phrase before it. Where nothing follows, or what follows cannot stand for what was said,
the person is asked to say it again: guessing would send a robot for what was just taken back.
"""

from __future__ import annotations

from refseg_ros.core import lexicon as lex
from refseg_ros.core.noun import noun_of
from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.word_tables import longest

JOINT = "correction"  # what stands between the parts of a sentence where somebody corrects themselves

ADDING = frozenset(["and", "also", "plus"])  # after a correction, these take nothing back: "oh wait, and the bowl"


def correction_at(low: list[str], i: int) -> int:
    """How many words of "no wait", "sorry, I mean" stand at i; 0 where the words there mean something else."""
    first = end = i
    while end < len(low):
        n = longest(low, end, lex.CORRECTIONS) or taken_back_at(low, end)
        if not n and (n := longest(low, end, lex.SOFT_CORRECTIONS)) and not _breaks_off(low, end + n, end > first):
            n = 0
        if not n:
            break
        end += n
        while end < len(low) and low[end] == ",":
            end += 1
    if end > first and first and low[first - 1] in lex.DETERMINERS | lex.COPULAS:
        return 0  # "the sorry looking mug", "the mug that is actually red"
    return end - first


def taken_back_at(low: list[str], i: int) -> int:
    """How many words of a "forget it" stand at i, with nothing after it that could be forgotten."""
    n = longest(low, i, lex.TAKEN_BACK)
    return n if i + n == len(low) or low[i + n] == "," else 0


def takes_back(low: list[str]) -> bool:
    """Whether a correction's words leave nothing standing of what was said: "the mug, no wait"."""
    said = any(longest(low, k, lex.CORRECTIONS) or taken_back_at(low, k) for k in range(len(low)))
    return said or "no" in low


def _breaks_off(low: list[str], then: int, after_another: bool) -> bool:
    """Whether a "no" or a "sorry" before `then` interrupts: "no, the bowl", "no the bowl", not "no bowl"."""
    follows = low[then] if then < len(low) else ","
    sets_right = follows in lex.DETERMINERS | lex.COLOURS or follows in {",", "not"} | ADDING
    return sets_right or after_another or bool(longest(low, then, lex.CORRECTIONS | lex.SOFT_CORRECTIONS))


def merged(sentences: list[list[str]]) -> list[list[str]]:
    """Sentences, with one that corrects the last made part of it: "The mug. No, the bowl." """
    out: list[list[str]] = []
    for words in sentences:
        low = [w.lower() for w in words]
        alone = not out or not (n := correction_at([*out[-1], ",", *low], len(out[-1]) + 1))
        if alone or (n == len(low) and not takes_back(low)):
            out.append(words)
        else:
            out[-1] = [*out[-1], ",", *words]
    return out


def corrected(said: list[str], words: list[str]) -> list[str]:
    """The words of a phrase after its correction. Raises RequestError where nobody can tell what is meant."""
    low, before = [w.lower() for w in words], [w.lower() for w in said]
    if len(low) == 1 and (low[0] in lex.NUMBERS or low[0].isdigit()):  # "two mugs, no, three"
        counted = next((k for k, w in enumerate(before) if w in lex.NUMBERS or w.isdigit()), None)
        if counted is None:
            raise refusal()
        return [*said[:counted], *words, *said[counted + 1 :]]
    if low[0] in lex.CONTINUERS or longest(low, 0, lex.PLACES) or longest(low, 0, lex.SOURCES):
        raise refusal()  # "the mug left of the milk, no, right of it"
    described = [w for w in low if w not in lex.DETERMINERS]
    if described and all(w in lex.ADJECTIVES for w in described):  # "the red mug, no, the blue"
        return _determined(said, words) + noun_of(said, singular=False)
    return _determined(said, words)


def _determined(said: list[str], words: list[str]) -> list[str]:
    """Words with the determiner of what they replace where they have none: "the red, no, blue mug"."""
    bare = words[0].lower() not in lex.DETERMINERS and said[0].lower() in lex.DETERMINERS
    return [said[0], *words] if bare else words


def refusal() -> RequestError:
    """The answer to a correction that cannot be followed."""
    return RequestError(
        ErrorCode.INSTRUCTION_UNREADABLE,
        "The instruction takes something back, and what is meant instead is unclear; say it again from the start.",
    )
