"""Iterative mask-aware query refinement: a mask, what lies under it, a better query, the mask again. Two passes."""

from __future__ import annotations

from torch import Tensor, nn

from refseg_ros.models.heads.qwen3vl_seg.config import Qwen3VLSegConfig
from refseg_ros.models.heads.qwen3vl_seg.pixels import PixelFeatures


class MaskAwareRefinement(nn.Module):
    """M1 = kernel(Q1) . F_pixel; Q2 = LN(Q1 + phi(mean of F_pixel under sigmoid(M1))); M2 = kernel(Q2) . F_pixel."""

    def __init__(self, config: Qwen3VLSegConfig) -> None:
        super().__init__()
        width, pixel = config.width, config.pixel_width
        # One number more than channels: the kernel's own bias.
        self.kernel = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, pixel + 1))
        if config.refinement:
            self.phi = nn.Sequential(nn.Linear(pixel, width), nn.GELU(), nn.Linear(width, width))
            self.norm = nn.LayerNorm(width)

    def forward(self, query_akd: Tensor, pixels: PixelFeatures) -> tuple[tuple[Tensor, ...], Tensor]:
        """Mask logits (a, k, h, w) of each pass, and the last query (a, k, D)."""
        first = self._masks(query_akd, pixels)
        if not hasattr(self, "phi"):
            return (first,), query_akd
        refined = self.norm(query_akd + self.phi(pixels.pooled(first.sigmoid())))
        return (first, self._masks(refined, pixels)), refined

    def _masks(self, query_akd: Tensor, pixels: PixelFeatures) -> Tensor:
        kernel = self.kernel(query_akd)
        return pixels.dot(kernel[..., :-1]) + kernel[..., -1:, None]
