"""MLLMSeg's decoder (arXiv 2508.04107): a [SEG] state and what the language model's own ViT saw -> masks.

The published decoder lets fused tokens attend to themselves and then to the one [SEG] state. The first step knows the
image alone and is worked out once a frame. In the second every token attends to a single state, so that what they all
read is that state's value: it is worked out once a phrase. Both are the published layer's numbers exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.heads.mllmseg.config import MLLMSegConfig
from refseg_ros.models.heads.mllmseg.fusion import DecoderLayer, FeatureFusion

GAIN, RECTIFIED_MEAN = 4.0, 1 / math.sqrt(2 * math.pi)


@dataclass(frozen=True, eq=False)
class MLLMSegEncoded:
    """What v images are worth computing once: fused tokens after their self-attention (v, t, D), on `grid`."""

    tokens_vtd: Tensor
    grid: tuple[int, int]


class MLLMSegHead(nn.Module):
    """encode() once a frame, decode() once for a batch of phrases; forward() does both."""

    def __init__(self, config: MLLMSegConfig) -> None:
        super().__init__()
        self.config = config
        self.text = nn.Linear(config.language_width, config.width)
        self.fusion = FeatureFusion(config)
        self.decoder = DecoderLayer(config)
        self.unfold = nn.Sequential(
            nn.Conv2d(config.width, config.cell**2, 3, padding=1), nn.BatchNorm2d(config.cell**2), nn.ReLU()
        )
        self.smooth = nn.Conv2d(1, 1, 5, padding=2)
        for name, weight in self.named_parameters():
            if weight.dim() > 1 and ".upsample." not in name:
                nn.init.xavier_uniform_(weight)
        if config.prior is not None:
            # What comes in is normalised and rectified: its mean over cells is about 0.4.
            nn.init.constant_(self.smooth.weight, GAIN / self.smooth.weight.numel())
            level = math.log(config.prior / (1 - config.prior)) - GAIN * RECTIFIED_MEAN
            nn.init.constant_(self.smooth.bias, level)  # type: ignore[arg-type]

    def encode(self, maps: Sequence[Tensor], states_vchw: Tensor, preceding_vc: Tensor | None = None) -> MLLMSegEncoded:
        """Once a frame. maps: (v, c_i, h_i, w_i) each; states_vchw: the language model's last states at the image
        tokens, on their raster. preceding_vc: its state just before the first image token, which only as_released
        needs; ValueError without it."""
        tokens = (states_vchw.shape[2], states_vchw.shape[3])
        states = states_vchw.flatten(2).transpose(1, 2)
        if self.config.as_released:
            if preceding_vc is None:
                raise ValueError("as_released reads the state before the first image token: give preceding_vc")
            states = torch.cat([preceding_vc[:, None], states[:, :-1]], 1)
        x, layer = self.fusion(maps, states, tokens), self.decoder.layer
        seen = layer.self_attn(x, x, x, need_weights=False)[0]
        return MLLMSegEncoded(layer.norm1(x + layer.dropout1(seen)), (2 * tokens[0], 2 * tokens[1]))

    def decode(self, encoded: MLLMSegEncoded, states_nc: Tensor, image_n: Tensor) -> Tensor:
        """Mask logits (n, cell h, cell w). states_nc: that predicted each [SEG]; image_n: long, whose image."""
        height, width = encoded.grid
        if not len(states_nc):
            cell = self.config.cell
            return encoded.tokens_vtd.new_zeros(0, cell * height, cell * width)
        layer, state = self.decoder.layer, self.text(states_nc)[:, None]
        told = layer.multihead_attn(state, state, state, need_weights=False)[0]
        x = layer.norm2(encoded.tokens_vtd[image_n] + layer.dropout2(told))
        hidden = layer.linear2(layer.dropout(F.relu(layer.linear1(x))))
        x = self.decoder.norm(layer.norm3(x + layer.dropout3(hidden)))
        cells = self.unfold(x.transpose(1, 2).unflatten(2, (height, width)))
        return self.smooth(F.pixel_shuffle(cells, self.config.cell))[:, 0]

    def forward(
        self,
        maps: Sequence[Tensor],
        states_vchw: Tensor,
        states_nc: Tensor,
        image_n: Tensor,
        preceding_vc: Tensor | None = None,
    ) -> Tensor:
        """encode() and decode()."""
        return self.decode(self.encode(maps, states_vchw, preceding_vc), states_nc, image_n)
