"""What is true of one sample, as the head is taught it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Target:
    """labels_n: long, index of each segment's phrase; boxes_n4: centre x, centre y, width, height as shares of the
    network's input; masks_nhw: 0..1 on any grid over that input, None where only boxes are known; stuff_n: bool.

    All on the head's device. Raises ValueError when they do not belong together.
    """

    labels_n: Tensor
    boxes_n4: Tensor
    masks_nhw: Tensor | None
    stuff_n: Tensor

    def __post_init__(self) -> None:
        count = len(self.labels_n)
        if self.boxes_n4.shape != (count, 4) or len(self.stuff_n) != count:
            raise ValueError(
                f"{count} labels need boxes ({count}, 4) and stuff ({count},), "
                f"not {tuple(self.boxes_n4.shape)} and {tuple(self.stuff_n.shape)}"
            )
        if self.masks_nhw is not None and (self.masks_nhw.ndim != 3 or len(self.masks_nhw) != count):
            raise ValueError(f"{count} labels need masks ({count}, h, w), not {tuple(self.masks_nhw.shape)}")


def resized(masks_nhw: Tensor, grid: tuple[int, int]) -> Tensor:
    """Masks (N, h, w) as shares of the cells of another grid."""
    if masks_nhw.shape[-2:] == grid or not len(masks_nhw):
        return masks_nhw.reshape(-1, *grid)
    return F.interpolate(masks_nhw[:, None], size=grid, mode="area")[:, 0]


def target_of(masks_nhw: Tensor, labels: Sequence[int], stuff: Sequence[bool] | None = None) -> Target:
    """A Target from masks alone, on their device; boxes are drawn around what is set, edge to edge.

    Raises ValueError for a mask without any cell set.
    """
    count, height, width = masks_nhw.shape
    boxes = torch.zeros(count, 4)
    for n, mask in enumerate(masks_nhw > 0.5):
        rows, cols = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        if not len(rows):
            raise ValueError(f"target mask {n} is empty: leave it out")
        top, bottom = int(rows[0]) / height, (int(rows[-1]) + 1) / height
        left, right = int(cols[0]) / width, (int(cols[-1]) + 1) / width
        boxes[n] = torch.tensor([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
    device = masks_nhw.device
    flags = torch.tensor(list(stuff) if stuff is not None else [False] * count, dtype=torch.bool, device=device)
    return Target(torch.tensor(labels, dtype=torch.long, device=device), boxes.to(device), masks_nhw.float(), flags)
