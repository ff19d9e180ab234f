"""SAM's mask decoder on any backbone's maps: an image once a frame, then one mask for each prompt.

The decoder is transformers' own. Its image input is SAM's neck at full scale; elsewhere maps are projected to it.
Prompts are vectors of the decoder's width: a language state's projection (GSVA), or the corners of a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from refseg_ros.models.heads.raster import folded_channels, gathered


class PromptedConfig(Protocol):
    """The dimensions that a prompted decoder needs; see heads.gsva.GSVAConfig."""

    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def width(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def feedforward(self) -> int: ...
    @property
    def candidates(self) -> int: ...


@dataclass(frozen=True, eq=False)
class PromptedEncoded:
    """image_vdhw: the decoder's view of v images; position_1dhw: of its grid."""

    image_vdhw: Tensor
    position_1dhw: Tensor


class PromptedDecoder(nn.Module):
    """encode() once a frame, masks() once for a batch of prompts."""

    frequencies_2f: Tensor

    def __init__(self, config: PromptedConfig) -> None:
        super().__init__()
        channels = sum(folded_channels(config.channels, config.strides, config.stride))
        self.neck = nn.Identity() if channels == config.width else nn.Conv2d(channels, config.width, 1)
        # SAM's prompts without a mask add one learned vector; positions are random Fourier features.
        self.no_mask = nn.Parameter(torch.zeros(config.width))
        self.register_buffer("frequencies_2f", torch.randn(2, config.width // 2))
        sam = SamMaskDecoderConfig(
            hidden_size=config.width, num_hidden_layers=config.layers, num_attention_heads=config.heads,
            mlp_dim=config.feedforward, num_multimask_outputs=config.candidates, iou_head_hidden_dim=config.width,
            layer_norm_eps=1e-5,  # SAM's own; transformers' default is 1e-6
        )  # fmt: skip
        sam._attn_implementation = "sdpa"
        self.decoder = SamMaskDecoder(sam)

    def encode(self, maps: Sequence[Tensor], grid: tuple[int, int]) -> PromptedEncoded:
        """Once a frame. maps: (v, c_i, h_i, w_i) each; grid: (height, width) of the padded input over the stride."""
        image = self.neck(gathered(maps, grid)) + self.no_mask[:, None, None]
        return PromptedEncoded(image, self._positions(grid).to(image.dtype))

    def masks(self, encoded: PromptedEncoded, prompts_nkd: Tensor, image_n: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits (n, h, w), four times finer than the grid, and how good the decoder holds each, (n,).

        prompts_nkd: k vectors for each mask; image_n: long, whose image.
        """
        height, width = encoded.image_vdhw.shape[2:]
        if not len(prompts_nkd):
            empty = encoded.image_vdhw.new_zeros
            return empty(0, 4 * height, 4 * width), empty(0)
        masks, iou = self.decoder(
            image_embeddings=encoded.image_vdhw[image_n],
            image_positional_embeddings=encoded.position_1dhw.expand(len(prompts_nkd), -1, -1, -1),
            sparse_prompt_embeddings=prompts_nkd[:, None],
            dense_prompt_embeddings=prompts_nkd.new_zeros(()),  # added in encode()
            multimask_output=False,
        )
        return masks[:, 0, 0], iou[:, 0, 0]

    def place_features(self, places_xy: Tensor) -> Tensor:
        """(..., D): sines and cosines of random directions. places_xy: (..., 2) in 0..1 of the padded input."""
        angles = 2 * torch.pi * (2 * places_xy.float() - 1) @ self.frequencies_2f.float()
        return torch.cat([angles.sin(), angles.cos()], -1)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """(1, D, h, w): of the cells' centres."""
        down, across = ((torch.arange(n, device=self.frequencies_2f.device) + 0.5) / n for n in grid)
        places = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
        return self.place_features(places).permute(2, 0, 1)[None]
