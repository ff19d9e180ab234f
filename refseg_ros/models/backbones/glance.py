"""A glance: one attention from words to the places of the picture, without positions, between a decoder's layers.

What a phrase means is found by comparing its state with those at the image tokens. A decoder that has to write where
that is needs the outcome of the comparison in its states before its last layers: they turn places into digits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Glance(nn.Module):
    """In the place of a decoder layer. reach: channels that are compared; fold: each image token stands for
    fold x fold places. index: of its layer in the cache, where the image's keys and values stand.

    A place's weight is a softmax over scaled cosines, with one more place that has nothing to say and a logit of 0.
    """

    def __init__(self, width: int, reach: int, fold: int, index: int) -> None:
        super().__init__()
        self.reach, self.fold, self.index = reach, fold, index
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.query = nn.Linear(width, reach)
        self.key = nn.Linear(width, fold**2 * reach)
        self.value = nn.Linear(width, fold**2 * width)
        self.out = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(
        self, hidden_states: Tensor, *, image_tokens: int = 0, past_key_values: Any = None, **_others: Any
    ) -> Tensor:
        """hidden_states (n, t, c) -> the same. image_tokens: how many stand before the words; 0 where they were read
        in a pass before, into the cache."""
        states = self.norm(hidden_states)
        kept = None if image_tokens or past_key_values is None else past_key_values.layers[self.index]
        if image_tokens:
            image = states[:, :image_tokens]
            keys, values = self.key(image)[:, None], self.value(image)[:, None]
            if past_key_values is not None:
                past_key_values.update(keys, values, self.index)
        elif kept is not None and kept.keys is not None:
            keys, values = kept.keys, kept.values
        else:
            return hidden_states  # no picture
        if image_tokens == hidden_states.shape[1]:
            return hidden_states
        seen = self._seen(states[:, image_tokens:], keys, values)
        return hidden_states + F.pad(self.out(seen.to(hidden_states.dtype)), (0, 0, image_tokens, 0))

    def _seen(self, words_ntc: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(n, t, c). keys (n, 1, l, fold^2 reach), values (n, 1, l, fold^2 c): of the image tokens."""
        places = keys.unflatten(-1, (self.fold**2, self.reach)).flatten(1, 3)
        looks = F.normalize(self.query(words_ntc).float(), dim=-1) @ F.normalize(places.float(), dim=-1).transpose(1, 2)
        logits = self.log_scale.exp() * looks + self.bias
        weights = F.pad(logits, (0, 1)).softmax(-1)[..., :-1]
        return weights @ values.unflatten(-1, (self.fold**2, -1)).flatten(1, 3).float()
