"""The noun phrases that fit something in view: names, colours, materials, shapes, details and sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.expressions import words
from refseg_ros.sim.expressions.appearance import KEEPS_ITS_NAME
from refseg_ros.sim.expressions.facts import FALSE, TRUE, Facts, Head, Truth, both, settled

BIGGER, TALLER, TALLER_M, UPRIGHT = 1.6, 1.25, 0.02, 0.15
SIZES = {
    "big": ("big", "large", "bigger", "larger"),
    "small": ("small", "little", "smaller"),
    "tall": ("tall", "taller"),
    "short": ("short", "shorter"),
}


def heads(facts: Facts, rng: random.Random | None) -> list[Head]:
    """Distinct heads that surely fit something, in a fixed order. Without a generator: nouns, categories and plain
    words only, which is what a test or a demo wants; with one: synonyms and varied words."""
    found: dict[str, Head] = {}
    for head in [*_named(facts, rng), *_any(facts, rng)]:
        found.setdefault(head.text, head)
    for head in [*found.values()]:
        for sized in _sized(facts, head, rng):
            found.setdefault(sized.text, sized)
    return [h for h in found.values() if h.count]


def _pick(choices: tuple[str, ...], rng: random.Random | None) -> str:
    return choices[0] if rng is None else rng.choice(choices)


def coloured(facts: Facts, colour: str, word: str, truth: Truth, rng: random.Random | None) -> Head:
    """ "red mug"."""
    said = _pick(words.COLOUR_SYNONYMS.get(colour, (colour,)), rng)
    text = f"{said} {word}"
    return Head(text, words.plural(text), word, "attribute", both(truth, facts.colour(colour)))


def bare(facts: Facts, word: str) -> Head:
    """ "mug"."""
    return Head(word, words.plural(word), word, "name", facts.word(word))


def _named(facts: Facts, rng: random.Random | None) -> Iterator[Head]:
    for i in np.flatnonzero(facts.sure):
        look = facts.looks[i]
        if look.noun == "object":
            continue
        names = sorted({look.noun, look.category} - look.maybe)
        if rng is not None:
            others = sorted(look.names - {*names, *words.ANY} - look.maybe)
            names += rng.sample(others, min(1, len(others)))
        for word in names:
            head = bare(facts, word)
            yield head
            for colour in look.colours:
                yield coloured(facts, colour, word, head.truth, rng)
            if len(look.two_tone) == 2:
                yield _two_tone(facts, look.two_tone, head, rng)
            if look.details:
                detail = _pick(look.details, rng)
                text = f"{word} {detail}"
                yield Head(text, words.plural(text), word, "attribute", both(head.truth, facts.detail(detail)))
            for material in words.MATERIALS:
                if look.made_of(material) == TRUE and material not in word and is_kind(word):
                    yield _with(material, head, facts.made_of(material))


def is_kind(word: str) -> bool:
    """Whether a word says what kind of thing it is, not what is in it: nobody says "metal alphabet soup"."""
    kinds = {entry.category for entry in CATALOGUE.values()} - {"food"}
    return word in kinds | KEEPS_ITS_NAME or any(word in v for k, v in words.CATEGORY_WORDS.items())


def _two_tone(facts: Facts, pair: frozenset[str], head: Head, rng: random.Random | None) -> Head:
    colours = sorted(pair)
    if rng is not None:
        rng.shuffle(colours)
    return _with(" and ".join(colours), head, facts.two_colours(pair))


def _with(adjective: str, head: Head, truth: Truth) -> Head:
    text = f"{adjective} {head.text}"
    return Head(text, words.plural(text), head.word, "attribute", both(head.truth, truth))


def _any(facts: Facts, rng: random.Random | None) -> Iterator[Head]:
    """ "object", "red thing", "wooden item", "round object"."""
    head = bare(facts, _pick(words.ANY, rng))
    yield head
    sure = [look for look, s in zip(facts.looks, facts.sure, strict=True) if s]
    for colour in sorted({c for look in sure for c in look.colours}):
        yield coloured(facts, colour, head.word, head.truth, rng)
    for material in words.MATERIALS:
        if any(look.made_of(material) == TRUE for look in sure):
            yield _with(material, head, facts.made_of(material))
    for shape in words.SHAPES:
        if any(look.shaped(shape) == TRUE for look in sure):
            yield _with(shape, head, facts.shaped(shape))


def _sized(facts: Facts, head: Head, rng: random.Random | None) -> Iterator[Head]:
    """ "big mug" where one of several is big beyond doubt."""
    if head.kind != "name" or head.word in words.ANY or head.count < 2 or not settled(head.truth):
        return
    which = np.flatnonzero(head.truth == TRUE)
    for size, index in sizes(facts, which).items():
        if size in ("tall", "short") and not _standing(facts, which):
            continue  # what lies down is no short one
        said = _pick(SIZES[size], rng)
        if said.endswith("er") and said != "smaller" and head.count > 2:
            said = size  # "the taller mug" is one of two
        truth = np.full(len(facts.things), FALSE, np.int8)
        truth[index] = TRUE
        text = f"{said} {head.text}"
        yield Head(text, words.plural(text), head.word, "size", truth)


def _standing(facts: Facts, which: np.ndarray) -> bool:
    """Whether all of the things are as high as they are made."""
    made = np.array([(facts.looks[i].size_m or (np.nan,) * 3)[2] for i in which])
    return bool(np.all(np.abs(facts.sizes[which, 2] / made - 1) < UPRIGHT))


def sizes(facts: Facts, which: np.ndarray) -> dict[str, int]:
    """Of two or more things, which is the big, small, tall or short one by a clear margin. Empty where unknown."""
    size = facts.sizes[which]
    if np.isnan(size).any():
        return {}
    out = {}
    volume, length = size.prod(1), size.max(1)
    order = np.argsort(volume)
    if volume[order[-1]] > BIGGER * volume[order[-2]] and length[order[-1]] == length.max():
        out["big"] = int(which[order[-1]])
    if volume[order[0]] * BIGGER < volume[order[1]] and length[order[0]] == length.min():
        out["small"] = int(which[order[0]])
    height = size[:, 2]
    order = np.argsort(height)
    highest, second, lowest, next_lowest = height[order[[-1, -2, 0, 1]]]
    if highest > TALLER * second and highest - second > TALLER_M:
        out["tall"] = int(which[order[-1]])
    if lowest * TALLER < next_lowest and next_lowest - lowest > TALLER_M:
        out["short"] = int(which[order[0]])
    return out
