"""The deformable pixel decoder: transformers' own of Mask2Former, with what the head needs to know of its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
)

from refseg_ros.models.heads.mvp_lm.config import STRIDES, MVPLMConfig

LEVELS = 3


class DeformableAttention(Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention):
    """Multi-scale deformable attention; reference_points: (B, Q, levels, 2 or 4)."""

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__(width, heads, LEVELS, points)
        initialise(self)


def initialise(attention: Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention) -> None:
    """Deformable DETR's start: each head looks in a direction of its own, each point a step further, all equally."""
    angles = torch.arange(attention.n_heads) * (2 * math.pi / attention.n_heads)
    ways = torch.stack([angles.cos(), angles.sin()], -1)
    ways = ways / ways.abs().amax(-1, keepdim=True)
    steps = torch.arange(1, attention.n_points + 1)
    offsets = (ways[:, None, None] * steps[None, None, :, None]).expand(-1, attention.n_levels, -1, -1)
    with torch.no_grad():
        attention.sampling_offsets.bias.copy_(offsets.reshape(-1))
    nn.init.zeros_(attention.sampling_offsets.weight)
    nn.init.zeros_(attention.attention_weights.weight)
    nn.init.zeros_(attention.attention_weights.bias)
    for layer in (attention.value_proj, attention.output_proj):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """Of V images. tokens_vtd: all levels, coarse to fine; shapes: (height, width) of each level; inside_vt: bool, the
    token lies in the picture, not in its padding; mask_features_vdhw: at stride 4."""

    tokens_vtd: Tensor
    shapes: list[tuple[int, int]]
    inside_vt: Tensor
    mask_features_vdhw: Tensor

    def of(self, image_b: Tensor) -> PixelFeatures:
        """One row a sample: image_b (B,) long says which image it is about."""
        return PixelFeatures(
            self.tokens_vtd[image_b], self.shapes, self.inside_vt[image_b], self.mask_features_vdhw[image_b]
        )

    def proposals(self) -> Tensor:
        """(T, 4): a square box about each token (cxcywh, 0..1), 0.05 wide at the finest level, then twice that."""
        out = []
        device = self.tokens_vtd.device
        for level, (height, width) in enumerate(self.shapes):
            y, x = torch.meshgrid(
                (torch.arange(height, device=device) + 0.5) / height,
                (torch.arange(width, device=device) + 0.5) / width,
                indexing="ij",
            )
            side = torch.full_like(x, 0.05 * 2 ** (len(self.shapes) - 1 - level))
            out.append(torch.stack([x, y, side, side], -1).flatten(0, 1))
        return torch.cat(out)


class PixelDecoder(nn.Module):
    """Maps at strides 4, 8, 16, 32 -> PixelFeatures."""

    def __init__(self, config: MVPLMConfig) -> None:
        super().__init__()
        settings = Mask2FormerConfig(
            feature_size=config.width,
            mask_feature_size=config.width,
            feature_strides=list(STRIDES),
            common_stride=STRIDES[0],
            num_attention_heads=config.heads,
            encoder_layers=config.encoder_layers,
            encoder_feedforward_dim=config.encoder_feedforward,
            dropout=0.0,
        )
        self.channels = config.channels
        self.net = Mask2FormerPixelDecoder(settings, list(config.channels))
        nn.init.normal_(self.net.level_embed)
        for module in self.net.modules():
            if isinstance(module, Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention):
                initialise(module)

    def forward(self, maps: Sequence[Tensor], inside_vhw: Tensor | None = None) -> PixelFeatures:
        """maps: (V, C, H / stride, W / stride) each; inside_vhw: bool at stride 4, False in the padding, None for none.

        Raises ValueError for maps of other channels.
        """
        if tuple(m.shape[1] for m in maps) != self.channels:
            raise ValueError(f"the maps have {[m.shape[1] for m in maps]} channels, the head takes {self.channels}")
        out = self.net(list(maps))
        levels = out.multi_scale_features
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        shapes = [(level.shape[2], level.shape[3]) for level in levels]
        if inside_vhw is None:
            inside = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        else:
            known = inside_vhw[:, None].float()
            parts = [F.interpolate(known, size=shape, mode="nearest-exact").flatten(1) for shape in shapes]
            inside = torch.cat(parts, 1) > 0.5
        return PixelFeatures(tokens, shapes, inside, out.mask_features)
