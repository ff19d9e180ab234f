"""Phi and Swin of transformers with a connector between them: MVP-LM's pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from refseg_ros.models.answers import caption
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

SPECIALS = caption.SPECIALS
TEMPLATE = Template(before="USER: ", after="\n{question} ASSISTANT: ")
STRIDE = 32


class Connector(nn.Module):
    """(b, c, h, w) -> (b, width, h/2, w/2): a residual block of stride 2, then a projection to the words' width."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        groups = 32 if channels % 32 == 0 else 1
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False), nn.GroupNorm(groups, channels),
            nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(groups, channels),
        )  # fmt: skip
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels, channels, 1, stride=2, bias=False), nn.GroupNorm(groups, channels)
        )
        self.project = nn.Conv2d(channels, width, 1)

    def forward(self, map_bchw: Tensor) -> Tensor:
        return self.project(torch.relu(self.body(map_bchw) + self.shortcut(map_bchw)))


class PhiSwinBackbone(Backbone):
    """model: PhiForCausalLM; swin: SwinBackbone with four stages, frozen; tokenizer: with SPECIALS.

    The long side is resized to `side` and padded to a square. maps: res2..5, at strides 4, 8, 16, 32.
    """

    template = TEMPLATE

    def __init__(
        self, model: Any, swin: Any, tokenizer: Any, *, side: int = 1024, specials: Sequence[str] = SPECIALS
    ) -> None:
        super().__init__()
        if side % (2 * STRIDE):
            raise ValueError(f"side must be a multiple of {2 * STRIDE}, not {side}")
        self.model, self.swin, self.vocabulary = model, swin.requires_grad_(False), Vocabulary(tokenizer, specials)
        self.side, self.channels, self.width = side, tuple(swin.channels), model.config.hidden_size
        self.connector = Connector(self.channels[-1], self.width)

    def train(self, mode: bool = True) -> PhiSwinBackbone:
        """All but the frozen tower: its stochastic depth would make features of training noisy."""
        super().train(mode)
        self.swin.eval()
        return self

    @property
    def decoder(self) -> nn.Module:
        return self.model.model

    @property
    def head(self) -> nn.Module:
        return self.model.lm_head

    def geometry(self, size: Size) -> Geometry:
        return letterbox(size, self.side)

    def pixels(self, rgb_hwc: npt.NDArray[np.uint8], geometry: Geometry) -> Tensor:
        return normalised(geometry.place(rgb_hwc), IMAGENET_MEAN, IMAGENET_STD)

    def see(self, pixels_bchw: Tensor, geometries: Sequence[Geometry]) -> VisionFeatures:
        with torch.no_grad():
            maps = tuple(self.swin(pixels_bchw.to(self.swin.dtype)).feature_maps)
        tokens = self.connector(maps[-1].to(self.connector.project.weight.dtype))
        return VisionFeatures(
            maps=maps,
            image_bchw=denormalised(pixels_bchw, IMAGENET_MEAN, IMAGENET_STD),
            geometries=tuple(geometries),
            tokens_blc=tokens.flatten(2).transpose(1, 2),
            token_grid=(tokens.shape[2], tokens.shape[3]),
        )
