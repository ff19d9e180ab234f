"""DySample (Liu et al., ICCV 2023): upsampling that learns where to read from, of the kind that predicts the offsets
at the coarse grid ("linear, then pixel shuffle") with a static range."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RANGE, START = 0.25, 1e-3


class DySample(nn.Module):
    """Twice as fine: each group of channels reads bilinearly at its own offsets, which begin close to the regular grid.

    offset's channels are axis (x, y), group, sub-cell (row, column), as in the published code's weights.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.offset = nn.Conv2d(channels, 2 * groups * 4, 1)
        nn.init.normal_(self.offset.weight, std=START)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]

    def forward(self, x_bchw: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, 2 h, 2 w)."""
        batch, _, height, width = x_bchw.shape
        # In cells of the coarse grid; places need float32.
        learned = F.pixel_shuffle(RANGE * self.offset(x_bchw), 2).float()
        learned = learned.reshape(batch, 2, self.groups, 2 * height, 2 * width)
        down, across = ((torch.arange(2 * n, device=x_bchw.device) + 0.5) / 2 for n in (height, width))
        x = 2 * (across + learned[:, 0]) / width - 1
        y = 2 * (down[:, None] + learned[:, 1]) / height - 1
        places = torch.stack([x, y], -1).flatten(0, 1)
        groups = x_bchw.reshape(batch * self.groups, -1, height, width).float()
        read = F.grid_sample(groups, places, mode="bilinear", padding_mode="border", align_corners=False)
        return read.reshape(batch, -1, 2 * height, 2 * width).to(x_bchw.dtype)
