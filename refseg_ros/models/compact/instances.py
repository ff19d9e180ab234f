"""Class-agnostic instance masks, found once per frame: a mask kernel from each cell of a grid (after CondInst).

Source of the idea: Tian et al., Conditional Convolutions for Instance Segmentation, ECCV 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.backbone import CHANNELS

WIDTH, MASK_CHANNELS, HIDDEN = 96, 16, 8
GRID_STRIDE = 8  # of the backbone's image; masks are at its full size, stride 2 of the detail image
KERNEL_NUMBERS = (MASK_CHANNELS + 2) * HIDDEN + HIDDEN + HIDDEN + 1
OFFSET_SCALE = 64.0  # mask pixels
COARSE = 4  # duplicates are told apart on masks of this stride
MOST_CELLS = 100


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)
    )


class InstanceHead(nn.Module):
    """Backbone maps and the detail image in; objectness logits and kernels on a stride-8 grid, mask features out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem1, self.stem2, self.stem4 = _conv(5, 16, 2), _conv(16, 24, 2), _conv(24, 32, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in CHANNELS)
        self.stem_in = nn.Conv2d(32, WIDTH, 1)
        self.down = _conv(WIDTH, WIDTH, 2)
        self.tower = nn.Sequential(_conv(WIDTH, WIDTH), _conv(WIDTH, WIDTH), _conv(WIDTH, WIDTH))
        self.objectness = nn.Conv2d(WIDTH, 1, 3, 1, 1)
        self.kernel = nn.Conv2d(WIDTH, KERNEL_NUMBERS, 3, 1, 1)
        self.fuse4 = _conv(WIDTH, 48)
        self.fuse2 = _conv(48 + 24, 32)
        self.to_mask = nn.Sequential(_conv(32 + 16, 16), nn.Conv2d(16, MASK_CHANNELS, 1))
        nn.init.constant_(self.objectness.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor], detail_bchw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """maps: of an image (H, W); detail (B, 5, 2H, 2W).

        Returns objectness (B, 1, H/8, W/8), kernels (B, KERNEL_NUMBERS, H/8, W/8), features (B, 16, H, W).
        """
        s1 = self.stem1(detail_bchw)
        s2 = self.stem2(s1)
        top = self.lateral[3](maps[3])
        for level in (2, 1, 0):
            top = self.lateral[level](maps[level]) + _grown(top, maps[level])
            if level == 1:
                grid = top
        top = top + self.stem_in(self.stem4(s2))
        tower = self.tower(grid + self.down(top))
        half = self.fuse2(torch.cat([_grown(self.fuse4(top), s2), s2], 1))
        return self.objectness(tower), self.kernel(tower), self.to_mask(torch.cat([_grown(half, s1), s1], 1))


def _grown(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def apply_kernels(kernels_nk: Tensor, cells_n2: Tensor, features_cp: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Mask logits (N, P) of N kernels at points of one image's mask features.

    cells_n2: (row, column) of each kernel's grid cell: masks see each point's offset from it. features_cp: (C, P), the
    same points for every kernel, or (N, C, P); rows, cols: the points' places in mask pixels, (P,) or (N, P).
    """
    count = len(kernels_nk)
    centre = (cells_n2.float() + 0.5) * (GRID_STRIDE / OFFSET_SCALE)
    w1, b1, w2, b2 = kernels_nk.split([(MASK_CHANNELS + 2) * HIDDEN, HIDDEN, HIDDEN, 1], 1)
    w1 = w1.reshape(count, HIDDEN, MASK_CHANNELS + 2)
    # A point's offset from its cell is its place less the cell's: as places are further features and cells go into the
    # bias, all is one matrix product.
    bias = b1 - (w1[..., MASK_CHANNELS:] * centre[:, None]).sum(-1)
    places = torch.stack([rows, cols, torch.full_like(rows, OFFSET_SCALE)], -2) / OFFSET_SCALE
    lead = torch.broadcast_shapes(features_cp.shape[:-2], places.shape[:-2])
    points = torch.cat([x.expand(*lead, -1, -1) for x in (features_cp, places)], -2)
    hidden = torch.matmul(torch.cat([w1, bias[..., None]], -1), points)
    return torch.matmul(w2[:, None], hidden.relu_())[:, 0] + b2


def _on_grid(kernels_nk: Tensor, cells_n2: Tensor, features_chw: Tensor, top: int, left: int, stride: int) -> Tensor:
    """Logits (N, h, w) at every pixel of a piece of the features; its corner and stride in mask pixels."""
    height, width = features_chw.shape[1:]
    device = features_chw.device
    rows = top + stride * (torch.arange(height, device=device, dtype=torch.float32) + 0.5)
    cols = left + stride * (torch.arange(width, device=device, dtype=torch.float32) + 0.5)
    rows, cols = rows.repeat_interleave(width), cols.repeat(height)
    return apply_kernels(kernels_nk, cells_n2, features_chw.flatten(1), rows, cols).reshape(-1, height, width)


@torch.no_grad()
def find_instances(
    objectness_1hw: Tensor, kernels_khw: Tensor, features_chw: Tensor,
    threshold: float = 0.15, most: int = 40, overlap: float = 0.6,
) -> tuple[Tensor, Tensor]:
    """Masks of one image, best first: logits (N, H, W) and scores (N,). Duplicates by overlap are dropped.

    Every cell above the threshold is tried: keeping only local peaks of objectness lost small things side by side
    (recall 0.91 instead of 0.96). Duplicates are found on coarse masks; those that stay are computed in full around
    their own coarse mask only.
    """
    scores = objectness_1hw.sigmoid()
    cells = (scores[0] > threshold).nonzero()
    values = scores[0][cells[:, 0], cells[:, 1]]
    order = values.argsort(descending=True)[:MOST_CELLS]
    cells, values = cells[order], values[order]
    if not len(cells):
        return features_chw.new_zeros((0, *features_chw.shape[1:])), values
    kernels = kernels_khw[:, cells[:, 0], cells[:, 1]].T
    coarse = _on_grid(kernels, cells, F.avg_pool2d(features_chw[None], COARSE)[0], 0, 0, COARSE)
    flat = (coarse > 0).flatten(1).float()
    area = flat.sum(1)
    sureness = (coarse.sigmoid().flatten(1) * flat).sum(1) / area.clamp(min=1)
    common = flat @ flat.T
    iou = common / (area[:, None] + area[None] - common).clamp(min=1)
    within = (common / area[None].clamp(min=1)).T  # within[i, j]: share of i covered by j
    alike = ((iou >= overlap) | ((within >= 0.9) & (area[None] <= 4 * area[:, None]))).cpu().numpy()
    keep: list[int] = []
    for i in (values * sureness).argsort(descending=True).tolist():
        if area[i] >= 1 and not alike[i, keep].any():
            keep.append(i)
        if len(keep) == most:
            break
    logits = features_chw.new_full((len(keep), *features_chw.shape[1:]), -10.0)
    for n, i in enumerate(keep):
        found = (coarse[i] > 0).nonzero()
        top, left = (COARSE * (found.min(0).values - 2).clamp(min=0)).tolist()
        bottom, right = (COARSE * (found.max(0).values + 3)).tolist()
        piece = features_chw[:, top:bottom, left:right]
        fine = _on_grid(kernels[i : i + 1], cells[i : i + 1], piece, top, left, 1)
        logits[n, top:bottom, left:right] = fine[0]
    return logits, (values * sureness)[keep]
