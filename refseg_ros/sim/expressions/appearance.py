"""What may be said of one object: its names, colours, material and shape, each true, arguable or false."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from refseg_ros.sim.catalogue import CATALOGUE, COLOURS, CatalogueEntry
from refseg_ros.sim.expressions import words

FALSE, MAYBE, TRUE = 0, 1, 2
SHAPE_KEYS = ("block", "cylinder", "sphere", "prism", "parcel", "drum", "flask")
# What these are made of and look like, as one may say of the others.
FORM = {"parcel": ("block",), "drum": ("cylinder",), "flask": ("bottle", "cylinder")}
KEEPS_ITS_NAME = frozenset(
    ["bowl", "ramekin", "plate", "mug", "moka pot", "frying pan", "book", "basket", "tray", "wine bottle", "bottle"]
)


@dataclass(frozen=True)
class Appearance:
    """names: what it is surely called; maybe: what someone might call it; loose: names that hold where nothing fits
    them better. kinds: its key, noun and category. colours: surely; also: arguably. details: what follows the noun."""

    noun: str
    category: str
    names: frozenset[str]
    maybe: frozenset[str]
    loose: frozenset[str]
    kinds: frozenset[str]
    colours: tuple[str, ...]
    also: frozenset[str]
    two_tone: frozenset[str]
    details: tuple[str, ...]
    size_m: tuple[float, float, float] | None
    holds: str
    painted: bool

    def word(self, word: str) -> int:
        """Whether it is called so; MAYBE for loose names too."""
        if word in self.maybe or word in self.loose:
            return MAYBE
        return TRUE if word in self.names else FALSE

    def colour(self, colour: str) -> int:
        """Whether it has the colour."""
        if colour in self.colours:
            return TRUE
        near = words.NEAR_COLOURS[colour]
        return MAYBE if colour in self.also or near.intersection(self.colours) else FALSE

    def two_colours(self, pair: frozenset[str]) -> int:
        """Whether it has both colours and is mostly made up of them."""
        if pair == self.two_tone:
            return TRUE
        return min(self.colour(c) for c in pair) and MAYBE

    def made_of(self, material: str) -> int:
        """Whether it is made of the material."""
        sure, arguable = words.MATERIALS[material]
        found = _fits(self.kinds, sure, arguable)
        return MAYBE if self.painted and material != "wicker" else found

    def shaped(self, shape: str) -> int:
        """Whether it has the shape."""
        return _fits(self.kinds, *words.SHAPES[shape])

    def detail(self, detail: str) -> int:
        """Whether it has the detail; MAYBE for whatever shares the colour."""
        if detail in self.details:
            return TRUE
        colour = next((c for c in detail.replace("golden", "gold").split() if c in words.NEAR_COLOURS), "")
        return MAYBE if not colour or self.colour(colour) else FALSE


def _turned(entry: CatalogueEntry, dye: str) -> CatalogueEntry:
    """A catalogue object whose main colour is another one now: remains of the old one can be argued about."""
    first, *others = entry.colours
    also = {*entry.also, *entry.colours, *words.NEAR_COLOURS[dye]} - {dye, *others}
    two = tuple(dye if c == first else c for c in entry.two_tone) if first in entry.two_tone else ()
    return replace(entry, colours=(dye, *others), also=tuple(sorted(also)), two_tone=two if len(set(two)) == 2 else ())


def _fits(kinds: frozenset[str], sure: str, arguable: str) -> int:
    """The most particular kind decides: a soda can is a can, but may be no tin."""
    if kinds & set(arguable.split("|")):
        return MAYBE
    return TRUE if kinds & set(sure.split("|")) else FALSE


@lru_cache(maxsize=4096)
def appearance(key: str, paint: str = "", colour_told: bool = True, dye: str = "") -> Appearance:
    """Of a catalogue object as it is, or painted over with one colour, or dyed; or of a shape without a name.

    colour_told False: in a light in which all its colours can be argued about.
    Raises KeyError for a key that is neither in the catalogue nor "shape:" with one of SHAPE_KEYS.
    """
    if not colour_told:
        look = appearance(key, paint, dye=dye)
        near = {n for c in look.colours for n in words.NEAR_COLOURS[c]}
        return replace(look, colours=(), also=look.also | near | set(look.colours), two_tone=frozenset(), details=())
    if key.startswith("shape:"):
        kind = key.removeprefix("shape:")
        if kind not in SHAPE_KEYS:
            raise KeyError(f"{key}: shapes are {', '.join(SHAPE_KEYS)}")
        any_colour = frozenset() if paint else frozenset([*COLOURS, "gold", "silver", "beige"])
        return Appearance(
            "object", "object", frozenset(words.ANY), frozenset(words.ARGUABLE[kind]), frozenset(),
            frozenset(FORM.get(kind, (kind,))), (paint,) if paint else (), any_colour, frozenset(), (), None, "",
            bool(paint),
        )  # fmt: skip
    entry = _turned(CATALOGUE[key], dye) if dye else CATALOGUE[key]
    noun = entry.category if paint and entry.noun not in KEEPS_ITS_NAME else entry.noun
    kinds = frozenset([key, noun, entry.category])
    names: set[str] = {noun, entry.category, *words.ANY, *words.SYNONYMS.get(noun, ())}
    names.update(words.CATEGORY_WORDS.get(entry.category, ()))
    maybe = {w for kind in (noun, entry.category) for w in words.ARGUABLE.get(kind, ())}
    for word, (sure, arguable) in words.GROUPS.items():
        if kinds & set(sure.split("|")):
            names.add(word)
        elif kinds & set(arguable.split("|")):
            maybe.add(word)
    if paint and noun != entry.noun:  # a painted milk carton may still be called milk
        maybe |= {entry.noun, *words.SYNONYMS.get(entry.noun, ())}
        maybe |= {w for w, (sure, _) in words.GROUPS.items() if entry.noun in sure.split("|")}
    loose = {w for kind in (key, noun) for w in words.LOOSE.get(kind, ())}
    width, depth, height = (s / 1000 for s in entry.size_mm)
    return Appearance(
        noun, entry.category, frozenset(names), frozenset(maybe - {noun}), frozenset(loose), kinds,
        (paint,) if paint else entry.colours, frozenset() if paint else frozenset(entry.also),
        frozenset() if paint else frozenset(entry.two_tone), () if paint or dye else words.DETAILS.get(key, ()),
        (width, depth, height), entry.holds, bool(paint),
    )  # fmt: skip
