"""GSVA's mask head (arXiv 2312.10103): each [SEG] of an answer is a prompt of SAM's mask decoder, a [REJ] is none.

The mask decoder is transformers' own. Its image input is SAM's neck at full scale; elsewhere maps are projected to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from refseg_ros.models.heads.gsva.config import GSVAConfig
from refseg_ros.models.heads.gsva.slots import Slots
from refseg_ros.models.heads.raster import folded_channels, gathered


@dataclass(frozen=True, eq=False)
class GSVAEncoded:
    """image_vdhw: the decoder's view of v images; position_1dhw: of its grid."""

    image_vdhw: Tensor
    position_1dhw: Tensor


@dataclass(frozen=True, eq=False)
class GSVAOutput:
    """logits_nhw: a mask for each of the n [SEG] slots, in their order; iou_n: how good SAM's decoder holds it;
    segment_s: which slots they are."""

    logits_nhw: Tensor
    iou_n: Tensor
    segment_s: Tensor

    @property
    def slots(self) -> tuple[Tensor | None, ...]:
        """The mask logits (h, w) of each slot, None for a [REJ]."""
        masks = iter(self.logits_nhw)
        return tuple(next(masks) if kind else None for kind in self.segment_s.tolist())


class PromptProjection(nn.Sequential):
    """A language state -> a sparse prompt: Linear, ReLU, Linear."""

    def __init__(self, language_width: int, width: int) -> None:
        super().__init__(nn.Linear(language_width, language_width), nn.ReLU(), nn.Linear(language_width, width))


class GSVAHead(nn.Module):
    """encode() once a frame, decode() once for a batch of slots; forward() does both."""

    frequencies_2f: Tensor

    def __init__(self, config: GSVAConfig) -> None:
        super().__init__()
        self.config = config
        channels = sum(folded_channels(config.channels, config.strides, config.stride))
        self.neck = nn.Identity() if channels == config.width else nn.Conv2d(channels, config.width, 1)
        self.prompt = PromptProjection(config.language_width, config.width)
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

    def encode(self, maps: Sequence[Tensor], grid: tuple[int, int]) -> GSVAEncoded:
        """Once a frame. maps: (v, c_i, h_i, w_i) each; grid: (height, width) of the padded input over the stride."""
        image = self.neck(gathered(maps, grid)) + self.no_mask[:, None, None]
        return GSVAEncoded(image, self._positions(grid).to(image.dtype))

    def decode(self, encoded: GSVAEncoded, slots: Slots) -> GSVAOutput:
        """Masks of the [SEG] slots, four times finer than the grid. [REJ] slots cost nothing."""
        state, image = slots.states_sc[slots.segment_s], slots.image_s[slots.segment_s]
        height, width = encoded.image_vdhw.shape[2:]
        if not len(state):
            empty = encoded.image_vdhw.new_zeros
            return GSVAOutput(empty(0, 4 * height, 4 * width), empty(0), slots.segment_s)
        masks, iou = self.decoder(
            image_embeddings=encoded.image_vdhw[image],
            image_positional_embeddings=encoded.position_1dhw.expand(len(state), -1, -1, -1),
            sparse_prompt_embeddings=self.prompt(state)[:, None, None],
            dense_prompt_embeddings=torch.zeros((), dtype=state.dtype, device=state.device),  # added in encode()
            multimask_output=False,
        )
        return GSVAOutput(masks[:, 0, 0], iou[:, 0, 0], slots.segment_s)

    def forward(self, maps: Sequence[Tensor], grid: tuple[int, int], slots: Slots) -> GSVAOutput:
        """encode() and decode()."""
        return self.decode(self.encode(maps, grid), slots)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """(1, D, h, w): sines and cosines of random directions at the cells' centres."""
        frequencies = self.frequencies_2f.float()
        down, across = (2 * (torch.arange(n, device=frequencies.device) + 0.5) / n - 1 for n in grid)
        places = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
        angles = 2 * torch.pi * places @ frequencies
        return torch.cat([angles.sin(), angles.cos()], -1).permute(2, 0, 1)[None]
