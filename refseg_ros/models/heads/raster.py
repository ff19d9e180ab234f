"""Vision maps of several strides on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]


def on_grid(map_bchw: Tensor, grid: Grid) -> Tensor:
    """One map on another grid: a finer one folds its cells into channels and loses nothing, a coarser one is bilinear.

    Raises ValueError where the map is finer but no whole multiple.
    """
    height, width = map_bchw.shape[-2:]
    if (height, width) == grid:
        return map_bchw
    if height > grid[0]:
        fold = height // grid[0]
        if (height, width) != (grid[0] * fold, grid[1] * fold):
            raise ValueError(f"a map of {height} x {width} does not fold to {grid[0]} x {grid[1]}")
        return F.pixel_unshuffle(map_bchw, fold)
    return F.interpolate(map_bchw, size=grid, mode="bilinear", align_corners=False)


def folded_channels(channels: Sequence[int], strides: Sequence[int], stride: int) -> tuple[int, ...]:
    """Channels of each map after on_grid() to the grid of `stride`."""
    return tuple(c * max(stride // s, 1) ** 2 for c, s in zip(channels, strides, strict=True))


def gathered(maps: Sequence[Tensor], grid: Grid) -> Tensor:
    """All maps on one grid, one after the other in channels."""
    return torch.cat([on_grid(m, grid) for m in maps], 1)
