"""The multi-granularity decoder: queries look at each other, then at the image around their boxes, in each layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.mvp_lm.config import MVPLMConfig
from refseg_ros.models.heads.mvp_lm.encoded import EncodedImages
from refseg_ros.models.heads.mvp_lm.pixel_decoder import DeformableAttention, Shapes
from refseg_ros.models.heads.mvp_lm.prediction import PerceptionHeads, Prediction, mlp


class BoxPosition(nn.Module):
    """A box (..., 4) as a vector: sines and cosines of each number, then an MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bands = width // 4
        self.net = mlp((2 * width, width, width))

    def forward(self, boxes_bq4: Tensor) -> Tensor:
        power = torch.arange(self.bands, device=boxes_bq4.device) / self.bands
        angles = boxes_bq4[..., None] * (2 * math.pi / 10000**power)
        waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
        return self.net(waves.to(next(self.net.parameters()).dtype))


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention to the image tokens around each query's box, a small network; post-norm."""

    def __init__(self, config: MVPLMConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.among = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.image = DeformableAttention(width, config.heads, config.points)
        self.think = mlp((width, config.decoder_feedforward, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, x_bqd: Tensor, position_bqd: Tensor, boxes_bq4: Tensor, values_btha: Tensor, shapes: Shapes,
        blocked_bqq: Tensor | None,
    ) -> Tensor:  # fmt: skip
        place = x_bqd + position_bqd
        mask = None if blocked_bqq is None else blocked_bqq.repeat_interleave(self.heads, 0)
        x = self.norms[0](x_bqd + self.among(place, place, x_bqd, attn_mask=mask, need_weights=False)[0])
        x = self.norms[1](x + self.image(x + position_bqd, boxes_bq4, values_btha, shapes))
        return self.norms[2](x + self.think(x))


class MultiGranularityDecoder(nn.Module):
    """Every layer refines the boxes; its states go to the three shared heads."""

    def __init__(self, config: MVPLMConfig) -> None:
        super().__init__()
        self.position = BoxPosition(config.width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def values(self, tokens_vtd: Tensor, inside_vt: Tensor) -> tuple[Tensor, ...]:
        """What each layer reads of the images; once an image."""
        attentions = (layer.image for layer in self.layers if isinstance(layer, DecoderLayer))
        return tuple(attention.values(tokens_vtd, inside_vt) for attention in attentions)

    def forward(
        self,
        content_bqd: Tensor,
        boxes_bq4: Tensor,
        images: EncodedImages,
        text_bkd: Tensor,
        there_bk: Tensor,
        heads: PerceptionHeads,
        blocked_bqq: Tensor | None = None,
        every_layer: bool = True,
    ) -> list[Prediction]:
        """One Prediction a layer, or the last one's alone. images: one row a sample; boxes_bq4: where queries start."""
        x, before, boxes = content_bqd, boxes_bq4, boxes_bq4
        out = []
        for number, (layer, values) in enumerate(zip(self.layers, images.values, strict=True), 1):
            x = layer(x, self.position(boxes), boxes, values, images.shapes, blocked_bqq)
            states = heads.norm(x)
            if every_layer or number == len(self.layers):
                # Looks back at the box before with its gradient, as DINO does: each layer's boxes teach two layers.
                reported = heads.refine(states, before)
                out.append(heads(states, reported, text_bkd, there_bk, images.mask_features_vdhw))
            before = heads.refine(states, boxes)
            boxes = before.detach()
        return out
