"""Claims about what is not there: other names, words that no object has, colours and materials that nothing has."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from refseg_ros.sim.catalogue import COLOURS, nouns
from refseg_ros.sim.expressions import words
from refseg_ros.sim.expressions.claims import NOTHING, none_of
from refseg_ros.sim.expressions.facts import Facts, Head, both, settled
from refseg_ros.sim.expressions.heads import bare, coloured, is_kind
from refseg_ros.sim.expressions.oov import OUT_OF_VOCABULARY
from refseg_ros.sim.expressions.types import Claim

SMALL_WORDS = frozenset({"of", "and", "a", "the", "box", "bottle", "can", "carton"})


def absent(facts: Facts, heads: list[Head], rng: random.Random | None) -> Iterator[Claim]:
    """All kinds; without a generator the plain nouns and colours, and a few of the words outside the vocabulary."""
    yield from _names(facts, rng)
    yield from _unknown(heads, rng)
    yield from _attributes(facts, heads, rng)


def _names(facts: Facts, rng: random.Random | None) -> Iterator[Claim]:
    # "the tomato sauce" is not surely absent beside tomato ketchup: no word may be shared.
    taken = {part for look in facts.looks for name in look.names | look.maybe | look.loose for part in name.split(" ")}
    known = {noun: (noun, *words.SYNONYMS.get(noun, ())) for noun in nouns()}
    for noun, names in known.items():
        if taken.intersection(noun.split(" ")) - SMALL_WORDS or noun in taken:
            continue
        for name in names if rng is None else rng.sample(names, min(2, len(names))):
            head = bare(facts, name)
            if not none_of(head) or name in taken or taken.intersection(name.split(" ")) - SMALL_WORDS:
                continue
            if rng is None:
                if name == noun:
                    yield Claim("absent-name", "the", {"x": name}, (NOTHING,))
                continue
            yield Claim("absent-name", "the", {"x": name}, (NOTHING,))
            if rng.random() < 0.3:
                yield Claim("absent-name", "the", {"x": f"{rng.choice(COLOURS)} {name}"}, (NOTHING,))
            if rng.random() < 0.15:
                yield Claim("absent-name", "all so", {"x": name, "xs": words.plural(name)}, (NOTHING,))


def _unknown(heads: list[Head], rng: random.Random | None) -> Iterator[Claim]:
    places = [h.text for h in heads if h.unique and h.text not in words.ANY]
    chosen = OUT_OF_VOCABULARY[:10] if rng is None else rng.sample(OUT_OF_VOCABULARY, 30)
    for name in chosen:
        if rng is None or (dice := rng.random()) < 0.65:
            yield Claim("absent-oov", "the", {"x": name}, (NOTHING,))
        elif dice < 0.8:
            yield Claim("absent-oov", "the", {"x": f"{rng.choice(COLOURS)} {name}"}, (NOTHING,))
        elif places and dice < 0.95:
            form = rng.choice(("left", "right", "behind", "front", "next"))
            yield Claim("absent-oov", form, {"x": name, "xs": name, "a": rng.choice(places)}, (NOTHING,))
        else:
            form = rng.choice(("leftmost", "rightmost", "biggest", "nearest"))
            yield Claim("absent-oov", form, {"x": name, "xs": words.plural(name)}, (NOTHING,))


def _attributes(facts: Facts, heads: list[Head], rng: random.Random | None) -> Iterator[Claim]:
    for head in heads:
        if head.kind != "name":
            continue
        # All of a kind must be known: beside one that is hardly visible nothing is said.
        for colour in COLOURS if rng is None else rng.sample(COLOURS, 6):
            one = coloured(facts, colour, head.word, head.truth, rng)
            if none_of(one):
                yield Claim("absent-attribute", "the", {"x": one.text}, (NOTHING,))
        if rng is None:
            continue
        for material in words.MATERIALS if is_kind(head.word) else ():
            if not np.any(both(head.truth, facts.made_of(material))) and material not in head.word:
                yield Claim("absent-attribute", "the", {"x": f"{material} {head.word}"}, (NOTHING,))
        if head.count == 1 and settled(head.truth):
            colour = rng.choice(COLOURS)
            if none_of(coloured(facts, colour, head.word, head.truth, rng)):
                filled = {"x": head.text, "xs": head.plural, "c": colour}
                form = rng.choice(("which is", "which is", "all so"))
                if form == "all so":
                    filled = {"x": f"{colour} {head.text}", "xs": f"{colour} {head.plural}"}
                yield Claim("absent-attribute", form, filled, (NOTHING,))
