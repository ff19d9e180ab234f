"""Spatial-semantic query construction: where the box is and what its <mask_token> means, in one query an object."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.qwen3vl_seg.config import Qwen3VLSegConfig
from refseg_ros.models.heads.qwen3vl_seg.objects import Objects

LOWEST, HIGHEST, LEAST = 0.5, 256.0, 1e-3


class BoxEncoding(nn.Module):
    """g(x1), g(y1), g(0.2 ln w + 0.5), g(0.2 ln h + 0.5), one after the other; g: sines and cosines."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, boxes_ak4: Tensor) -> Tensor:
        """(a, k, 8 count), float32: half precision could not tell places apart. Boxes as in Objects."""
        centre, size = boxes_ak4[..., :2].float(), boxes_ak4[..., 2:].float()
        numbers = torch.cat([centre - size / 2, 0.2 * size.clamp(min=LEAST).log() + 0.5], -1)
        steps = torch.linspace(math.log(LOWEST), math.log(HIGHEST), self.count, device=boxes_ak4.device)
        angles = numbers[..., None] * 2 * math.pi * steps.exp()
        return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


class SpatialSemanticQueries(nn.Module):
    """Q0 = LN(MLP(box) + W state); Q1 = TransformerDecoder(Q0, memory). Objects of one answer see one another."""

    def __init__(self, config: Qwen3VLSegConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.semantic = nn.Linear(config.language_width, width)
        if config.box_queries:
            self.box = BoxEncoding(config.frequencies)
            self.spatial = nn.Sequential(
                nn.Linear(8 * config.frequencies, width), nn.GELU(), nn.Linear(width, width)
            )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, config.heads, config.widening * width, dropout=0.0, activation="gelu", batch_first=True
            )
            for _ in range(config.layers)
        )

    def forward(self, objects: Objects, boxes_ak4: Tensor, memory_vld: Tensor) -> Tensor:
        """Q1 (a, k, D). boxes_ak4: the objects' boxes, jittered in training."""
        query = self.semantic(objects.states_akc)
        if hasattr(self, "spatial"):
            query = query + self.spatial(self.box(boxes_ak4).to(query.dtype))
        query, memory = self.norm(query), memory_vld.index_select(0, objects.image_a)
        # True: not seen. Padding is seen by itself alone, so that no row is empty.
        alone = torch.eye(query.shape[1], dtype=torch.bool, device=query.device)
        hidden = ~objects.there_ak[:, None] & ~alone
        for layer in self.layers:
            query = layer(query, memory, tgt_mask=hidden.repeat_interleave(self.heads, 0))
        return query
