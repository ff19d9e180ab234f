"""How an image becomes a network's input, and the exact way back from mask logits and boxes to its pixels.

Pixel coordinates count from the image's corner, so that the centre of the first pixel is at 0.5 (cv2.resize and
F.interpolate without align_corners agree with this). Padding lies right and below only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Size = tuple[int, int]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """original: the image's (width, height); resized: what it is resized to; padded: the network's input.

    Normalised coordinates are shares of the padded input, 0..1. Raises ValueError for sizes that cannot be.
    """

    original: Size
    resized: Size
    padded: Size

    def __post_init__(self) -> None:
        for name in ("original", "resized", "padded"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"Geometry.{name} must be at least 1 x 1, not {getattr(self, name)}")
        if self.resized[0] > self.padded[0] or self.resized[1] > self.padded[1]:
            raise ValueError(f"Geometry.resized {self.resized} must fit into padded {self.padded}")

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y): input pixels per image pixel."""
        return self.resized[0] / self.original[0], self.resized[1] / self.original[1]

    def finer(self, times: int) -> Geometry:
        """The same place in an input of so many times the size."""
        resized, padded = ((side[0] * times, side[1] * times) for side in (self.resized, self.padded))
        return Geometry(original=self.original, resized=resized, padded=padded)

    def place(self, rgb_hwc: npt.NDArray[np.uint8], fill: int = 0) -> npt.NDArray[np.uint8]:
        """The image resized and padded: uint8 (padded height, padded width, C). fill: the padding's grey value."""
        if (rgb_hwc.shape[1], rgb_hwc.shape[0]) != self.original:
            raise ValueError(f"the image is {rgb_hwc.shape[1]} x {rgb_hwc.shape[0]}, the geometry's {self.original}")
        shrinks = self.resized[0] <= self.original[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        out = np.full((self.padded[1], self.padded[0], rgb_hwc.shape[2]), fill, np.uint8)
        out[: self.resized[1], : self.resized[0]] = cv2.resize(rgb_hwc, self.resized, interpolation=how)
        return out

    def to_image(self, logits_nhw: Tensor) -> Tensor:
        """Mask logits on any grid over the padded input -> logits (N, H, W) at the image's own pixels.

        Bilinear between cell centres. Cells whose centre lies in the padding are not read: they know nothing.
        """
        width, height = self.original
        rows = _taps(logits_nhw.shape[1], height, self.scale[1], self.resized[1], self.padded[1])
        cols = _taps(logits_nhw.shape[2], width, self.scale[0], self.resized[0], self.padded[0])
        tall = _lerp(logits_nhw, 1, *rows)
        return _lerp(tall, 2, *cols)

    def to_grid(self, masks_nhw: Tensor, grid: Size) -> Tensor:
        """Masks (N, H, W) of the image -> exact share (N, h, w) of each cell they cover. grid: (height, width).

        The cells tile the padded input; a cell in the padding has share 0.
        """
        height, width = grid
        rows = _overlap(height, self.original[1], self.scale[1], self.padded[1]).to(masks_nhw.device)
        cols = _overlap(width, self.original[0], self.scale[0], self.padded[0]).to(masks_nhw.device)
        return rows @ masks_nhw.float() @ cols.T

    def inside(self, grid: Size) -> Tensor:
        """bool (height, width): cells whose centre lies in the image, not in the padding. grid: (height, width)."""
        height, width = grid
        down = (torch.arange(height) + 0.5) * self.padded[1] / height < self.resized[1]
        across = (torch.arange(width) + 0.5) * self.padded[0] / width < self.resized[0]
        return down[:, None] & across[None]

    def boxes_to_input(self, boxes_xyxy: Tensor) -> Tensor:
        """(..., 4) x0, y0, x1, y1 in image pixels -> normalised centre x, centre y, width, height."""
        across, down = self.scale[0] / self.padded[0], self.scale[1] / self.padded[1]
        x0, y0, x1, y1 = (boxes_xyxy * boxes_xyxy.new_tensor([across, down, across, down])).unbind(-1)
        return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], -1)

    def boxes_to_image(self, boxes_cxcywh: Tensor) -> Tensor:
        """The way back from boxes_to_input(), clipped to the image."""
        x, y, w, h = boxes_cxcywh.unbind(-1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
        across, down = self.padded[0] / self.scale[0], self.padded[1] / self.scale[1]
        corners = corners * corners.new_tensor([across, down, across, down])
        width, height = self.original
        return torch.minimum(corners.clamp(min=0), corners.new_tensor([width, height, width, height]))


def letterbox(original: Size, long_side: int, *, multiple: int = 0) -> Geometry:
    """Aspect kept, long side resized to `long_side`; padded to a square, or to multiples of `multiple` if given."""
    ratio = long_side / max(original)
    resized = max(1, round(original[0] * ratio)), max(1, round(original[1] * ratio))
    if multiple:
        padded = -(-resized[0] // multiple) * multiple, -(-resized[1] // multiple) * multiple
    else:
        padded = long_side, long_side
    return Geometry(original=original, resized=resized, padded=padded)


def stretched(original: Size, resized: Size) -> Geometry:
    """Resized in both directions to `resized`, nothing padded."""
    return Geometry(original=original, resized=resized, padded=resized)


def stretched_within(original: Size, multiple: int, least: int, most: int) -> Geometry:
    """The nearest size in multiples of `multiple` whose pixels number `least` to `most`, as Qwen-VL resizes."""
    width, height = original
    size = tuple(max(multiple, round(side / multiple) * multiple) for side in original)
    if size[0] * size[1] > most:
        shrink = (width * height / most) ** 0.5
        size = tuple(max(multiple, math.floor(side / shrink / multiple) * multiple) for side in original)
    elif size[0] * size[1] < least:
        grow = (least / (width * height)) ** 0.5
        size = tuple(math.ceil(side * grow / multiple) * multiple for side in original)
    return stretched(original, (size[0], size[1]))


def normalised(pixels_hwc: npt.NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (H, W, 3) -> float (3, H, W), (value / 255 - mean) / std."""
    scaled = pixels_hwc.astype(np.float32) / 255
    shifted = (scaled - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(shifted.transpose(2, 0, 1).copy())


def denormalised(pixels_bchw: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """What normalised() began with, in 0..1."""
    return pixels_bchw * pixels_bchw.new_tensor(std).view(3, 1, 1) + pixels_bchw.new_tensor(mean).view(3, 1, 1)


def _taps(cells: int, pixels: int, scale: float, inner: int, padded: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each image pixel: the two cells it lies between (P,), (P,) and the second one's weight (P,)."""
    # float64: a pixel that falls on a cell's centre must read that cell alone.
    at = (torch.arange(pixels, dtype=torch.float64) + 0.5) * scale * cells / padded - 0.5
    centres = (torch.arange(cells, dtype=torch.float64) + 0.5) * padded / cells
    last = max(int((centres < inner).sum()) - 1, 0)
    at = at.clamp(0, last)
    low = at.floor().long()
    return low, (low + 1).clamp(max=last), at - low


def _lerp(values: Tensor, axis: int, low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    low, high = low.to(values.device), high.to(values.device)
    shape = [1, 1, 1]
    shape[axis] = -1
    share = weight.to(values.device, values.dtype).view(shape)
    first = values.index_select(axis, low)
    return first + share * (values.index_select(axis, high) - first)


def _overlap(cells: int, pixels: int, scale: float, padded: int) -> Tensor:
    """(cells, pixels): which share of each cell each image pixel covers, along one axis."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * padded / cells
    start = torch.arange(pixels, dtype=torch.float64) * scale
    low = torch.maximum(edges[:-1, None], start[None])
    high = torch.minimum(edges[1:, None], start[None] + scale)
    return ((high - low).clamp(min=0) / (padded / cells)).float()
