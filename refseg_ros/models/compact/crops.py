"""What an instance looks like, seen from close by: the backbone on a small square picture of each mask, and what its
classifier takes that for."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from refseg_ros.models.compact.backbone import CHANNELS, KNOWN, Backbone

SIDE = 128
MARGIN = 1.15  # of the longer side of the mask's box: a little of what is around belongs to the look
WEIGHT_SIDE = SIDE // 8
BATCH = 16
# The finest map adds nothing to the other three at this size: nouns are told apart as well without it.
LEVELS = (1, 2, 3)
CROP_FEATURES = sum(CHANNELS[level] for level in LEVELS) + KNOWN
ELSEWHERE = 1e-3  # weight of the pixels around the mask


def square_crops(
    detail_chw: npt.NDArray[np.float32], masks_nhw: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Pictures (N, 3, SIDE, SIDE) around N masks, and the masks in them, (N, WEIGHT_SIDE, WEIGHT_SIDE) in 0..1.

    detail: normalised, of twice the masks' size; further channels are ignored. Outside of the image all is 0. A mask
    without pixels gives zeros.
    """
    pictures = np.zeros((len(masks_nhw), 3, SIDE, SIDE), np.float32)
    weights = np.zeros((len(masks_nhw), WEIGHT_SIDE, WEIGHT_SIDE), np.float32)
    for n, mask in enumerate(masks_nhw):
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        half = max(2, round(MARGIN / 2 * max(rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1)))
        top, left = (rows[0] + rows[-1] + 1) // 2 - half, (cols[0] + cols[-1] + 1) // 2 - half
        picture = _cut(detail_chw[:3], 2 * top, 2 * left, 4 * half).transpose(1, 2, 0)
        pictures[n] = _resized(picture, SIDE).transpose(2, 0, 1)
        weights[n] = _resized(_cut(mask[None], top, left, 2 * half)[0].astype(np.float32), WEIGHT_SIDE)
    return pictures, weights


def _cut(image_chw: npt.NDArray, top: int, left: int, side: int) -> npt.NDArray:
    """A square piece, zero where it reaches over the image's edge."""
    out = np.zeros((len(image_chw), side, side), image_chw.dtype)
    y0, x0 = max(top, 0), max(left, 0)
    piece = image_chw[:, y0 : max(top + side, 0), x0 : max(left + side, 0)]
    out[:, y0 - top : y0 - top + piece.shape[1], x0 - left : x0 - left + piece.shape[2]] = piece
    return out


def _resized(image: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Squares of any size to `side`, without aliasing."""
    how = cv2.INTER_AREA if len(image) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=how), np.float32)


@torch.no_grad()
def crop_features(backbone: Backbone, pictures_nchw: Tensor, weights_nhw: Tensor) -> Tensor:
    """(N, CROP_FEATURES): the backbone's maps of each picture, averaged over its mask; then Backbone.likeness()."""
    out = []
    for pictures, weights in zip(pictures_nchw.split(BATCH), weights_nhw.split(BATCH), strict=True):
        maps = backbone(pictures)
        pooled = []
        for level in LEVELS:
            share = F.adaptive_avg_pool2d(weights[:, None], maps[level].shape[-2:]) + ELSEWHERE
            pooled.append((maps[level] * share).sum((2, 3)) / share.sum((2, 3)))
        out.append(torch.cat([*pooled, backbone.likeness(maps[-1])], 1))
    return torch.cat(out) if out else pictures_nchw.new_zeros((0, CROP_FEATURES))
