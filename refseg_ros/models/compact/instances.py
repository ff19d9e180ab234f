"""Class-agnostic instance masks, found once per frame: a mask kernel from each cell of a grid (after CondInst).

Source of the idea: Tian et al., Conditional Convolutions for Instance Segmentation, ECCV 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.backbone import CHANNELS

WIDTH, MASK_CHANNELS, HIDDEN = 96, 16, 8
GRID_STRIDE, MASK_STRIDE = 8, 2
KERNEL_NUMBERS = (MASK_CHANNELS + 2) * HIDDEN + HIDDEN + HIDDEN + 1


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)
    )


class InstanceHead(nn.Module):
    """Backbone maps, image and geometry in; objectness logits and kernels on a stride-8 grid, mask features out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem2 = _conv(5, 16, 2)
        self.stem4 = _conv(16, 32, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in CHANNELS)
        self.stem_in = nn.Conv2d(32, WIDTH, 1)
        self.down = _conv(WIDTH, WIDTH, 2)
        self.tower = nn.Sequential(_conv(WIDTH, WIDTH), _conv(WIDTH, WIDTH), _conv(WIDTH, WIDTH))
        self.objectness = nn.Conv2d(WIDTH, 1, 3, 1, 1)
        self.kernel = nn.Conv2d(WIDTH, KERNEL_NUMBERS, 3, 1, 1)
        self.fuse4 = _conv(WIDTH, 48)
        self.to_mask = nn.Sequential(_conv(48 + 16, 32), nn.Conv2d(32, MASK_CHANNELS, 1))
        nn.init.constant_(self.objectness.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor], image_bchw: Tensor, geometry_bchw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns objectness (B, 1, H/8, W/8), kernels (B, KERNEL_NUMBERS, H/8, W/8), features (B, 16, H/2, W/2)."""
        s2 = self.stem2(torch.cat([image_bchw, geometry_bchw], 1))
        s4 = self.stem_in(self.stem4(s2))
        top = self.lateral[3](maps[3])
        for level in (2, 1, 0):
            side = self.lateral[level](maps[level])
            top = side + F.interpolate(top, size=side.shape[-2:], mode="bilinear", align_corners=False)
            if level == 1:
                grid = top
        top = top + s4
        tower = self.tower(grid + self.down(top))
        fine = F.interpolate(self.fuse4(top), size=s2.shape[-2:], mode="bilinear", align_corners=False)
        return self.objectness(tower), self.kernel(tower), self.to_mask(torch.cat([fine, s2], 1))


def dynamic_masks(features_chw: Tensor, kernels_nk: Tensor, cells_n2: Tensor) -> Tensor:
    """Mask logits (N, H/2, W/2) of N kernels on one image's features.

    cells_n2: (row, column) of each kernel's grid cell; masks see each pixel's offset from it.
    """
    count, (_, height, width) = len(kernels_nk), features_chw.shape
    device = features_chw.device
    rows = torch.arange(height, device=device, dtype=torch.float32) + 0.5
    cols = torch.arange(width, device=device, dtype=torch.float32) + 0.5
    centre = (cells_n2.float() + 0.5) * (GRID_STRIDE / MASK_STRIDE)
    dy = ((rows[None] - centre[:, :1]) / 32)[:, None, :, None].expand(count, 1, height, width)
    dx = ((cols[None] - centre[:, 1:]) / 32)[:, None, None, :].expand(count, 1, height, width)
    w1, b1, w2, b2 = kernels_nk.split([(MASK_CHANNELS + 2) * HIDDEN, HIDDEN, HIDDEN, 1], 1)
    w1 = w1.reshape(count, HIDDEN, MASK_CHANNELS + 2)
    # The features are the same for every kernel: one matrix product, then the two offsets are added.
    hidden = torch.einsum("nhc,cp->nhp", w1[..., :MASK_CHANNELS], features_chw.reshape(MASK_CHANNELS, -1))
    hidden = hidden.reshape(count, HIDDEN, height, width)
    hidden = hidden + w1[..., MASK_CHANNELS, None, None] * dy + w1[..., MASK_CHANNELS + 1, None, None] * dx
    hidden = F.relu(hidden + b1[..., None, None])
    return (hidden * w2[..., None, None]).sum(1) + b2[..., None]


@torch.no_grad()
def find_instances(
    objectness_1hw: Tensor, kernels_khw: Tensor, features_chw: Tensor,
    threshold: float = 0.3, most: int = 40, overlap: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Masks of one image, best first: logits (N, H/2, W/2) and scores (N,). Duplicates by overlap are dropped."""
    scores = objectness_1hw.sigmoid()
    peaks = (scores == F.max_pool2d(scores, 3, 1, 1)) & (scores > threshold)
    cells = peaks[0].nonzero()
    values = scores[0][cells[:, 0], cells[:, 1]]
    order = values.argsort(descending=True)[:most]
    cells, values = cells[order], values[order]
    if not len(cells):
        return features_chw.new_zeros((0, *features_chw.shape[1:])), values
    logits = dynamic_masks(features_chw, kernels_khw[:, cells[:, 0], cells[:, 1]].T, cells)
    flat = (logits > 0).flatten(1).float()
    area = flat.sum(1)
    sureness = (logits.sigmoid().flatten(1) * flat).sum(1) / area.clamp(min=1)
    common = flat @ flat.T
    iou = common / (area[:, None] + area[None] - common).clamp(min=1)
    inside = common / area[None].clamp(min=1)  # inside[i, j]: share of j covered by i
    keep: list[int] = []
    for i in (values * sureness).argsort(descending=True).tolist():
        clear = all(iou[i, j] < overlap and (inside[j, i] < 0.9 or area[j] > 4 * area[i]) for j in keep)
        if area[i] >= 6 and clear:
            keep.append(i)
    return logits[keep], (values * sureness)[keep]
