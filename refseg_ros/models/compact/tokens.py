"""One token per instance: what it looks like (its colour, its crop's features, what it is like) and where it is."""

from __future__ import annotations

import torch
from torch import Tensor

from refseg_ros.models.compact.crops import CROP_FEATURES

APPEARANCE = CROP_FEATURES + 6
GEOMETRY = 10
FREQUENCIES = 6


def instance_tokens(
    masks_nhw: Tensor,
    crops_nf: Tensor,
    image_chw: Tensor,
    depth_hw: Tensor | None,
    rays_3: tuple[float, float, float],
) -> tuple[Tensor, Tensor]:
    """Appearance (N, APPEARANCE) and geometry (N, GEOMETRY) of N masks of one image.

    masks_nhw: bool; crops_nf: crops.crop_features() of the masks; image_chw: normalised, the masks' size;
    depth_hw: metres, the masks' size, 0 = none, or None; rays_3: (focal length, cx, cy) in mask pixels.
    """
    small = image_chw.flatten(1)
    weight = masks_nhw.flatten(1).float()
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
    mean = weight @ small.T
    spread = (weight @ (small * small).T - mean * mean).clamp(min=0).sqrt()
    return torch.cat([mean, spread, crops_nf], 1), _geometry(masks_nhw, depth_hw, rays_3)


def _geometry(masks_nhw: Tensor, depth_hw: Tensor | None, rays_3: tuple[float, float, float]) -> Tensor:
    """Centre, size and area in shares of the image; then validity, x, y, z (metres) and nearness if depth is known."""
    count, height, width = masks_nhw.shape
    long = max(height, width)
    out = torch.zeros(count, GEOMETRY)
    for n in range(count):
        rows, cols = masks_nhw[n].nonzero(as_tuple=True)
        if not len(rows):
            continue
        y, x = rows.float(), cols.float()
        out[n, 0], out[n, 1] = x.mean() / long, y.mean() / long
        out[n, 2], out[n, 3] = (x.max() - x.min() + 1) / long, (y.max() - y.min() + 1) / long
        out[n, 4] = (len(rows) ** 0.5) / long
        if depth_hw is None:
            continue
        z = depth_hw[rows, cols]
        good = z > 0
        if good.sum() < 4:
            continue
        focal, cx, cy = rays_3
        z, x, y = z[good], x[good], y[good]
        out[n, 5] = 1
        out[n, 6] = ((x + 0.5 - cx) / focal * z).median()
        out[n, 7] = ((y + 0.5 - cy) / focal * z).median()
        out[n, 8] = z.median()
        out[n, 9] = z.median() * len(rows) ** 0.5 / focal  # apparent size in metres
    return out


def fourier(values: Tensor) -> Tensor:
    """(..., D) -> (..., D * (1 + 2 * FREQUENCIES)): each number, and its sines and cosines at doubling frequencies."""
    angles = values[..., None] * (torch.pi * 2.0 ** torch.arange(FREQUENCIES, device=values.device))
    waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
    return torch.cat([values, waves], -1)
