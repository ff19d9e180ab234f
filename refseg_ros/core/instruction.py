"""Text to phrases: what is asked for, how many, and what is not wanted.

Courtesies, verbs and spoken fillers fall away; relations, qualifiers and inner negations stay in the phrase's text.
The grammar is a page of rules over the words of lexicon.py, English only; text in other languages passes through as
it is, one phrase a part. It knows nothing of any model or image, raises only RequestError, and its time is
linear in the text's length, which plain_text.py limits.

Rulings where English is open: "the mug left of the milk and the bowl" asks for a mug and a bowl; "or" asks for both; a
list after "not" is excluded as a whole, until a "but" or a new verb; "any mug" accepts every mug; "put X in Y" asks
for X and for Y (places.py); "everything but X in Y" asks for Y and excludes X alone; "the mug, no, the bowl" asks for
the bowl (corrections.py). A word before "the" that can only be a verb is one, known or not (verbs.py). "The mug, the
big one" asks for the big mug, "the red mug, the blue one" for two mugs (noun.py); after "the mug, not the bowl" a "the
can" is what is wanted instead. "What is on the table?" asks for everything there. Courtesies and cautions ask for
nothing; "It is on the table" tells which thing was meant (asides.py). "Not the bowl" alone asks for nothing and is
INSTRUCTION_UNREADABLE.
"""

from __future__ import annotations

from dataclasses import dataclass

from refseg_ros.core import lexicon as lex
from refseg_ros.core.asides import cared_for, everything_there, is_care, names_nothing, said_of_it, without_asides
from refseg_ros.core.corrections import JOINT, corrected, merged
from refseg_ros.core.noun import adds, refined, with_noun
from refseg_ros.core.number import Number, bound_at, number_of
from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.parts import Part, joins_nothing, split
from refseg_ros.core.places import beside, place_refused, preposition_at, thing_and_place
from refseg_ros.core.plain_text import checked, sentences
from refseg_ros.core.verbs import asks, opener_at, unknown_verb_at, verb_at
from refseg_ros.core.word_tables import longest

MAX_PHRASES = 16


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


def parse(text: str) -> tuple[Phrase, ...]:
    """The phrases of an instruction, in order. Raises RequestError (an INSTRUCTION_ code) and nothing else."""
    found: list[tuple[list[str], bool]] = []
    about: int | None = None  # what an "it is ..." is said of, in `found`; -1: of what is asked for nowhere
    for sentence in merged(without_asides(sentences(checked(text)))):
        placed = False  # whether the request that an exclusion is from has a place already
        for part in _joined(cared_for(_polarised(split(sentence)))):
            if is_care(part):
                about = -1
                continue
            if about is not None and (said := said_of_it(part.words)):
                if about >= 0:
                    words, negated = found[about]
                    found[about] = _said_more(words, said), negated
                continue
            kept, refused = place_refused(part.words, part.verb)
            pieces = thing_and_place(kept, part.verb)
            if placed and part.negated and not part.place_negated:  # "and not on the table", "not the one on the table"
                pieces = [kept[preposition_at(part.low, 0) :]]
            placed = placed if part.negated else len(pieces) > 1
            told = [(w, part.place_negated if k else part.negated) for k, w in enumerate(pieces)] + [(refused, True)]
            named = [(_trim(words), negated) for words, negated in told]
            named = [(words, negated) for words, negated in named if any(c.isalpha() for c in "".join(words))]
            about = len(found) if named else about
            found += named
        if len(found) > MAX_PHRASES:
            raise RequestError(
                ErrorCode.INSTRUCTION_TOO_MANY_PHRASES,
                f"The instruction names more than {MAX_PHRASES} things; ask for them in several requests.",
            )
    if not found:
        raise RequestError(ErrorCode.INSTRUCTION_EMPTY, "The instruction names nothing to look for; name an object.")
    if all(negated for _, negated in found):
        raise RequestError(
            ErrorCode.INSTRUCTION_UNREADABLE,
            "The instruction only says what is not wanted; name what to look for, as in 'everything but the bowl'.",
        )
    return tuple(Phrase(_spell(w), *number_of([v.lower() for v in w]), negated) for w, negated in found)


def _polarised(parts: list[Part]) -> list[Part]:
    """Take openers, verbs and negations from each part's start; mark negated parts and the verb in force."""
    negated, verb, excluding = False, "", False  # excluding: what is negated is left out of an earlier request
    out: list[Part] = []
    for k, part in enumerate(parts):
        then = parts[k + 1] if k + 1 < len(parts) else Part("", [])
        before = out[-1].low if out else []
        if part.joint in ("except", "not") or (part.joint == "but" and before and before[0] in lex.EVERYTHING):
            negated, excluding = not (k and _all_but(parts[k - 1])), bool(verb) and (excluding or not negated)
        elif part.joint == "but" or _instead(out, part, then):
            negated = False
        low, i = part.low, 0
        while i < len(low) and not bound_at(low, i):
            opens = opener_at(low, i, then.low) or int(not part.joint and not i and asks(low))
            if n := longest(low, i, lex.CARES):
                negated, verb, part.own_verb, excluding, i = True, lex.CAREFUL, True, False, i + n
            elif (n := longest(low, i, lex.NEGATIONS)) and n >= opens:
                if low[i] in ("not", "without") and _goes_on(low[i + n :]) and before:
                    break  # "the mug, not red": an inner negation, the phrase's own
                negated, excluding, i = True, False, i + n
                verb = "" if low[i - 1] in ("leave", "ignore", "skip", "avoid") else verb
            elif (n := verb_at(low, i) or int(not (opens or part.own_verb) and unknown_verb_at(low, i))) and n >= opens:
                negated = negated and (i > 0 and bool(longest(low, 0, lex.NEGATIONS))) and part.joint != "then"
                verb, part.own_verb, excluding, i = low[i], True, False, i + n
                while i < len(low) and low[i] in ("me", "us"):
                    i += 1
            elif (n := opens) or (n := int(low[i] == "to" and i > 0)):
                negated = negated and not (i == 0 and low[0] in ("i", "i'd", "we", "we'd"))  # a wish begins anew
                i += n
            else:
                break
        part.words, part.whole, part.verb = everything_there(part.words[i:]), i == 0, verb
        part.negated, part.place_negated = negated, negated and not excluding
        if part.words and not (negated and names_nothing(part.low)):
            out.append(part)
    return out


def _all_but(part: Part) -> bool:
    """Whether what is excluded from a part is all that is wanted: "don't touch anything except the bowl"."""
    return part.negated and part.low in (["anything"], ["anything", "else"])


def _instead(out: list[Part], part: Part, then: Part) -> bool:
    """Whether a part names what is wanted instead of the one before it: "the mug, not the red one, the blue one"."""
    refused = len(out) > 1 and out[-1].joint == "not" and not out[-2].negated
    listed = part.joint != "," or then.joint in ("and", "or", "nor")
    one = refused and not listed and number_of(out[-2].low)[0] is Number.SINGULAR
    return one and part.low[0] in lex.DETERMINERS


def _goes_on(low: list[str]) -> bool:
    """Whether the words can only qualify something before them: adjectives alone, or a relation first."""
    if not low or bound_at(low, 0):
        return False
    if all(w in lex.ADJECTIVES for w in low):
        return True
    # "and left of the bowl" goes on; "and left mug" is another thing.
    return low[0] in lex.CONTINUERS and (low[0] not in lex.ADJECTIVES or low[1] in lex.AFTER_SIDES)


def _nounless(low: list[str], then: list[str]) -> bool:
    """Whether a part is a determiner and adjectives, its noun still to come in the part `then`."""
    if low[-1] in ("one", "ones"):
        return False  # "the big one and the small one"
    cut = max((k for k, w in enumerate(low) if w in ("with", "has", "having")), default=-1)
    tail = [w for w in low[cut + 1 :] if w not in lex.DETERMINERS]
    if cut >= 0:  # "the cup with a red, blue and green logo"
        return bool(tail) and all(w in lex.COLOURS or w in ("and", ",") for w in tail)
    body = [w for w in tail if w != ","]
    colour_next = bool(then) and then[0] in lex.COLOURS and len(then) > 1
    return bool(body) and all(w in lex.ADJECTIVES or (colour_next and w in lex.NOUN_COLOURS) for w in body)


def _has_it_too(before: list[str], low: list[str]) -> bool:
    """Whether a part goes on with what a thing has: "the bottle with the red cap" "and white label"."""
    cut = max((k for k, w in enumerate(before) if k and w in ("with", "has", "having")), default=0)
    return bool(cut) and low[-1] in lex.FEATURES and low[0] not in lex.DETERMINERS - {"a", "an"}


def _joined(parts: list[Part]) -> list[Part]:
    """Rejoin parts that one phrase was cut into, and lend a shared noun: "the red and the blue mug"."""
    out: list[Part] = []
    for part in parts:
        last = out[-1] if out else None
        if part.joint == "," and part.whole and adds(part.low) and _refines(out, part):
            continue
        if last is not None:
            part.words = with_noun(_trim(part.words), last.words) or part.words
        low = part.low
        if last is not None and part.joint == JOINT:
            part.words, part.negated = corrected(last.words, part.words), last.negated
            part.verb, part.place_negated, out[-1] = part.verb or last.verb, last.place_negated, part
            continue
        if last is not None and not part.own_verb and (last.negated == part.negated):
            before = last.low
            start = before.index("between") if "between" in before else len(before)
            joints = (k for k in range(start, len(before)) if before[k] in ("and", ","))
            between = start < len(before) and all(joins_nothing(before, k) for k in joints)
            bare = _nounless(before, low)
            free = low[0] not in lex.DETERMINERS
            qualifies = _goes_on(low) or (low[0] == "not" and _goes_on(low[1:]))
            qualifies = qualifies or (part.joint == "and" and _has_it_too(before, low))
            if (between and part.joint == "and") or (bare and free) or qualifies:
                glue = [","] if part.joint == "," else [part.joint]
                last.words += (glue if part.joint in (",", "and", "or", "nor", "but", "&") else ["and"]) + part.words
                continue
            if bare and not free:
                noun = [w for k, w in enumerate(part.words) if any(v not in lex.ADJECTIVES for v in low[1 : k + 1])]
                for k in range(len(out) - 1, -1, -1):  # "the red, the green and the blue mug"
                    if out[k].negated != part.negated or not _nounless(out[k].low, low):
                        break
                    out[k].words += noun
        out.append(part)
    for part in out[:-1]:
        if part.low[0] in ("both", "either") and len(part.words) > 1 and part.low[1] in lex.DETERMINERS:
            part.words = part.words[1:]  # "both the mug and the bowl"
    return out


def _refines(out: list[Part], part: Part) -> bool:
    """Whether a part says more about the last thing of its polarity, which then has it: "the mug, the big one"."""
    of = next((p for p in reversed(out) if p.negated == part.negated), None)
    if of is None:
        return False
    thing = thing_and_place(of.words, of.verb)[0]
    if of.low in (["that"], ["this"], ["those"], ["these"]):  # "hand me that, the one next to the bowl"
        of.words = part.words
        return True
    more = refined(thing, _trim(part.words)) if thing else []
    of.words = more + of.words[len(thing) :] if more else of.words
    return bool(more)


def _trim(words: list[str]) -> list[str]:
    """Without trailing courtesies, particles and bare pronouns."""
    words = [w for k, w in enumerate(words) if w != "," or 0 < k < len(words) - 1]
    while words:
        low = [w.lower() for w in words]
        sizes = range(min(6, len(low)), 0, -1)
        n = next((n for n in sizes if tuple(low[-n:]) in lex.CLOSERS and not _needed(low, n, lex.THE)), 0)
        if n and low[-n] == "to" and beside(low, len(low) - n):
            n = 0  # "the mug closest to me"
        if n and n < len(low) and low[-n - 1] in lex.COPULAS | {"that", "which"}:
            n = 0  # "the mugs that are there"
        particle = low[-1] in lex.PARTICLES and not _needed(low, 1, lex.BEFORE_PARTICLES)
        if not n and (particle or low[-1] in ("and", "or", ",")):
            n = 1
        if not n:
            break
        words = words[:-n]
    return [] if all(w.lower() in lex.PRONOUNS for w in words) else words


def _needed(low: list[str], n: int, owners: frozenset[str]) -> bool:
    """Whether the last n words belong to the one before them: "at the back", "standing alone", "turned off"."""
    return n < len(low) and low[-n - 1] in owners | lex.POSTURES


def _spell(words: list[str]) -> str:
    """Words to text: function words in lower case, no space before a comma."""
    known = [w.lower() if w.lower() in lex.DETERMINERS or w.lower() in lex.ADJECTIVES else w for w in words]
    return " ".join(known).replace(" ,", ",")


def _said_more(words: list[str], said: list[str]) -> list[str]:
    """A phrase's words with a "that is ..." said of it later."""
    more = _trim(said[2:])
    return refined(words, more) or [*words, *said[:2], *more] if more else words
