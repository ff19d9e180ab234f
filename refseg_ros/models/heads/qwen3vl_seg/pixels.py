"""Box-guided high-resolution pixel fusion: upsampled features and gated RGB texture, at a quarter of the stride.

F_pixel = U + gate x T, where U comes from two PixelShuffle stages and T from a CNN stem on RGB, each through its own
half of the 1 x 1 fusing convolution. Only the gate differs from answer to answer: U and T are worked out once a frame,
and a mask's dot product with F_pixel, and its mean over a mask, are taken without ever writing F_pixel down.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.heads.qwen3vl_seg.config import GROUPS, Qwen3VLSegConfig


def _stage(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, 4 * outside, 3, padding=1), nn.PixelShuffle(2), nn.GroupNorm(GROUPS, outside), nn.GELU()
    )


def _halving(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, 2, 1), nn.GroupNorm(GROUPS, outside), nn.GELU())


class PixelFusion(nn.Module):
    """The parts of F_pixel that depend on the image alone."""

    def __init__(self, config: Qwen3VLSegConfig) -> None:
        super().__init__()
        pixel, self._shrink = config.pixel_width, config.stride // 4
        self.up = nn.Sequential(_stage(config.width, 2 * pixel), _stage(2 * pixel, pixel))
        self.fuse_up = nn.Conv2d(pixel, pixel, 1)
        if config.pixel_fusion:
            self.stem = nn.Sequential(_halving(3, config.stem_width), _halving(config.stem_width, config.stem_width))
            self.fuse_stem = nn.Conv2d(config.stem_width, pixel, 1)

    def forward(self, features_vdhw: Tensor, image_v3hw: Tensor) -> tuple[Tensor, Tensor | None]:
        """U and T, (v, P, 4 h, 4 w) each; T is None without RGB. image_v3hw: RGB in 0..1, stride x the features."""
        up = self.fuse_up(self.up(features_vdhw))
        if not hasattr(self, "stem"):
            return up, None
        # The stem halves twice; at strides other than 16 the image is first brought to four times the grid of U.
        size = (4 * up.shape[2], 4 * up.shape[3])
        image = image_v3hw.to(up.dtype)
        if image.shape[2:] != size:
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
        return up, self.fuse_stem(self.stem(2 * image - 1))


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """F_pixel of a answers. up_vphw, texture_vphw: of v images; gate_ahw; image_a: whose image."""

    up_vphw: Tensor
    texture_vphw: Tensor | None
    gate_ahw: Tensor
    image_a: Tensor

    def dot(self, kernels_akp: Tensor) -> Tensor:
        """(a, k, h, w): the dot product of each kernel with F_pixel."""
        out = self._times(kernels_akp, self.up_vphw.flatten(2))
        if self.texture_vphw is not None:
            gate = self.gate_ahw.flatten(1)[:, None]
            out = out + gate * self._times(kernels_akp, self.texture_vphw.flatten(2))
        return out.unflatten(2, self.up_vphw.shape[2:])

    def pooled(self, weights_akhw: Tensor) -> Tensor:
        """(a, k, P): the weighted mean of F_pixel."""
        weights = weights_akhw.flatten(2)
        total = self._times(weights, self.up_vphw.flatten(2).transpose(1, 2))
        if self.texture_vphw is not None:
            gated = weights * self.gate_ahw.flatten(1)[:, None]
            total = total + self._times(gated, self.texture_vphw.flatten(2).transpose(1, 2))
        return total / weights.sum(2).clamp(min=1e-6)[..., None]

    def _times(self, left_akm: Tensor, right_vmn: Tensor) -> Tensor:
        """(a, k, n): each answer's rows times its image's matrix; one product for all where there is one image."""
        if len(right_vmn) == 1:
            return (left_akm.flatten(0, 1) @ right_vmn[0]).unflatten(0, left_akm.shape[:2])
        return left_akm @ right_vmn[self.image_a]
