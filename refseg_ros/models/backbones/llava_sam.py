"""LLaVA and SAM's image encoder, of transformers, as one backbone: GSVA's pair. Both see the same padded square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.answers import rejections
from refseg_ros.models.answers.vocabulary import Vocabulary
from refseg_ros.models.backbones.base import Backbone, Template, VisionFeatures
from refseg_ros.models.backbones.geometry import IMAGENET_MEAN, IMAGENET_STD, Geometry, Size, letterbox

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SPECIALS = rejections.SPECIALS
TEMPLATE = Template(before="USER: ", after="\n{question} ASSISTANT: ")


class LlavaSamBackbone(Backbone):
    """model: LlavaForConditionalGeneration; sam: SamVisionModel, frozen; tokenizer: with SPECIALS.

    maps: SAM's neck, (b, 256, 64, 64) for 1024 pixels. Both pad right and below, so that one geometry serves both.
    """

    template = TEMPLATE

    def __init__(self, model: Any, sam: Any, tokenizer: Any, *, specials: Sequence[str] = SPECIALS) -> None:
        super().__init__()
        self.model, self.sam, self.vocabulary = model, sam.requires_grad_(False), Vocabulary(tokenizer, specials)
        self.channels, self.width = (sam.config.output_channels,), model.config.text_config.hidden_size
        self._clip_side, self._side = model.config.vision_config.image_size, sam.config.image_size

    def train(self, mode: bool = True) -> LlavaSamBackbone:
        """All but the frozen tower: SAM sees in training what it sees afterwards."""
        super().train(mode)
        self.sam.eval()
        return self

    @property
    def decoder(self) -> nn.Module:
        return self.model.model.language_model

    @property
    def head(self) -> nn.Module:
        return self.model.lm_head

    def geometry(self, size: Size) -> Geometry:
        return letterbox(size, self._side)

    def pixels(self, rgb_hwc: npt.NDArray[np.uint8], geometry: Geometry) -> Tensor:
        """RGB in 0..1, (3, side, side); each tower normalises it for itself."""
        return torch.from_numpy(geometry.place(rgb_hwc).astype(np.float32).transpose(2, 0, 1) / 255)

    def see(self, pixels_bchw: Tensor, geometries: Sequence[Geometry]) -> VisionFeatures:
        inside = torch.stack([g.inside((self._side, self._side)) for g in geometries])[:, None].to(pixels_bchw.device)
        with torch.no_grad():
            shifted = _shifted(pixels_bchw, IMAGENET_MEAN, IMAGENET_STD) * inside
            detail = self.sam(shifted.to(self.sam.dtype)).last_hidden_state
        # Bicubic with antialiasing, as CLIP's own preparation; the padding has the mean colour, as LLaVA's.
        grey = pixels_bchw.new_tensor(CLIP_MEAN).view(3, 1, 1)
        small = F.interpolate(
            torch.where(inside, pixels_bchw, grey), size=(self._clip_side,) * 2, mode="bicubic", antialias=True
        )
        features = self.model.model.get_image_features(pixel_values=_shifted(small.clamp(0, 1), CLIP_MEAN, CLIP_STD))
        tokens = torch.stack(list(features.pooler_output))
        cells = int(tokens.shape[1] ** 0.5)
        return VisionFeatures(
            maps=(detail,),
            image_bchw=pixels_bchw,
            geometries=tuple(geometries),
            tokens_blc=tokens,
            token_grid=(cells, cells),
        )


def _shifted(pixels_bchw: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    shape = (3, 1, 1)
    return (pixels_bchw - pixels_bchw.new_tensor(mean).view(shape)) / pixels_bchw.new_tensor(std).view(shape)
