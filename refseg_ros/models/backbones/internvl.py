"""InternVL of transformers as a backbone: the ViT's last layer without CLS, 32 x 32 cells; 16 x 16 image tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from refseg_ros.models.answers import rejections
from refseg_ros.models.answers.vocabulary import Vocabulary
from refseg_ros.models.backbones.base import Backbone, Template, VisionFeatures
from refseg_ros.models.backbones.geometry import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Geometry,
    Size,
    denormalised,
    letterbox,
    normalised,
)

SPECIALS = rejections.SPECIALS
TEMPLATE = Template(before="<|im_start|>user\n<img>", after="</img>\n{question}<|im_end|>\n<|im_start|>assistant\n")


class InternVLBackbone(Backbone):
    """model: InternVLForConditionalGeneration; tokenizer: with SPECIALS. One tile, aspect kept, padded to a square."""

    template = TEMPLATE

    def __init__(self, model: Any, tokenizer: Any, *, specials: Sequence[str] = SPECIALS) -> None:
        super().__init__()
        self.model, self.vocabulary = model, Vocabulary(tokenizer, specials)
        vision = model.config.vision_config
        self.side, self._patch = vision.image_size[0], vision.patch_size[0]
        self.channels, self.width = (vision.hidden_size,), model.config.text_config.hidden_size

    @property
    def decoder(self) -> nn.Module:
        return self.model.model.language_model

    @property
    def head(self) -> nn.Module:
        return self.model.lm_head

    def geometry(self, size: Size) -> Geometry:
        return letterbox(size, self.side)

    def pixels(self, rgb_hwc: npt.NDArray[np.uint8], geometry: Geometry) -> Tensor:
        return normalised(geometry.place(rgb_hwc), IMAGENET_MEAN, IMAGENET_STD)

    def see(self, pixels_bchw: Tensor, geometries: Sequence[Geometry]) -> VisionFeatures:
        out = self.model.model.get_image_features(pixel_values=pixels_bchw)
        cells, tokens = self.side // self._patch, int(out.pooler_output.shape[1] ** 0.5)
        states = out.last_hidden_state[:, -cells * cells :]  # the class token stands first
        return VisionFeatures(
            maps=(states.transpose(1, 2).unflatten(2, (cells, cells)),),
            image_bchw=denormalised(pixels_bchw, IMAGENET_MEAN, IMAGENET_STD),
            geometries=tuple(geometries),
            tokens_blc=out.pooler_output,
            token_grid=(tokens, tokens),
        )
