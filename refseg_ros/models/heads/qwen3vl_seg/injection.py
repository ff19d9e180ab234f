"""Multi-scale spatial feature injection: what the ViT's blocks saw, added to what the language model made of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.heads.qwen3vl_seg.config import GROUPS, Qwen3VLSegConfig
from refseg_ros.models.heads.raster import Grid, folded_channels, on_grid

START = 1e-3


class Tap(nn.Module):
    """X0 = Conv1x1(map); X0 + s GELU(DWConv3x3(GroupNorm(X0))), s learned from 1e-3."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, 1)
        self.norm = nn.GroupNorm(GROUPS, width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.scale = nn.Parameter(torch.tensor(START))

    def forward(self, map_bchw: Tensor) -> Tensor:
        x = self.project(map_bchw)
        return x + self.scale * F.gelu(self.depthwise(self.norm(x)))


class SpatialFeatureInjection(nn.Module):
    """The memory that queries read: language states at the image tokens, spatial features, learned positions."""

    def __init__(self, config: Qwen3VLSegConfig) -> None:
        super().__init__()
        width = config.width
        self.language = nn.Conv2d(config.language_width, width, 1)
        self.position = nn.Parameter(legible(width, config.places))
        if config.spatial_injection:
            channels = folded_channels(config.channels, config.strides, config.stride)
            self.taps = nn.ModuleList(Tap(c, width) for c in channels)
            self.fuse = nn.Conv2d(len(channels) * width, width, 1)

    def forward(self, maps: Sequence[Tensor], states_vchw: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """The memory as a raster (v, D, h, w), and as a sequence (v, h w, D). grid: (height, width)."""
        features = F.interpolate(self.language(states_vchw), size=grid, mode="bilinear", align_corners=False)
        if hasattr(self, "taps"):
            tapped = [tap(on_grid(m, grid)) for tap, m in zip(self.taps, maps, strict=True)]
            features = features + self.fuse(torch.cat(tapped, 1))
        position = F.interpolate(self.position, size=grid, mode="bilinear", align_corners=False)
        memory = features + position
        return memory, memory.flatten(2).transpose(1, 2).contiguous()


def legible(width: int, places: int) -> Tensor:
    """(1, width, places, places): what learned positions start from, sines and cosines of columns and rows: from noise
    a short training learns late where anything is."""
    at = (torch.arange(places) + 0.5) / places
    count = -(-width // 4)
    rates = 1 + torch.arange(count) * ((places - 1) / max(1, count - 1))  # transformers replaces linspace as it loads
    angles = torch.pi * rates[:, None] * at
    waves = torch.cat([angles.sin(), angles.cos()])
    across, down = waves[:, None, :].expand(-1, places, -1), waves[:, :, None].expand(-1, -1, places)
    return torch.stack([across, down], 1).flatten(0, 1)[:width][None].clone()
