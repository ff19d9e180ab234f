"""The deformable pixel decoder: transformers' own of Mask2Former, and its attention for the decoder's queries."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
    multi_scale_deformable_attention,
)

from refseg_ros.models.heads.mvp_lm.config import STRIDES, MVPLMConfig

LEVELS = 3
Shapes = list[tuple[int, int]]


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention around boxes, in two steps: values once an image, attention once a query."""

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__()
        self.net = Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention(width, heads, LEVELS, points)
        initialise(self.net)

    def values(self, tokens_vtd: Tensor, inside_vt: Tensor) -> Tensor:
        """(V, T, heads, D / heads): what the tokens give to those who look at them; padding gives nothing."""
        values = self.net.value_proj(tokens_vtd).masked_fill(~inside_vt[..., None], 0)
        return values.unflatten(-1, (self.net.n_heads, -1))

    def forward(self, x_bqd: Tensor, boxes_bq4: Tensor, values_btha: Tensor, shapes: Shapes) -> Tensor:
        """x: queries with their positions; boxes: cxcywh, 0..1. Points lie within and around each query's box."""
        net = self.net
        at = (*x_bqd.shape[:2], net.n_heads, net.n_levels, net.n_points)
        offsets = net.sampling_offsets(x_bqd).float().view(*at, 2)
        weights = net.attention_weights(x_bqd).float().view(*at[:3], -1).softmax(-1).view(at)
        centre, size = boxes_bq4[:, :, None, None, None].split(2, -1)
        where = centre + offsets / net.n_points * size / 2
        seen = multi_scale_deformable_attention(values_btha.float(), shapes, where, weights)  # exact in half precision
        return net.output_proj(seen.to(x_bqd.dtype))


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


class PixelDecoder(nn.Module):
    """Maps at strides 4, 8, 16, 32 -> tokens of the three coarse levels, and mask features at stride 4."""

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
        self.net.level_embed = nn.Parameter(torch.randn(LEVELS, config.width))  # theirs is empty, and on the CPU always
        for module in self.net.modules():
            if isinstance(module, Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention):
                initialise(module)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Shapes, Tensor]:
        """maps: (V, C, H / stride, W / stride) each -> tokens (V, T, D), coarse level first; (height, width) of each
        level; mask features (V, D, H / 4, W / 4). Raises ValueError for maps of other channels.
        """
        if tuple(m.shape[1] for m in maps) != self.channels:
            raise ValueError(f"the maps have {[m.shape[1] for m in maps]} channels, the head takes {self.channels}")
        out = self.net(list(maps))
        levels = out.multi_scale_features
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        return tokens, [(level.shape[2], level.shape[3]) for level in levels], out.mask_features


def inside_tokens(inside_vhw: Tensor, shapes: Shapes) -> Tensor:
    """bool (V, T): whether the middle of each token's cell is in the picture. inside_vhw: the same at stride 4."""
    known = inside_vhw[:, None].float()
    return torch.cat([F.interpolate(known, size=s, mode="nearest-exact").flatten(1) for s in shapes], 1) > 0.5


def proposals(shapes: Shapes, device: torch.device) -> Tensor:
    """(T, 4): a square box about each token (cxcywh, 0..1), 0.05 wide at the finest level, then twice that."""
    out = []
    for level, (height, width) in enumerate(shapes):
        y, x = torch.meshgrid(
            (torch.arange(height, device=device) + 0.5) / height,
            (torch.arange(width, device=device) + 0.5) / width,
            indexing="ij",
        )
        side = torch.full_like(x, 0.05 * 2 ** (len(shapes) - 1 - level))
        out.append(torch.stack([x, y, side, side], -1).flatten(0, 1))
    return torch.cat(out)
