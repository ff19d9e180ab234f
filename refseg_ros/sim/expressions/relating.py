"""Claims about things and their neighbours: left, right, in front, behind, next to, between, nearest to, in, on, under,
and the false ones. All heads are compared with all anchors at once; only what is said is built."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from refseg_ros.sim.expressions import views as where
from refseg_ros.sim.expressions import words
from refseg_ros.sim.expressions.claims import NOTHING, has_plural, slots
from refseg_ros.sim.expressions.facts import MAYBE, TRUE, Facts, Head, Truth, both, negated, settled
from refseg_ros.sim.expressions.types import Claim
from refseg_ros.sim.expressions.views import NEAREST_MARGIN_M, Views

CONTAINER = ("in", "on")
# What something can be said to lie in or on at all: "the milk in the lemon" is no request.
HOSTS = {
    "in": frozenset({"basket", "tray", "bowl", "ramekin", "mug", "frying pan"}),
    "on": frozenset({"plate", "tray", "book", "box", "frying pan", "block"}),
}
Anchor = tuple[str, int]
MOST_HEADS, MOST_PAIRS = 40, 30


def anchors(facts: Facts, heads: list[Head], rng: random.Random | None) -> list[Anchor]:
    """(text, index) of things with a head of their own: its shortest, or with a generator any two."""
    of: dict[int, list[str]] = {}
    for head in heads:
        if head.unique and head.text not in words.ANY:
            of.setdefault(int(np.argmax(head.truth)), []).append(head.text)
    if rng is None:
        of = {i: [min(texts, key=len)] for i, texts in of.items()}
    else:
        of = {i: rng.sample(texts, min(2, len(texts))) for i, texts in of.items()}
    return [(text, i) for i, texts in of.items() for text in texts]


def relations(
    facts: Facts, heads: list[Head], at: list[Anchor], table: dict[str, Truth], rng: random.Random | None, most: int
) -> Iterator[Claim]:
    """Every relation of every head to every anchor, or with a generator about `most` of each outcome and word."""
    stack = np.stack([h.truth for h in heads])
    index = np.array([i for _, i in at], np.int64)
    takes = {word: np.array([bool(facts.looks[i].kinds & HOSTS[word]) for _, i in at]) for word in HOSTS}
    for word, truth in table.items():
        fits = np.minimum(stack[:, None], truth[:, index].T[None])  # (heads, anchors, things)
        clear = ~(fits == MAYBE).any(2)
        number = (fits == TRUE).sum(2)
        # The anchor itself does not count: "the milk left of the milk" says nothing.
        others = (stack == TRUE).sum(1)[:, None] - (stack[:, index] == TRUE)
        clear &= (others > 0) & takes.get(word, np.ones(len(at), bool))[None]
        for outcome in (number == 0, number == 1, number > 1):
            rows = [(int(h), int(a)) for h, a in np.argwhere(clear & outcome)]
            if rng is not None:
                rows = rng.sample(rows, min(most, len(rows)))
            for h, a in rows:
                yield from _related(facts, heads[h], at[a][0], word, fits[h, a])


def _related(facts: Facts, head: Head, anchor: str, word: str, fits: Truth) -> Iterator[Claim]:
    meant = facts.ids(fits)
    filled = slots(head, a=anchor)
    anything = head.text in words.ANY
    if head.text == anchor:
        return
    if not meant:
        yield Claim("absent-relation", word, filled, (NOTHING,))
    elif len(meant) == 1:
        yield Claim("container" if word in CONTAINER else "relation", word, filled, (meant,))
        if anything and word in CONTAINER:
            yield Claim("container", f"everything {word}", {"a": anchor}, (meant,))
    elif anything:
        yield Claim("container" if word in CONTAINER else "all-of", f"everything {word}", {"a": anchor}, (meant,))
    elif has_plural(head):
        yield Claim("all-of", f"all {word}", filled, (meant,))


def holding(facts: Facts, heads: list[Head], at: list[Anchor], table: dict[str, Truth]) -> Iterator[Claim]:
    """ "the basket with the lemon in it", and what is not in it: "the can that is not in the basket"."""
    for text, i in at:
        for word, form in (("in", "holding"), ("on", "carrying")):
            holds = table[word][i]
            if not np.any(holds == TRUE):
                continue
            for head in heads:
                fits = both(head.truth, holds)
                if settled(fits) and np.count_nonzero(fits == TRUE) == 1 and head.text not in text:
                    yield Claim("container", form, slots(head, a=text), (facts.ids(fits),))
    for text, i in at:
        for word in CONTAINER:
            held = table[word][:, i]
            if not np.any(held == TRUE):
                continue
            for head in heads:
                rest = both(head.truth, negated(held))
                rest[i] = 0
                if settled(rest) and np.count_nonzero(rest == TRUE) == 1 and np.any(both(head.truth, held) == TRUE):
                    yield Claim("negation", f"not {word}", slots(head, a=text), (facts.ids(rest),))


def nearest(
    facts: Facts, heads: list[Head], at: list[Anchor], views: Views, rng: random.Random | None
) -> Iterator[Claim]:
    """ "the mug nearest to the milk", "farthest from"."""
    away = where.distances(views)
    if rng is not None and len(heads) > MOST_HEADS:
        heads = rng.sample(heads, MOST_HEADS)
    for head in heads:
        if head.count < 2:
            continue
        for text, i in at:
            truth = head.truth.copy()
            truth[i] = 0
            which = np.flatnonzero(truth == TRUE)
            if text == head.text or len(which) < 2 or not settled(truth):
                continue
            for form, sign in (("nearest to", 1), ("farthest from", -1)):
                found = where.first(sign * away[which, i], NEAREST_MARGIN_M)
                if found >= 0:
                    meant = frozenset([facts.things[which[found]].id])
                    yield Claim("relation", form, slots(head, a=text), (meant,))


def between(
    facts: Facts, heads: list[Head], at: list[Anchor], views: Views, rng: random.Random | None
) -> Iterator[Claim]:
    """ "the can between the mug and the bowl"."""
    pairs = [(a, b) for n, a in enumerate(at) for b in at[n + 1 :] if a[1] != b[1]]
    if rng is not None:
        pairs = rng.sample(pairs, min(MOST_PAIRS, len(pairs)))
    if not pairs or len(facts.things) < 3:
        return
    truth = where.between(views)
    stack = np.stack([h.truth for h in heads])
    for (a, i), (b, j) in pairs:
        fits = np.minimum(stack, truth[:, i, j])
        clear = ~(fits == MAYBE).any(1)
        number = (fits == TRUE).sum(1)
        free = ((stack == TRUE).sum(1) - (stack[:, [i, j]] == TRUE).sum(1)) > 0
        for outcome, kind in ((number == 1, "between"), (number == 0, "absent-relation")):
            rows = [int(h) for h in np.flatnonzero(clear & outcome & free)]
            for h in rng.sample(rows, min(2, len(rows))) if rng is not None else rows[:3]:
                yield Claim(kind, "between", slots(heads[h], a=a, b=b), (facts.ids(fits[h]),))
