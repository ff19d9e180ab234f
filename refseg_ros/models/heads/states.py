"""Which of a language model's states stand for a token: its own, or the one before it, which predicted it.

Layouts: n texts of t tokens with c channels; places: for each text the positions of the tokens that are meant.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def own(states_ntc: Tensor, places: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """States at the tokens themselves, text by text: (s, c), and whose text each is, long (s,)."""
    if len(states_ntc) != len(places):
        raise ValueError(f"there are states of {len(states_ntc)} texts and positions of {len(places)}")
    device, length = states_ntc.device, states_ntc.shape[1]
    outside = [place for each in places for place in each if not 0 <= place < length]
    if outside:
        raise ValueError(f"position {outside[0]} is outside a text of {length} states")
    rows = [n for n, each in enumerate(places) for _ in each]
    row_s = torch.tensor(rows, dtype=torch.long, device=device)
    at_s = torch.tensor([place for each in places for place in each], dtype=torch.long, device=device)
    return states_ntc[row_s, at_s], row_s


def predicting(states_ntc: Tensor, places: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """States from which the tokens were predicted, one position earlier: GSVA's and MLLMSeg's [SEG].

    In generation this is the state that the token was chosen from: a [SEG] need not be read to be drawn.
    """
    return own(states_ntc, [[place - 1 for place in each] for each in places])
