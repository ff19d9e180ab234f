"""What training never shows: nouns, noun-colour pairs and surfaces that only the test split has.

Training and validation scenes hold none of these objects, tints and surfaces, and no instruction there names them,
not even as absent. In the test split half of the scenes hold at least one of the objects.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.expressions import words
from refseg_ros.sim.expressions.types import Expression
from refseg_ros.sim.scene import Scene

NOUNS = ("popcorn", "salad dressing", "ramekin")
PAIRS = (
    ("ketchup", "green"), ("milk", "yellow"), ("mug", "blue"), ("bowl", "purple"), ("plate", "green"),
    ("book", "orange"),
)  # fmt: skip
SURFACES = ("brass-ambra", "dark_blue_wall", "green-wood", "marble_floor", "steel-brushed", "yellow-plaster")
NAMED = ("name", "attribute")


@cache
def held_out(key: str, paint: str = "") -> bool:
    """Whether training never shows this object in this colour."""
    entry = CATALOGUE.get(key)
    if entry is None:
        return False
    colours = (paint,) if paint else entry.colours
    return entry.noun in NOUNS or any((entry.noun, c) in PAIRS for c in colours)


def names(noun: str) -> tuple[str, ...]:
    """A noun and its synonyms."""
    return (noun, *words.SYNONYMS.get(noun, ()))


def speaks_of_held_out(text: str) -> bool:
    """Whether a text names a held-out noun, or says a held-out pair of one thing: "the green bottles of ketchup"."""
    padded = f" {text.lower()} "
    return any(f" {n}" in padded for noun in NOUNS for n in names(noun)) or bool(_paired().search(padded))


@cache
def _paired() -> re.Pattern[str]:
    """What says a held-out pair: "blue mug", "mugs that are blue", "the blue one of the mugs", "blue boxes of ..."."""
    said = []
    for noun, colour in PAIRS:
        n = _any_of((*names(noun), *words.CATEGORY_WORDS.get(noun, ()))) + "(?:e?s)?"
        c = _any_of(words.COLOUR_SYNONYMS.get(colour, (colour,)))
        said += [rf"{c}(?: and \w+)? {n}", rf"{c} \w+ of (?:the )?{n}"]
        said.append(rf"{n},? (?:that|which) (?:is|are) (?:\w+ and )?{c}")
    return re.compile(rf"\b(?:{'|'.join(said)})\b")


def _any_of(said: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(map(re.escape, said))})"


def fit_for_training(expression: Expression, scene: Scene) -> bool:
    """Whether an expression neither names anything held out nor means it: for scenes that show it all the same."""
    hidden = {o.id for o in scene.objects if held_out(o.key, o.paint or o.dye)}
    return not speaks_of_held_out(expression.text) and not any(hidden & t for t in expression.targets)


def retyped(expression: Expression, scene: Scene) -> Expression:
    """A name or attribute of one held-out thing under a type of its own.

    "held-out-noun": a thing of a noun never seen, called by a word that was; "held-out-name": called by the noun
    itself; "held-out-pair": noun and colour known, never together.
    """
    if expression.type not in NAMED or len(expression.targets) != 1 or len(expression.targets[0]) != 1:
        return expression
    (meant,) = (o for o in scene.objects if o.id in expression.targets[0])
    if not held_out(meant.key, meant.paint):
        return expression
    noun = CATALOGUE[meant.key].noun
    if noun not in NOUNS:
        # Without its colour it is called as many things in training are.
        hidden = (c for n, colour in PAIRS if n == noun for c in words.COLOUR_SYNONYMS.get(colour, (colour,)))
        coloured = any(re.search(rf"\b{re.escape(c)}\b", expression.text.lower()) for c in hidden)
        return replace(expression, type="held-out-pair") if coloured else expression
    return replace(expression, type="held-out-name" if speaks_of_held_out(expression.text) else "held-out-noun")
