"""What a decoder gets that has to say where things are: after its layers a glance at the picture, between new layers.

What a phrase means is found by comparing its state with those at the image tokens. A decoder that has to write where
that is needs the outcome of the comparison in its states before its last layers: they turn places into digits. States
at the image tokens keep their own place roughly only, so a glance says it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.backbones.geometry import Size

FREQUENCIES = 8


class GlanceStack(nn.Module):
    """In the place of one more decoder layer: a layer in which words hear what they are about (a box's digits their
    phrase), the glance, and layers that say where that is.

    It first brings states back to a mean square of one: those of a decoder that is trained already are so long that
    nothing new could be heard beside them, and the norms of all that follows know no length.
    """

    def __init__(self, hear: nn.Module, glance: Glance, say: Sequence[nn.Module]) -> None:
        super().__init__()
        self.hear, self.glance, self.say = hear, glance, nn.ModuleList(say)

    def forward(self, hidden_states: Tensor, *, image_grid: Size | None = None, **others: Any) -> Tensor:
        """hidden_states (n, t, c) -> the same. image_grid: as Glance takes it; others: as decoder layers take them."""
        hidden_states = self.hear(F.rms_norm(hidden_states, hidden_states.shape[-1:]), **others)
        hidden_states = self.glance(hidden_states, image_grid, others.get("past_key_values"))
        for layer in self.say:
            hidden_states = layer(hidden_states, **others)
        return hidden_states


class Glance(nn.Module):
    """One attention from words to the places of the picture, without positions. reach: channels that are compared;
    fold: each image token stands for fold x fold places; across: image tokens along a long side. index: of its layer
    in the cache, where the image's keys and values stand.

    A place's weight is a softmax over scaled cosines. One more place has a logit of 0 and stands for "nowhere": its
    weight says how much of `nowhere` is heard, and takes nothing from what the others say.
    """

    def __init__(self, width: int, reach: int, fold: int, across: int, index: int) -> None:
        super().__init__()
        self.reach, self.fold, self.across, self.index = reach, fold, across, index
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.query = nn.Linear(width, reach)
        self.key = nn.Linear(width, fold**2 * reach)
        self.value = nn.Linear(width, fold**2 * width)
        self.place = nn.Linear(4 * FREQUENCIES, width)
        nn.init.normal_(self.place.weight, std=0.5)  # where it is, before all
        self.nowhere = nn.Parameter(torch.zeros(width))
        self.out = nn.Linear(width, width)
        self.logits: Tensor | None = None  # in training: of the last pass, (n, words, places)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, hidden_states: Tensor, image_grid: Size | None = None, past_key_values: Any = None) -> Tensor:
        """hidden_states (n, t, c) -> the same. image_grid: (rows, columns) of the image tokens that stand first; None
        where they were read in a pass before, into the cache."""
        self.logits = None
        tokens = 0 if image_grid is None else image_grid[0] * image_grid[1]
        states = self.norm(hidden_states)
        if image_grid is not None:
            keys, values = self.key(states[:, :tokens])[:, None], self._values(states[:, :tokens], image_grid)[:, None]
            if past_key_values is not None:
                past_key_values.update(keys, values, self.index)
        else:
            layers = [] if past_key_values is None else past_key_values.layers
            kept = layers[self.index] if self.index < len(layers) else None
            if kept is None or kept.keys is None:
                return hidden_states  # no picture
            keys, values = kept.keys, kept.values
        if tokens == hidden_states.shape[1]:
            return hidden_states
        seen = self._seen(states[:, tokens:], keys, values)
        return hidden_states + F.pad(self.out(seen.to(hidden_states.dtype)), (0, 0, tokens, 0))

    def looks(self, grid: Size) -> Tensor | None:
        """In training: how much each word of the last pass looked at each place, logits (n, words, fold rows,
        fold columns); None where it read no words after a picture. grid: (rows, columns) of the image tokens."""
        if self.logits is None:
            return None
        places = self.logits.unflatten(2, (*grid, self.fold, self.fold))
        return places.transpose(3, 4).flatten(4, 5).flatten(2, 3)

    def _values(self, image_nlc: Tensor, grid: Size) -> Tensor:
        """(n, l, fold^2 c): what each place has to say, with where it is."""
        rows, columns = grid
        places = where((rows * self.fold, columns * self.fold), self.across * self.fold).to(image_nlc)
        folded = places.unflatten(0, (rows, self.fold, columns, self.fold)).transpose(1, 2)
        return self.value(image_nlc) + self.place(folded.flatten(0, 1).flatten(1, 2)).flatten(1)

    def _seen(self, words_ntc: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(n, t, c). keys (n, 1, l, fold^2 reach), values (n, 1, l, fold^2 c): of the image tokens."""
        places = keys.unflatten(-1, (self.fold**2, self.reach)).flatten(1, 3)
        looks = F.normalize(self.query(words_ntc).float(), dim=-1) @ F.normalize(places.float(), dim=-1).transpose(1, 2)
        logits = self.log_scale.exp() * looks + self.bias
        if self.training:
            self.logits = logits
        heard = logits.softmax(-1) @ values.unflatten(-1, (self.fold**2, -1)).flatten(1, 3).float()
        return heard + torch.sigmoid(-logits.logsumexp(-1, keepdim=True)) * self.nowhere


def where(grid: Size, unit: int) -> Tensor:
    """(l, 32): sines and cosines of each cell's centre, in shares of `unit` cells, at eight frequencies."""
    y, x = ((torch.arange(n) + 0.5) / unit for n in grid)
    places = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1)
    angles = places[..., None] * torch.pi * 2.0 ** torch.arange(FREQUENCIES)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
