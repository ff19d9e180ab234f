"""What is done to instance tokens in training, so that what is read does not rest on how renderings look.

The maps' features of a photograph are unlike any rendering's, what the classifier says (Backbone.likeness) is not: in
some pictures that is all there is to read, besides colours. And the world holds more things than the simulator does:
what is like two named things at once has the name of neither.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from refseg_ros.models.compact.language import COLOURS, OWN
from refseg_ros.models.compact.tokens import GEOMETRY
from refseg_ros.sim.expressions import words
from refseg_ros.training.phrases import Asked
from refseg_ros.training.tokens import TokenSet

NO_DEPTH = slice(5, GEOMETRY)
FOREIGN, FOREIGN_THING = 0.25, 0.1  # share of pictures, and of things elsewhere, whose maps are not believed
UNLIKE = 100.0  # a value of theirs that is far from all that is usual
STRANGE = 0.25  # share of pictures in which one thing becomes a stranger
ANY = frozenset(words.ANY)


@dataclass(frozen=True, eq=False)
class Looks:
    """strangers: sets whose things are mixed into others."""

    strangers: list[TokenSet]

    @classmethod
    def of(cls, sets: list[list[TokenSet]]) -> Looks:
        """Of the true instances by scene, as tokens.true_tokens() gives them."""
        return cls([looks[0] for looks in sets if len(looks[0].owner)])

    def usual(self) -> Tensor:
        """What the maps say of things in training, (N, OWN - COLOURS)."""
        return torch.cat([s.look[:, COLOURS:OWN].float() for s in self.strangers])

    def varied(self, seen: TokenSet, rng: random.Random, no_depth: float) -> tuple[TokenSet, int | None]:
        """Another look at a scene, and the number of the thing that is a stranger in it, if one is.

        no_depth: share of the pictures that are seen without depth.
        """
        # A place that is 0 is one that is not known, and must stay so.
        place = seen.place + 0.004 * torch.randn(seen.place.shape) * (seen.place != 0)
        if rng.random() < no_depth:
            place[:, NO_DEPTH] = 0
        look = seen.look.float().clone()
        stranger = None
        if rng.random() < STRANGE:
            index = rng.randrange(len(look))
            other = rng.choice(self.strangers).look.float()
            share = rng.uniform(0.35, 0.65)
            look[index] = share * look[index] + (1 - share) * other[rng.randrange(len(other))]
            stranger = int(seen.owner[index])
        everything = rng.random() < FOREIGN
        silent = torch.ones(len(look), dtype=torch.bool) if everything else torch.rand(len(look)) < FOREIGN_THING
        look[silent, COLOURS:OWN] = UNLIKE
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
