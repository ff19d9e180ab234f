"""What is done to instance tokens in training, so that what is read does not rest on how renderings look.

The maps' features of a photograph are off from a rendering's, all of a picture's in a like manner; what the classifier
says (Backbone.likeness) is far less. And the world holds more things than the simulator has: what is like two named
things at once has neither's name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refseg_ros.models.compact.language import OWN
from refseg_ros.models.compact.tokens import GEOMETRY
from refseg_ros.sim.expressions import words
from refseg_ros.training.phrases import Asked
from refseg_ros.training.tokens import TokenSet

COLOURS = 6  # of a look: mean and spread, first
NO_DEPTH = slice(5, GEOMETRY)
FOREIGN = 0.3  # share of pictures whose maps are off, and by how many standard deviations: all alike, and each
OFF_ALIKE, OFF_EACH = 0.8, 0.5
UNKNOWN = 0.1  # share of pictures in which the classifier says nothing
STRANGE = 0.25  # share of pictures in which one thing becomes a stranger
ANY = frozenset(words.ANY)
MEASURED = 300  # scenes that the standard deviations come from


@dataclass(frozen=True, eq=False)
class Looks:
    """deviation (OWN - COLOURS,): of the maps' features over things; strangers: sets whose things are mixed in."""

    deviation: Tensor
    strangers: list[TokenSet]

    @classmethod
    def of(cls, sets: list[list[TokenSet]]) -> Looks:
        """Of the true instances by scene, as tokens.true_tokens() gives them."""
        shown = [looks[0] for looks in sets if len(looks[0].owner)]
        features = torch.cat([s.look[:, COLOURS:OWN].float() for s in shown[:MEASURED]])
        return cls(features.std(0, correction=0), shown)

    def varied(self, seen: TokenSet, rng: random.Random, no_depth: float) -> tuple[TokenSet, int | None]:
        """Another look at a scene, and the number of the thing that is a stranger in it, if one is.

        no_depth: share of the pictures that are seen without depth.
        """
        # A place that is 0 is one that is not known, and must stay so.
        place = seen.place + 0.004 * torch.randn(seen.place.shape) * (seen.place != 0)
        if rng.random() < no_depth:
            place[:, NO_DEPTH] = 0
        look = seen.look.float() * (1 + 0.05 * torch.randn(seen.look.shape))
        stranger = None
        if rng.random() < STRANGE:
            index = rng.randrange(len(look))
            other = rng.choice(self.strangers).look.float()
            share = rng.uniform(0.35, 0.65)
            look[index] = share * look[index] + (1 - share) * other[rng.randrange(len(other))]
            stranger = int(seen.owner[index])
        if rng.random() < FOREIGN:
            alike, each = torch.randn(1, len(self.deviation)), torch.randn(len(look), len(self.deviation))
            look[:, COLOURS:OWN] += (OFF_ALIKE * alike + OFF_EACH * each) * self.deviation
        if rng.random() < UNKNOWN:
            look[:, OWN:] = 0
        return TokenSet(look, place, seen.owner), stranger if stranger != -1 else None


def as_asked(asked: Asked, stranger: int | None) -> Asked | None:
    """What a phrase means where one thing is a stranger: the same where it is not about that thing, nothing where it is
    that thing's name, and None where nobody could say."""
    if stranger is None:
        return asked
    named = asked.type == "name" and not ANY & set(asked.text.split())
    if asked.targets == {stranger} and named:
        return replace(asked, targets=frozenset(), named=None, anchors=frozenset(), arguable=frozenset())
    if asked.named is None and asked.targets and not named:
        return None
    about = asked.targets | (asked.named or frozenset()) | asked.anchors | asked.arguable
    return None if stranger in about else asked
