"""All claims of a scene, put into words that core.instruction reads as they are meant."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from refseg_ros.core import lexicon
from refseg_ros.core.instruction import parse
from refseg_ros.sim.expressions import absent, claims, relating, wording
from refseg_ros.sim.expressions.facts import MAYBE, Facts, Head
from refseg_ros.sim.expressions.heads import heads as all_heads
from refseg_ros.sim.expressions.types import Claim, Expression, Ids, Mentions
from refseg_ros.sim.expressions.views import Views
from refseg_ros.sim.expressions.views import relations as relation_table
from refseg_ros.sim.scene import Scene

PER_RELATION = 12  # of each word and outcome, before the types are evened out
Single = tuple[str, Ids]


def expressions(
    scene: Scene, rng: random.Random | None = None, most: int | None = None, heard: bool = True
) -> tuple[Expression, ...]:
    """What can be said of a scene, without repeats, in an order that only the scene and the generator determine.

    Without a generator: everything in plain words. With one: synonyms, varied wordings and courtesies, at most `most`
    expressions of each type. Every label holds by a margin; what could be argued about is not said. heard: read each
    text with core.instruction as well and insist that it says what is meant, which takes half of the time.
    """
    facts = Facts.of(scene)
    if not facts.things:
        return ()
    views = Views.of(scene, facts)
    found = all_heads(facts, rng)
    by_text = {head.text: head for head in found}
    said: dict[str, Expression] = {}
    made: dict[str, int] = {}
    for claim in _drawn(_claims(facts, views, found, rng), rng, most):
        if most is not None and made.get(claim.type, 0) >= most:
            continue
        expression = _worded(claim, rng, heard)
        if expression.text not in said:
            said[expression.text] = replace(expression, mentions=_mentions(facts, claim, by_text))
            made[claim.type] = made.get(claim.type, 0) + 1
    return tuple(said.values())


def _mentions(facts: Facts, claim: Claim, heads: dict[str, Head]) -> Mentions | None:
    """What the claim's slots x, a and b fit; None where one of them fits nothing that is known, or phrases are many."""
    if len(claim.targets) != 1:
        return None
    at: list[Ids] = []
    for slot in ("a", "b"):
        if slot in claim.slots:
            anchor = heads.get(claim.slots[slot])
            if anchor is None:
                return None
            at.append(facts.ids(anchor.truth))
    anchors = frozenset().union(*at)
    if claim.type in ("absent-name", "absent-oov"):
        return Mentions(frozenset(), anchors)
    head = heads.get(claim.slots.get("x", ""))
    if head is None:
        return None
    arguable = frozenset(facts.things[i].id for i in np.flatnonzero(head.truth == MAYBE))
    return Mentions(facts.ids(head.truth), anchors, arguable)


def _claims(facts: Facts, views: Views, found: list[Head], rng: random.Random | None) -> Iterator[Claim]:
    singles: list[Single] = []
    absents: list[str] = []
    for claim in claims.plain(facts, found):
        if claim.type in ("name", "attribute"):
            singles.append(("the " + claim.slots["x"], claim.targets[0]))
        yield claim
    yield from claims.superlatives(facts, found, views)
    if len(facts.things) > 1 and found:
        table = relation_table(facts, views)
        at = relating.anchors(facts, found, rng)
        if at:
            yield from relating.relations(facts, found, at, table, rng, PER_RELATION)
            yield from relating.holding(facts, found, at, table)
            yield from relating.nearest(facts, found, at, views, rng)
            yield from relating.between(facts, found, at, views, rng)
    if found:
        yield from claims.counts(facts, found)
        yield from claims.ordinals(facts, found, views)
        yield from claims.negations(facts, found, rng)
        yield from claims.described(facts, found, rng)
    for claim in absent.absent(facts, found, rng):
        if claim.form == "the" and claim.type == "absent-name":
            absents.append("the " + claim.slots["x"])
        yield claim
    yield from _lists(singles, absents, found, rng)


def _lists(
    singles: list[Single], absents: list[str], heads: list[Head], rng: random.Random | None
) -> Iterator[Claim]:
    """Pairs, lists of three, and one thing that is there beside one that is not."""
    if rng is None:
        pairs: Iterable[tuple[Single, Single]] = combinations(singles, 2)
        triples: Iterable[tuple[Single, ...]] = [singles[i : i + 3] for i in range(0, len(singles) - 2, 3)]  # type: ignore[misc]
    else:
        pairs = [tuple(rng.sample(singles, 2)) for _ in range(60 if len(singles) > 1 else 0)]  # type: ignore[misc]
        triples = [tuple(rng.sample(singles, 3)) for _ in range(30 if len(singles) > 2 else 0)]
    for (w, a), (v, b) in pairs:
        if a != b:
            yield Claim("pair", "pair", {"w": w, "v": v}, (a, b))
    for (w, a), (v, b), (u, c) in triples:
        if len({a, b, c}) == 3:
            yield Claim("list", "list", {"w": w, "v": v, "u": u}, (a, b, c))
    for k, (w, a) in enumerate(singles[:20]):
        if absents:
            v = absents[k % len(absents)] if rng is None else rng.choice(absents)
            yield Claim("half-absent", "pair", {"w": w, "v": v}, (a, claims.NOTHING))
    yield from _shared(singles, heads)


def _shared(singles: list[Single], heads: list[Head]) -> Iterator[Claim]:
    """ "the red and the blue mug": one noun for two."""
    unique = [h for h in heads if h.kind == "attribute" and h.unique and h.text.endswith(" " + h.word)]
    meant = dict(singles)
    for g, h in combinations(unique, 2):
        a, b = meant["the " + g.text], meant["the " + h.text]
        colours = (g.text.removesuffix(" " + g.word), h.text.removesuffix(" " + h.word))
        if g.word == h.word and a != b and lexicon.COLOURS.issuperset(colours) and " of " not in g.word:
            yield Claim("pair", "shared", {"c": colours[0], "d": colours[1], "x": g.word}, (a, b))


def _drawn(all_claims: Iterator[Claim], rng: random.Random | None, most: int | None) -> list[Claim]:
    """In a random order with a generator, so that `most` of a type are any of them."""
    listed = list(all_claims)
    if rng is not None:
        rng.shuffle(listed)
        if most is not None:  # forms of one type take turns: plain relations would crowd out "under"
            turn: dict[tuple[str, str], int] = {}
            order = []
            for claim in listed:
                key = (claim.type, claim.form)
                turn[key] = turn.get(key, 0) + 1
                order.append(turn[key])
            listed = [c for _, c in sorted(zip(order, listed, strict=True), key=lambda p: p[0])]
    return listed


def _worded(claim: Claim, rng: random.Random | None, heard: bool) -> Expression:
    """Raises AssertionError for words that the parser of instructions reads otherwise than they are meant."""
    said = wording.word(claim.form, claim.slots, rng)
    if rng is not None and (claim.type, claim.form) == ("pair", "pair") and rng.random() < 0.15:
        said = rng.choice(wording.PLACINGS).format(**claim.slots)
    text = wording.dress(said, rng) if rng is not None and len(claim.targets) == 1 else said
    meant = wording.phrases(claim.form, claim.slots, said)
    if not heard and claim.form not in wording.EXCLUDING:
        return Expression(text, claim.type, meant, claim.targets, claim.expect)
    read = parse(text)
    wanted, excluded = (tuple(p.text for p in read if p.negated is n) for n in (False, True))
    whole = wanted == meant and len(wanted) == len(claim.targets)
    if claim.form in wording.EXCLUDING:
        without = claim.slots.get("a") or f"{claim.slots['c']} {claim.slots['word']}"
        whole = len(wanted) == 1 and excluded == (f"the {without}",)
    if not whole or bool(excluded) != (claim.form in wording.EXCLUDING):
        raise AssertionError(f"{text!r} is read as {wanted}, not {excluded}; it means {claim}")
    return Expression(text, claim.type, wanted, claim.targets, claim.expect, excluded)
