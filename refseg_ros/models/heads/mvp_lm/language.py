"""What the language model says, as the head takes it: averaged states of phrases, and the state of <PER>."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_SCALE = 100.0


@dataclass(frozen=True, eq=False)
class Instruction:
    """Of B samples. phrases_bkc: averaged states of each phrase (a name of the word list, or the one sentence);
    there_bk: bool, False for padding; summary_bc: state of <PER>; stuff_bk: bool, which names are stuff, None for none
    of them. Every sample has at least one phrase."""

    phrases_bkc: Tensor
    there_bk: Tensor
    summary_bc: Tensor
    stuff_bk: Tensor | None = None


def average_spans(states_btc: Tensor, member_bkt: Tensor) -> Tensor:
    """Mean state over each phrase's tokens: (B, K, C). member_bkt: bool; a phrase without tokens gives zeros."""
    weight = member_bkt.to(states_btc.dtype)
    return weight @ states_btc / weight.sum(-1, keepdim=True).clamp(min=1)


class TextEmbedding(nn.Module):
    """Averaged states (B, K, C) -> the head's width (B, K, D)."""

    def __init__(self, language_width: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(language_width), nn.Linear(language_width, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, phrases_bkc: Tensor) -> Tensor:
        return self.net(phrases_bkc)


class Similarity(nn.Module):
    """How well a query or an image token fits a text: scaled cosine of MLP(query) and text, plus a bias.

    The bias starts low, since most queries fit nothing; the background is a text of its own, learned.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-2.0))
        self.background = nn.Parameter(torch.randn(width))

    def keys(self, queries_bqd: Tensor) -> Tensor:
        """Queries or tokens as texts are compared with them: of length 1."""
        return F.normalize(self.mlp(queries_bqd), dim=-1)

    def compare(self, keys_bqd: Tensor, text_bkd: Tensor) -> tuple[Tensor, Tensor]:
        """Logits with each text (B, Q, K) and with the background (B, Q)."""
        scale = self.log_scale.exp().clamp(max=MOST_SCALE)
        logits = scale * keys_bqd @ F.normalize(text_bkd, dim=-1).transpose(1, 2) + self.bias
        return logits, scale * keys_bqd @ F.normalize(self.background, dim=0) + self.bias
