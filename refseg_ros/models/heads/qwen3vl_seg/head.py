"""Qwen3-VL-Seg's mask decoder (arXiv 2605.07141): boxes and <mask_token> states of a language model -> masks.

Four parts, named as in the paper: injection.py, queries.py, pixels.py, refinement.py; then a linear IoU head. No
segmentation model inside. Where the paper is silent the choices are ours: the PixelShuffle stages read the
memory (two things that look alike differ in their places alone), the fusing convolutions are 1 x 1, and boxes of one
answer see one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from refseg_ros.models.heads.qwen3vl_seg.config import Qwen3VLSegConfig
from refseg_ros.models.heads.qwen3vl_seg.gate import box_gate
from refseg_ros.models.heads.qwen3vl_seg.injection import SpatialFeatureInjection
from refseg_ros.models.heads.qwen3vl_seg.objects import Objects, jittered
from refseg_ros.models.heads.qwen3vl_seg.pixels import PixelFeatures, PixelFusion
from refseg_ros.models.heads.qwen3vl_seg.queries import SpatialSemanticQueries
from refseg_ros.models.heads.qwen3vl_seg.refinement import MaskAwareRefinement


@dataclass(frozen=True, eq=False)
class Qwen3VLSegEncoded:
    """What v images are worth computing once. memory_vld; up_vphw, texture_vphw: the parts of F_pixel."""

    memory_vld: Tensor
    up_vphw: Tensor
    texture_vphw: Tensor | None


@dataclass(frozen=True, eq=False)
class Qwen3VLSegOutput:
    """passes: mask logits (a, k, h, w) of each pass, the last is the answer; iou_ak: the mask's expected IoU, about
    0..1; there_ak: False for padding. The grid is a quarter of the stride over the padded input."""

    passes: tuple[Tensor, ...]
    iou_ak: Tensor
    there_ak: Tensor

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """Mask logits (k_i, h, w) of each answer, without padding."""
        return tuple(m[t] for m, t in zip(self.passes[-1], self.there_ak, strict=True))


class Qwen3VLSegHead(nn.Module):
    """encode() once a frame, decode() once for a batch of answers; forward() does both."""

    def __init__(self, config: Qwen3VLSegConfig) -> None:
        super().__init__()
        self.config = config
        self.injection = SpatialFeatureInjection(config)
        self.queries = SpatialSemanticQueries(config)
        self.pixels = PixelFusion(config)
        self.refinement = MaskAwareRefinement(config)
        self.iou = nn.Linear(config.width, 1)

    def encode(self, maps: Sequence[Tensor], states_vchw: Tensor, image_v3hw: Tensor) -> Qwen3VLSegEncoded:
        """Once a frame. maps: (v, c_i, h_i, w_i) each; states_vchw: the language model's last states at the image
        tokens, on their raster; image_v3hw: the padded RGB in 0..1, sides that are multiples of the stride."""
        height, width = image_v3hw.shape[2:]
        stride = self.config.stride
        if height % stride or width % stride:
            raise ValueError(f"an image of {height} x {width} is no multiple of the stride, {stride}")
        grid = (height // stride, width // stride)
        raster, memory = self.injection(maps, states_vchw, grid)
        return Qwen3VLSegEncoded(memory, *self.pixels(raster, image_v3hw))

    def decode(self, encoded: Qwen3VLSegEncoded, objects: Objects) -> Qwen3VLSegOutput:
        """Masks of all objects of all answers."""
        config, boxes = self.config, objects.boxes_ak4
        if self.training and config.box_jitter:
            boxes = jittered(boxes, config.box_jitter)
        query = self.queries(objects, boxes, encoded.memory_vld)
        up = encoded.up_vphw
        gate = box_gate(
            boxes.float(), objects.there_ak, (up.shape[2], up.shape[3]),
            margin=config.gate_margin, alpha=config.gate_alpha, by_peak=config.gate_by_peak,
        )  # fmt: skip
        pixels = PixelFeatures(up, encoded.texture_vphw, gate.to(up.dtype), objects.image_a)
        passes, query = self.refinement(query, pixels)
        return Qwen3VLSegOutput(passes, self.iou(query)[..., 0], objects.there_ak)

    def forward(
        self, maps: Sequence[Tensor], states_vchw: Tensor, image_v3hw: Tensor, objects: Objects
    ) -> Qwen3VLSegOutput:
        """encode() and decode()."""
        return self.decode(self.encode(maps, states_vchw, image_v3hw), objects)
