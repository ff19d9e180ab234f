"""A matcher without learning: instances by their colour's name, their size and their place in the picture.

It takes the compact model's instance masks, so that a comparison says what the language part is worth. A noun means
nothing to it, but for a few whose colour everybody knows; what it has no word for, it ignores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refseg_ros.core.instruction import Number, Phrase
from refseg_ros.core.lexicon import CONTINUERS, COPULAS
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import Frame
from refseg_ros.models.baselines.colours import TERMS, shares, term_of

MOST_PIXELS = 4000
FITS = 0.4  # share of its pixels that a thing of a colour has in that colour
NO_IDEA = 0.6  # belief in a phrase without a word that can be checked
TYPICAL = {
    "milk": "white", "egg": "white", "lemon": "yellow", "banana": "yellow", "butter": "yellow", "mustard": "yellow",
    "tomato": "red", "ketchup": "red", "cherry": "red", "strawberry": "red", "lime": "green", "pea": "green",
    "peas": "green", "cucumber": "green", "chocolate": "brown", "coffee": "brown", "bread": "brown", "cookies": "brown",
    "carrot": "orange", "pumpkin": "orange",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Thing:
    """One instance. colour: shares by TERMS; x, y: its middle, area: its size, all as shares of the picture."""

    candidate: Candidate
    colour: np.ndarray
    x: float
    y: float
    area: float


# What comes first under each word. Nearer things stand lower in the picture, as seen from above the table.
ORDERS: dict[str, Callable[[Thing], float]] = {
    "left": lambda t: t.x, "leftmost": lambda t: t.x, "right": lambda t: -t.x, "rightmost": lambda t: -t.x,
    "nearest": lambda t: -t.y, "closest": lambda t: -t.y, "front": lambda t: -t.y, "bottom": lambda t: -t.y,
    "farthest": lambda t: t.y, "furthest": lambda t: t.y, "back": lambda t: t.y, "rear": lambda t: t.y,
    "top": lambda t: t.y,
    "largest": lambda t: -t.area, "biggest": lambda t: -t.area, "big": lambda t: -t.area, "large": lambda t: -t.area,
    "smallest": lambda t: t.area, "small": lambda t: t.area, "tiny": lambda t: t.area, "little": lambda t: t.area,
    "middle": lambda t: abs(t.x - 0.5), "central": lambda t: abs(t.x - 0.5), "centre": lambda t: abs(t.x - 0.5),
}  # fmt: skip


SIDE_WORDS = frozenset(
    ["on", "at", "to", "in", "the", "far", "left", "right", "front", "back", "middle", "centre", "side"]
)


class ColourNameModel:
    """Satisfies core.protocol.SegmentationModel. masks: a model whose encodings give candidates_of() its masks."""

    name = "colour-name"
    thresholds = Thresholds(accept=0.5, reject=0.3, instance=0.5)

    def __init__(self, masks: Any, candidates_of: Callable[[Any], Sequence[Candidate]]) -> None:
        self.device = masks.device
        self._masks, self._candidates_of = masks, candidates_of

    def encode(self, frame: Frame) -> list[Thing]:
        """Every instance with its colours, size and place."""
        return [_thing(c, frame) for c in self._candidates_of(self._masks.encode(frame))]

    def decode(self, encoded: list[Thing], phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        """The instances that bear the phrase's colour; of those, the one that its other words put first."""
        return [_decode(encoded, phrase) for phrase in phrases]

    def close(self) -> None:
        """Let go of the masks' model."""
        self._masks.close()


def _thing(candidate: Candidate, frame: Frame) -> Thing:
    rows, cols = np.nonzero(candidate.mask)
    (dx, dy), (width, height) = candidate.offset, frame.size
    pixels = frame.rgb[rows + dy, cols + dx]
    step = max(1, len(pixels) // MOST_PIXELS)
    return Thing(
        candidate, shares(pixels[::step]), (cols.mean() + dx) / width, (rows.mean() + dy) / height,
        len(rows) / (width * height),
    )  # fmt: skip


def _decode(things: list[Thing], phrase: Phrase) -> PhraseDecoding:
    if not things:
        return PhraseDecoding(0.0)
    words = _head(phrase.text)
    wanted = {term for w in words if (term := term_of(w) or TYPICAL.get(w))}
    fit = [max((float(t.colour[TERMS.index(c)]) for c in wanted), default=1.0) for t in things]
    belief = min(1.0, max(fit)) if wanted else NO_IDEA
    fits = [n for n in range(len(things)) if fit[n] >= FITS] or [int(np.argmax(fit))]
    order = next((ORDERS[w] for w in words if w in ORDERS), None)
    if order is not None:
        fits.sort(key=lambda n: order(things[n]))
    else:
        fits.sort(key=lambda n: -fit[n] * things[n].area)
    most = {Number.PLURAL: len(fits), Number.COUNT: phrase.count or 1}.get(phrase.number, 1)
    chosen = [things[n].candidate for n in fits[:most]]
    return PhraseDecoding(belief, tuple(Candidate(c.mask, c.offset, 0.9) for c in chosen))


def _head(text: str) -> list[str]:
    """The words before a relation to something else: "the red mug" of "the red mug left of the blue bowl"."""
    words = [w.strip(",.") for w in text.lower().split()]
    for n in range(1, len(words)):
        order = words[n] in ORDERS and words[n + 1 : n + 2] not in (["of"], ["from"], ["to"])
        if words[n] in CONTINUERS | COPULAS and not order and not SIDE_WORDS.issuperset(words[n:]):
            return words[:n]
    return words


def build(device: str, weights: Path | None) -> ColourNameModel:
    """The matcher on the masks of `compact`. weights: of `compact`. Raises RequestError as compact.build() does."""
    from refseg_ros.models import compact
    from refseg_ros.models.compact.model import Encoded, full_size

    def candidates(encoded: Encoded) -> list[Candidate]:
        found = (full_size(encoded, n) for n in range(len(encoded.masks)))
        return [c for c in found if c is not None]

    return ColourNameModel(compact.build(device, weights), candidates)
