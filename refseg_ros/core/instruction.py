"""Text to phrases: what is asked for, how many, and what is not wanted.

Courtesies, verbs and spoken fillers fall away; relations, qualifiers and inner negations stay in the phrase's text.
The grammar is a page of rules over the words of lexicon.py, English only; text in other languages passes through as
it is, one phrase a part. It knows nothing of any model or image, raises only RequestError, and its time is
linear in the text's length, which plain_text.py limits.

Rulings where English is open: "the mug left of the milk and the bowl" asks for a mug and a bowl; "or" asks for both; a
list after "not" is excluded as a whole, until a "but" or a new verb; "any mug" accepts every mug; "put X in Y" asks for
X and for Y (places.py); "the mug, no, the bowl" asks for the bowl (corrections.py). "Not the bowl" alone asks for
nothing and is INSTRUCTION_UNREADABLE.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from refseg_ros.core import lexicon as lex
from refseg_ros.core.corrections import ADDING, JOINT, corrected, correction_at, merged, refusal, takes_back
from refseg_ros.core.noun import noun_of, stands_for
from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.places import beside, thing_and_place
from refseg_ros.core.plain_text import checked, sentences

MAX_PHRASES = 16


class Number(Enum):
    """How many things a phrase asks for."""

    SINGULAR = "singular"
    PLURAL = "plural"
    COUNT = "count"


@dataclass(frozen=True)
class Phrase:
    """One thing asked for.

    text: what a model reads; count: how many, for COUNT only; negated: it must not be chosen.
    """

    text: str
    number: Number = Number.SINGULAR
    count: int | None = None
    negated: bool = False

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("Phrase.text must not be empty")
        if (self.number is Number.COUNT) != (self.count is not None) or (self.count is not None and self.count < 1):
            raise ValueError(f"Phrase.count must be positive for COUNT and None otherwise, not {self.count}")


@dataclass
class _Part:
    """A stretch of words between two joints. joint: the word before it ("" at a sentence's start)."""

    joint: str
    words: list[str]
    negated: bool = False
    verb: str = ""  # the verb in force, lower case
    own_verb: bool = False

    @property
    def low(self) -> list[str]:
        return [w.lower() for w in self.words]


def parse(text: str) -> tuple[Phrase, ...]:
    """The phrases of an instruction, in order. Raises RequestError (an INSTRUCTION_ code) and nothing else."""
    phrases: list[Phrase] = []
    for sentence in merged(sentences(checked(text))):
        parts = _joined(_polarised(_split(sentence)))
        for part in parts:
            for words in thing_and_place(part.words, part.verb):
                words = _trim(words)
                if words and any(c.isalpha() for c in "".join(words)):
                    number, count = _number([w.lower() for w in words])
                    phrases.append(Phrase(_spell(words), number, count, part.negated))
        if len(phrases) > MAX_PHRASES:
            raise RequestError(
                ErrorCode.INSTRUCTION_TOO_MANY_PHRASES,
                f"The instruction names more than {MAX_PHRASES} things; ask for them in several requests.",
            )
    if not phrases:
        raise RequestError(ErrorCode.INSTRUCTION_EMPTY, "The instruction names nothing to look for; name an object.")
    if all(p.negated for p in phrases):
        raise RequestError(
            ErrorCode.INSTRUCTION_UNREADABLE,
            "The instruction only says what is not wanted; name what to look for, as in 'everything but the bowl'.",
        )
    return tuple(phrases)


def _split(words: list[str]) -> list[_Part]:
    """Cut a sentence at commas and conjunctions; compounds stay whole, and "except", "not the ..." begin a part."""
    low, parts, i = [w.lower() for w in words], [_Part("", [])], 0
    while i < len(words):
        joint, n = "", 0
        if n := correction_at(low, i):
            joint = JOINT if any(p.words for p in parts) else ""
            joint = "," if low[i + n : i + n + 1] and low[i + n] in ADDING else joint
            if joint and i + n == len(low) and takes_back(low[i:]):
                raise refusal()
        elif low[i] == ",":
            joint, n = ",", 1
        elif n := lex.longest(low, i, lex.EXCEPT):
            joint = "except"
        elif n := lex.longest(low, i, lex.CONJUNCTIONS):
            joint, n = ("", 0) if _whole(low, i) else (" ".join(low[i : i + n]), n)
        elif low[i] == "not" and 0 < i < len(low) - 1 and low[i - 1] not in lex.COPULAS:
            joint, n = ("except", 1) if low[i + 1] in lex.DETERMINERS else ("", 0)
        if not n:
            parts[-1].words.append(words[i])
            i += 1
            continue
        if parts[-1].words:
            parts.append(_Part(joint, []))
        elif joint and (joint != "," or not parts[-1].joint):  # ", and": the later joint tells more
            parts[-1].joint = joint
        i += n
    return [p for p in parts if p.words]


def _whole(low: list[str], i: int) -> bool:
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
    return not any(lex.longest(low, k, table) for table in tables)


def _two_colours(low: list[str], i: int) -> bool:
    """Whether the "and" at i joins two colours of one thing: "left of the red and white mug"."""
    colours = lex.COLOURS | lex.NOUN_COLOURS
    after = low[i + 2] if i + 2 < len(low) else ","
    goes_on = after != "," and not lex.longest(low, i + 2, lex.CONJUNCTIONS) and after not in lex.CONTINUERS
    return i > 0 and low[i - 1] in colours and i + 1 < len(low) and low[i + 1] in colours and goes_on


def _sets_off(low: list[str], i: int) -> bool:
    """Whether the "and" at i belongs to an opener: "go and get", "be so kind and bring"."""
    return any(lex.longest(low, i + 1 - n, lex.OPENERS) == n for n in range(2, min(5, i + 1) + 1))


def _polarised(parts: list[_Part]) -> list[_Part]:
    """Take openers, verbs and negations from each part's start; mark negated parts and the verb in force."""
    negated, verb = False, ""
    out: list[_Part] = []
    for part in parts:
        before = out[-1].low if out else []
        if part.joint == "except":
            negated = True
        elif part.joint == "but":
            negated = bool(before) and before[0] in lex.EVERYTHING
        low, i = part.low, 0
        while i < len(low):
            opens = lex.longest(low, i, lex.OPENERS, 8)
            if opens == 1 and low[i] == "robot" and not _addressed(low, i + 1):
                break  # "robot vacuum"
            if (n := lex.longest(low, i, lex.NEGATIONS)) and n >= opens:
                if low[i] in ("not", "without") and _goes_on(low[i + n :]) and before:
                    break  # "the mug, not red": an inner negation, the phrase's own
                negated, i = True, i + n
                verb = "" if low[i - 1] in ("leave", "ignore", "skip", "avoid") else verb
            elif n := _verb_at(low, i):
                negated = negated and (i > 0 and bool(lex.longest(low, 0, lex.NEGATIONS))) and part.joint != "then"
                verb, part.own_verb, i = low[i], True, i + n
                while i < len(low) and low[i] in ("me", "us"):
                    i += 1
            elif (n := opens) or (n := int(low[i] == "to" and i > 0)):
                negated = negated and not (i == 0 and low[0] in ("i", "i'd", "we", "we'd"))  # a wish begins anew
                i += n
            else:
                break
        part.words, part.negated, part.verb = part.words[i:], negated, verb
        if part.words:
            out.append(part)
    return out


def _addressed(low: list[str], then: int) -> bool:
    """Whether what follows a "robot" is said to one."""
    follows = then >= len(low) or low[then] in lex.DETERMINERS
    return follows or bool(_verb_at(low, then) or lex.longest(low, then, lex.OPENERS | lex.NEGATIONS))


def _verb_at(low: list[str], i: int) -> int:
    """How many words of a verb stand at i; 0 when they may be a noun or an adjective."""
    if n := lex.longest(low, i, lex.VERBS):
        return n
    n = lex.longest(low, i, lex.MAYBE_VERBS)
    follows = low[i + n] if n and i + n < len(low) else ""
    return n if follows in lex.DETERMINERS or follows.isdigit() else 0


def _goes_on(low: list[str]) -> bool:
    """Whether the words can only qualify something before them: adjectives alone, or a relation first."""
    return bool(low) and (low[0] in lex.CONTINUERS or all(w in lex.ADJECTIVES for w in low))


def _nounless(low: list[str], then: list[str]) -> bool:
    """Whether a part is a determiner and adjectives, its noun still to come in the part `then`."""
    cut = max((k for k, w in enumerate(low) if w in ("with", "has", "having")), default=-1)
    tail = [w for w in low[cut + 1 :] if w not in lex.DETERMINERS]
    if cut >= 0:  # "the cup with a red, blue and green logo"
        return bool(tail) and all(w in lex.COLOURS or w in ("and", ",") for w in tail)
    body = tail
    colour_next = bool(then) and then[0] in lex.COLOURS and len(then) > 1
    return bool(body) and all(w in lex.ADJECTIVES or (colour_next and w in lex.NOUN_COLOURS) for w in body)


def _joined(parts: list[_Part]) -> list[_Part]:
    """Rejoin parts that one phrase was cut into, and lend a shared noun: "the red and the blue mug"."""
    out: list[_Part] = []
    for part in parts:
        last = out[-1] if out else None
        own = _trim(part.words)
        if last is not None and stands_for([w.lower() for w in own]):
            part.words = own[:-1] + noun_of(last.words, singular=own[-1].lower() == "one")
        low = part.low
        if last is not None and part.joint == JOINT:
            part.words, part.negated = corrected(last.words, part.words), last.negated
            part.verb, out[-1] = part.verb or last.verb, part
            continue
        if last is not None and not part.own_verb and (last.negated == part.negated):
            before = last.low
            start = before.index("between") if "between" in before else len(before)
            joints = [k for k in range(start, len(before)) if before[k] in ("and", ",") and not _whole(before, k)]
            between = start < len(before) and not joints
            bare = _nounless(before, low)
            free = low[0] not in lex.DETERMINERS
            qualifies = _goes_on(low) or (low[0] == "not" and _goes_on(low[1:]))
            if (between and part.joint == "and") or (bare and free) or qualifies:
                glue = [","] if part.joint == "," else [part.joint]
                last.words += (glue if part.joint in (",", "and", "or", "but", "&") else ["and"]) + part.words
                continue
            if bare and not free:
                noun = [w for k, w in enumerate(part.words) if any(v not in lex.ADJECTIVES for v in low[1 : k + 1])]
                last.words += noun
        out.append(part)
    for part in out[:-1]:
        if part.low[0] == "both" and len(part.words) > 1 and part.low[1] in lex.DETERMINERS:
            part.words = part.words[1:]  # "both the mug and the bowl"
    return out


def _trim(words: list[str]) -> list[str]:
    """Without trailing courtesies, particles and bare pronouns."""
    words = [w for k, w in enumerate(words) if w != "," or 0 < k < len(words) - 1]
    while words:
        low = [w.lower() for w in words]
        n = next((n for n in range(min(4, len(low)), 0, -1) if tuple(low[-n:]) in lex.CLOSERS), 0)
        if n and low[-n] == "to" and beside(low, len(low) - n):
            n = 0  # "the mug closest to me"
        if n and n < len(low) and low[-n - 1] in ("that", "which"):
            n = 0  # "the mugs that are there"
        if not n and low[-1] in lex.PARTICLES | {"and", "or", ","}:
            n = 1
        if not n:
            break
        words = words[:-n]
    return [] if all(w.lower() in lex.PRONOUNS for w in words) else words


def _spell(words: list[str]) -> str:
    """Words to text: function words in lower case, no space before a comma."""
    known = [w.lower() if w.lower() in lex.DETERMINERS or w.lower() in lex.ADJECTIVES else w for w in words]
    return " ".join(known).replace(" ,", ",")


def _side(words: list[str], k: int) -> bool:
    """Whether "left" or "right" at k is an adjective: "the left mugs", not "the mugs left of the milk"."""
    return words[k] in lex.ADJECTIVES and words[k + 1 : k + 2] not in (["of"], ["from"])


def _number(low: list[str]) -> tuple[Number, int | None]:
    """How many the phrase asks for, from its determiners, or else from its head noun's ending."""
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
    value = lex.NUMBERS.get(first, int(first) if first.isascii() and first.isdigit() and len(first) < 4 else None)
    if value is not None and value >= 2 and len(words) > 1 and words[1] not in lex.UNITS:
        return Number.COUNT, value
    if value == 1 or first in ("a", "an", "this", "another"):
        return (Number.PLURAL, None) if words[:2] in (["a", "few"], ["a", "lot"]) else (Number.SINGULAR, None)
    if low[0] in lex.PLURAL_WORDS or first in lex.PLURAL_WORDS:
        return Number.PLURAL, None
    ends = (k for k, w in enumerate(words) if k and (w == "," or (w in lex.CONTINUERS and not _side(words, k))))
    stop = next(ends, len(words))
    head = words[stop - 1]
    if head in lex.SOLE_PAIRS or head in lex.IRREGULAR_PLURALS:
        return (Number.PLURAL, None) if head in lex.IRREGULAR_PLURALS and head != "fish" else (Number.SINGULAR, None)
    plural = len(head) > 2 and head.endswith("s") and not head.endswith(("ss", "us", "is", "'s"))
    return (Number.PLURAL, None) if plural and head not in lex.SINGULAR_S else (Number.SINGULAR, None)
