"""Qwen3-VL of transformers as a backbone: un-merged taps at H/16, image states at H/32, DeepStack, interleaved mrope.

Patches come in blocks of 2 x 2; what leaves this file is in raster order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from refseg_ros.models.answers import boxes
from refseg_ros.models.answers.vocabulary import Vocabulary
from refseg_ros.models.backbones.base import Backbone, Template, VisionFeatures
from refseg_ros.models.backbones.geometry import Geometry, Size, normalised, stretched_within

TAPS = (5, 11, 17, 23)
SPECIALS = boxes.SPECIALS
TEMPLATE = Template(
    before="<|im_start|>user\n<|vision_start|>", after="<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
)


class Qwen3VLBackbone(Backbone):
    """model: Qwen3VLForConditionalGeneration; tokenizer: with SPECIALS; taps: ViT blocks whose outputs are the maps.

    An image is stretched to multiples of 32 pixels with min_pixels to max_pixels in all.
    """

    template = TEMPLATE

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        taps: Sequence[int] = TAPS,
        specials: Sequence[str] = SPECIALS,
        min_pixels: int = 256 * 256,
        max_pixels: int = 1280 * 1280,
    ) -> None:
        super().__init__()
        vision = model.config.vision_config
        if max(taps) >= vision.depth:
            raise ValueError(f"taps {tuple(taps)} must be below the number of ViT blocks, {vision.depth}")
        self.model, self.vocabulary = model, Vocabulary(tokenizer, specials)
        self.taps, self.min_pixels, self.max_pixels = tuple(taps), min_pixels, max_pixels
        self.channels = (vision.hidden_size,) * len(self.taps)
        self.width = model.config.text_config.hidden_size
        self._patch, self._merge, self._frames = (
            vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size,
        )  # fmt: skip

    @property
    def decoder(self) -> nn.Module:
        return self.model.model.language_model

    @property
    def head(self) -> nn.Module:
        return self.model.lm_head

    def geometry(self, size: Size) -> Geometry:
        return stretched_within(size, self._patch * self._merge, self.min_pixels, self.max_pixels)

    def pixels(self, rgb_hwc: npt.NDArray[np.uint8], geometry: Geometry) -> Tensor:
        return normalised(geometry.place(rgb_hwc), (0.5,) * 3, (0.5,) * 3)

    def see(self, pixels_bchw: Tensor, geometries: Sequence[Geometry]) -> VisionFeatures:
        batch, _, height, width = pixels_bchw.shape
        grid = height // self._patch, width // self._patch
        merged = grid[0] // self._merge, grid[1] // self._merge
        visual = self.model.model.visual
        shapes = torch.tensor([[1, *grid]] * batch, device=pixels_bchw.device)
        out = visual(self.patches(pixels_bchw).to(visual.dtype), grid_thw=shapes, output_hidden_states=True)
        maps = tuple(self._raster(out.hidden_states[tap + 1], batch, merged) for tap in self.taps)
        return VisionFeatures(
            maps=maps,
            image_bchw=pixels_bchw / 2 + 0.5,
            geometries=tuple(geometries),
            tokens_blc=out.pooler_output.unflatten(0, (batch, -1)),
            token_grid=merged,
            deepstack=tuple(f.unflatten(0, (batch, -1)) for f in out.deepstack_features),
        )

    def patches(self, pixels_bchw: Tensor) -> Tensor:
        """(patches, numbers of a patch) in the model's order: blocks of merge x merge, the still frame repeated."""
        p, m = self._patch, self._merge
        batch, channels, height, width = pixels_bchw.shape
        cut = pixels_bchw.reshape(batch, channels, height // (p * m), m, p, width // (p * m), m, p)
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # image, block row and column, row and column in it, channel, pixels
        still = cut[..., None, :, :].expand(*cut.shape[:6], self._frames, p, p)
        return still.reshape(-1, channels * self._frames * p * p)

    def _raster(self, states_pc: Tensor, batch: int, merged: Size) -> Tensor:
        blocks = states_pc.reshape(batch, *merged, self._merge, self._merge, -1)
        raster = blocks.permute(0, 5, 1, 3, 2, 4)
        return raster.reshape(batch, -1, merged[0] * self._merge, merged[1] * self._merge)

    def _image_positions(self, before: int, grid: Size) -> tuple[Tensor, int]:
        words = torch.arange(before).expand(3, -1)
        rows, cols = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
        image = torch.stack([torch.zeros_like(rows), rows, cols]).flatten(1) + before
        return torch.cat([words, image], 1), before + max(grid)

    def _text_positions(self, positions_nt: Tensor) -> Tensor:
        return positions_nt.expand(3, -1, -1)

    def _image_extras(
        self, vision: VisionFeatures, before: int, length: int, rows: Tensor | None = None
    ) -> dict[str, Any]:
        layers = [f if rows is None else f.index_select(0, rows) for f in vision.deepstack]
        images, tokens = layers[0].shape[:2]
        where = torch.zeros(images, length, dtype=torch.bool, device=layers[0].device)
        where[:, before : before + tokens] = True
        return {"visual_pos_masks": where, "deepstack_visual_embeds": [f.flatten(0, 1) for f in layers]}
