"""Detail-enhanced and semantic-consistent feature fusion (DSFF): the ViT's detail, the language model's semantics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.mllmseg.config import MLLMSegConfig
from refseg_ros.models.heads.mllmseg.dysample import DySample
from refseg_ros.models.heads.raster import folded_channels, gathered


class DecoderLayer(nn.Module):
    """One post-norm transformer decoder layer and a last norm."""

    def __init__(self, config: MLLMSegConfig) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(
            config.width, config.heads, config.feedforward, config.dropout, batch_first=True
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens_btd: Tensor, memory_bmd: Tensor) -> Tensor:
        return self.norm(self.layer(tokens_btd, memory_bmd))


class FeatureFusion(nn.Module):
    """ViT tokens attend to the language model's map; enhanced tokens, raw tokens and the lifted map become one."""

    def __init__(self, config: MLLMSegConfig) -> None:
        super().__init__()
        width, self._detail = config.width, config.vision_detail
        inputs = 0
        if config.vision_detail:
            channels = sum(folded_channels(config.channels, config.strides, config.stride))
            self.vision = nn.Sequential()  # as published; maps of another width are projected
            if channels != width:  # and normalised first: raw ones drown the language model's, which are short
                self.vision.extend((nn.LayerNorm(channels), nn.Linear(channels, width)))
            inputs += 1
        if config.language_semantics:
            self.language = nn.Linear(config.language_width, width)
            self.upsample = DySample(width, config.groups)
            inputs += 1
        if config.vision_detail and config.language_semantics:
            self.enhance = DecoderLayer(config)
            inputs += 1
        self.fuse = nn.Linear(inputs * width, width)

    def forward(self, maps: Sequence[Tensor], states_vlc: Tensor, tokens: tuple[int, int]) -> Tensor:
        """(v, t, D) on a raster of twice the grid `tokens` (height, width) of the language states."""
        grid, parts = (2 * tokens[0], 2 * tokens[1]), []
        if hasattr(self, "vision"):
            raw = self.vision(gathered(maps, grid).flatten(2).transpose(1, 2))
            parts.append(raw)
        if hasattr(self, "language"):
            semantic = self.language(states_vlc)
            lifted = self.upsample(semantic.transpose(1, 2).unflatten(2, tokens))
            parts.append(lifted.flatten(2).transpose(1, 2))
            if hasattr(self, "enhance"):
                parts.insert(0, self.enhance(raw, semantic))
        return self.fuse(torch.cat(parts, -1))
