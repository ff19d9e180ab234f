"""Everything that is so in a scene, in three values: FALSE, MAYBE (someone could argue) and TRUE.

A conjunction is the minimum, a negation 2 minus the value. What is hardly visible is never more than MAYBE, so that
nothing is claimed of all things of a kind when one of them is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from refseg_ros.sim.expressions.appearance import FALSE, MAYBE, TRUE, Appearance, appearance
from refseg_ros.sim.scene import Scene, SceneObject

# A thing smaller than this share of the image (60 pixels of 640 x 480) is neither a target nor surely absent.
MIN_SHARE = 60 / (640 * 480)
MIN_VISIBLE = 0.25
Truth = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Facts:
    """The things in view, in the scene's order, and what they are. sure: bool (N,), enough of it is visible.

    sizes: (N, 3) metres, width, depth and height as it stands or lies; NaN where unknown.
    """

    things: tuple[SceneObject, ...]
    looks: tuple[Appearance, ...]
    sure: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.float64]

    @staticmethod
    def of(scene: Scene) -> Facts:
        """The facts of a scene."""
        enough = MIN_SHARE * scene.instance_ids.size
        things = tuple(o for o in scene.objects if o.visible_px > 0)
        sure = np.array([o.visible_px >= enough and o.visible_fraction >= MIN_VISIBLE for o in things], bool)
        looks = tuple(appearance(o.key, o.paint, o.colour_told, o.dye) for o in things)
        unknown = (np.nan, np.nan, np.nan)
        sizes = np.array([o.size_m or look.size_m or unknown for o, look in zip(things, looks, strict=True)])
        return Facts(things, looks, sure, sizes.reshape(-1, 3))

    def ids(self, truth: Truth) -> frozenset[int]:
        """Ids of what is TRUE."""
        return frozenset(self.things[i].id for i in np.flatnonzero(truth == TRUE))

    def _each(self, values: list[int]) -> Truth:
        return np.minimum(np.array(values, np.int8), np.where(self.sure, TRUE, MAYBE)).astype(np.int8)

    def word(self, word: str) -> Truth:
        """What is called so. A loose name holds where nothing else in view has it for sure."""
        values = [look.word(word) for look in self.looks]
        if not any(v == TRUE or (v == MAYBE and word not in k.loose) for v, k in zip(values, self.looks, strict=True)):
            values = [TRUE if word in k.loose else v for v, k in zip(values, self.looks, strict=True)]
        return self._each(values)

    def all_of_word(self, words: list[str]) -> dict[str, Truth]:
        """word() for each word."""
        return {w: self.word(w) for w in words}

    def colour(self, colour: str) -> Truth:
        """What has the colour."""
        return np.array([look.colour(colour) for look in self.looks], np.int8)

    def two_colours(self, pair: frozenset[str]) -> Truth:
        """What is of these two colours."""
        return np.array([look.two_colours(pair) for look in self.looks], np.int8)

    def made_of(self, material: str) -> Truth:
        """What is made of it."""
        return np.array([look.made_of(material) for look in self.looks], np.int8)

    def shaped(self, shape: str) -> Truth:
        """What has the shape."""
        return np.array([look.shaped(shape) for look in self.looks], np.int8)

    def detail(self, detail: str) -> Truth:
        """What has the detail."""
        return np.array([look.detail(detail) for look in self.looks], np.int8)


def both(*truths: Truth) -> Truth:
    """Conjunction."""
    return np.minimum.reduce(truths)


def negated(truth: Truth) -> Truth:
    """Negation."""
    return (TRUE - truth).astype(np.int8)


def settled(truth: Truth) -> bool:
    """Whether nothing is arguable."""
    return not bool(np.any(truth == MAYBE))


@dataclass(frozen=True, eq=False)
class Head:
    """A noun phrase without article, and what it fits. word: its noun alone. kind: "name", "attribute" or "size"."""

    text: str
    plural: str
    word: str
    kind: str
    truth: Truth

    @property
    def count(self) -> int:
        """How many it surely fits."""
        return int(np.count_nonzero(self.truth == TRUE))

    @property
    def unique(self) -> bool:
        """Whether it fits exactly one thing, beyond doubt."""
        return self.count == 1 and settled(self.truth)

    def with_truth(self, truth: Truth) -> Head:
        """The same words for something else."""
        return replace(self, truth=truth)


__all__ = ["FALSE", "MAYBE", "TRUE", "Facts", "Head", "Truth", "both", "negated", "settled"]
