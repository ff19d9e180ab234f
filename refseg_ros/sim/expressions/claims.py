"""Claims about things by themselves: names, attributes, counts, order, size, negation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np

from refseg_ros.sim.expressions import views as where
from refseg_ros.sim.expressions import words
from refseg_ros.sim.expressions.facts import FALSE, TRUE, Facts, Head, both, negated, settled
from refseg_ros.sim.expressions.heads import coloured, sizes
from refseg_ros.sim.expressions.types import Claim, Ids
from refseg_ros.sim.expressions.views import SUPERLATIVE_MARGIN_M, Views

Reading = tuple[Callable[[Views], np.ndarray], float]
ACROSS: tuple[Reading, ...] = (
    (lambda v: v.right, SUPERLATIVE_MARGIN_M),
    (lambda v: v.column, SUPERLATIVE_MARGIN_M / 2),
)
AWAY: tuple[Reading, ...] = ((lambda v: v.ahead, SUPERLATIVE_MARGIN_M), (lambda v: v.range, SUPERLATIVE_MARGIN_M / 2))
# Two readings of each word, with the margins by which the first thing must lead the second in both.
SUPERLATIVES = (("leftmost", 1, ACROSS), ("rightmost", -1, ACROSS), ("nearest", 1, AWAY), ("farthest", -1, AWAY))
BY_SIZE = {"biggest": "big", "smallest": "small", "tallest": "tall"}
NOTHING: Ids = frozenset()


def slots(head: Head, **more: str) -> dict[str, str]:
    """What a form needs of a head."""
    return {"x": head.text, "xs": head.plural, **more}


def has_plural(head: Head) -> bool:
    """Whether one and several of it are different words: "cookies" are many things already."""
    return head.plural != head.text


def plain(facts: Facts, heads: list[Head]) -> Iterator[Claim]:
    """ "the red mug", or all of them, or one of several that nobody can tell apart."""
    for head in heads:
        if not settled(head.truth):
            continue
        meant = facts.ids(head.truth)
        if len(meant) == 1:
            yield Claim(head.kind, "the", slots(head), (meant,))
        else:
            if has_plural(head) and head.text not in words.ANY:
                yield Claim("ambiguous", "the", slots(head), (meant,), "AMBIGUOUS")
            if head.word in words.ANY and head.text != head.word:
                yield Claim("all-of", "everything so", {"c": head.text.removesuffix(" " + head.word)}, (meant,))
            yield Claim("all-of", "all" if has_plural(head) else "all so", slots(head), (meant,))


def counts(facts: Facts, heads: list[Head]) -> Iterator[Claim]:
    """ "the three bowls" where there are three, and where there are fewer."""
    for head in heads:
        if not has_plural(head) or not settled(head.truth):
            continue
        meant = facts.ids(head.truth)
        n = len(meant)
        if 2 <= n <= 8:
            yield Claim("count", "pair of" if n == 2 else "count", _number(head, n), (meant,))
        for wrong in (n + 1, n + 2):
            if wrong <= 8:
                yield Claim("absent-count", "false count", _number(head, wrong), (NOTHING,))


def _number(head: Head, n: int) -> dict[str, str]:
    return slots(head, n=words.NUMBERS[n], d=str(n))


def superlatives(facts: Facts, heads: list[Head], views: Views) -> Iterator[Claim]:
    """ "the leftmost mug", "the tallest bottle"; of two, "the mug on the left"."""
    for head in heads:
        which = np.flatnonzero(head.truth == TRUE)
        if head.kind == "size" or len(which) < 2 or not settled(head.truth):
            continue
        for word, sign, readings in SUPERLATIVES:
            found = {where.first(sign * read(views)[which], margin) for read, margin in readings}
            if len(found) == 1 and -1 not in found:
                meant = frozenset([facts.things[which[found.pop()]].id])
                yield Claim("superlative", word, slots(head), (meant,))
                if len(which) == 2 and word in ("leftmost", "rightmost"):
                    yield Claim("superlative", word.removesuffix("most") + " one", slots(head), (meant,))
        if np.all(views.host[which] < 0):
            sized = sizes(facts, which)
            for word, size in BY_SIZE.items():
                if size in sized:
                    yield Claim("superlative", word, slots(head), (frozenset([facts.things[sized[size]].id]),))


def ordinals(facts: Facts, heads: list[Head], views: Views) -> Iterator[Claim]:
    """ "the second mug from the left" of three or more; "the fourth" of three is not there."""
    for head in heads:
        which = np.flatnonzero(head.truth == TRUE)
        if head.kind == "size" or len(which) < 3 or not settled(head.truth) or not has_plural(head):
            continue
        row = where.ordered(views, which)
        if row is None:
            continue
        for form, order in (("from left", row), ("from right", row[::-1])):
            for place, index in enumerate(order[:4], 1):
                meant = frozenset([facts.things[index].id])
                yield Claim("ordinal", form, slots(head, o=words.ORDINALS[place]), (meant,))
            if len(row) < 5:
                yield Claim("absent-count", form, slots(head, o=words.ORDINALS[len(row) + 1]), (NOTHING,))


def negations(facts: Facts, heads: list[Head], rng: random.Random | None) -> Iterator[Claim]:
    """ "the mug that is not red", "all the bowls but the white one", "everything but the milk"."""
    for head in heads:
        if head.kind == "name":
            for colour in sorted({c for i in np.flatnonzero(head.truth == TRUE) for c in facts.looks[i].colours}):
                yield from _not_coloured(facts, head, colour, rng)
    everything = next(h for h in heads if h.word in words.ANY)
    if settled(everything.truth) and everything.count > 2:
        for head in heads:
            if head.unique and head.kind == "name" and head.word not in words.ANY:
                rest = facts.ids(both(everything.truth, negated(head.truth)))
                yield Claim("negation", "except", {"a": head.text}, (rest,))


def _not_coloured(facts: Facts, head: Head, colour: str, rng: random.Random | None) -> Iterator[Claim]:
    one = coloured(facts, colour, head.word, head.truth, rng)
    rest = both(head.truth, negated(facts.colour(colour)))
    if not settled(head.truth) or not settled(rest) or not settled(one.truth):
        return
    meant, said = facts.ids(rest), one.text.removesuffix(" " + head.word)
    filled = slots(head, c=said, word=head.word)
    if not meant:
        yield Claim("absent-attribute", "is not", filled, (NOTHING,))
        return
    if len(meant) == 1:
        yield Claim("negation", "is not", filled, (meant,))
    else:
        yield Claim("negation", "are not", filled, (meant,))
    if has_plural(head) and one.count == 1 and " of " not in head.word:
        if head.count >= 3:
            yield Claim("negation", "except one", filled, (meant,))
        elif len(meant) == 1 and head.word not in words.ANY:
            yield Claim("negation", "not the other", filled, (meant,))


def described(facts: Facts, heads: list[Head], rng: random.Random | None) -> Iterator[Claim]:
    """ "the mug that is red": the colour after the noun."""
    for head in heads:
        if head.kind != "name" or not settled(head.truth):
            continue
        for colour in sorted({c for i in np.flatnonzero(head.truth == TRUE) for c in facts.looks[i].colours}):
            one = coloured(facts, colour, head.word, head.truth, rng)
            if one.unique:
                said = one.text.removesuffix(" " + head.word)
                yield Claim("attribute", "which is", slots(head, c=said), (facts.ids(one.truth),))


def none_of(head: Head) -> bool:
    """Whether the head fits nothing, beyond doubt."""
    return bool(np.all(head.truth == FALSE))
