"""The soft box gate: where the RGB texture may speak. One gate an answer, the maximum over its boxes.

As published, a gate is the product of four sigmoids of steepness 20 in coordinates of 0..1, around the box grown by
15 % to each side. Its peak, at the box's centre, is then 0.10 for a square box of width 0.02, 0.19 for 0.05, 0.38 for
0.1 and 0.75 for 0.2: small objects would lose the texture that they need most. We divide by the peak, which leaves
large boxes as they are and opens the gate wholly in the middle of small ones.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_gate(
    boxes_ak4: Tensor, there_ak: Tensor, grid: tuple[int, int], *, margin: float, alpha: float, by_peak: bool
) -> Tensor:
    """(a, h, w) in 0..1 at the cells' centres; 0 where an answer has no box. grid: (height, width)."""
    height, width = grid
    x, y, w, h = boxes_ak4.unbind(-1)
    across = _side(x, w * (1 + 2 * margin), width, alpha, by_peak)
    down = _side(y, h * (1 + 2 * margin), height, alpha, by_peak)
    gate = down[..., :, None] * across[..., None, :] * there_ak[..., None, None]
    return gate.amax(1)


def _side(centre_ak: Tensor, length_ak: Tensor, cells: int, alpha: float, by_peak: bool) -> Tensor:
    """(a, k, cells): the two sigmoids of one axis."""
    at = (torch.arange(cells, device=centre_ak.device, dtype=centre_ak.dtype) + 0.5) / cells
    off, half = at - centre_ak[..., None], length_ak[..., None] / 2
    inside = torch.sigmoid(alpha * (off + half)) * torch.sigmoid(alpha * (half - off))
    return inside / torch.sigmoid(alpha * half) ** 2 if by_peak else inside
