"""What a real RGB-D sensor makes of a perfect picture: noise, blur, holes, flying pixels. Seeded and fast."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SensorModel:
    """Strengths of the faults; 0 switches one off.

    read_noise and shot_noise: grey levels; depth_noise: metres of standard deviation at 1 m, growing with the
    square of the distance; flying_share: share of pixels at depth edges that fly between the two surfaces;
    hole_share: share of edge pixels without depth; min_m, max_m: the sensor's range.
    """

    read_noise: float = 1.5
    shot_noise: float = 0.25
    blur_px: float = 0.5
    exposure: float = 0.08
    white_balance: float = 0.03
    jpeg_quality: int = 92
    depth_noise: float = 0.0012
    flying_share: float = 0.3
    hole_share: float = 0.3
    min_m: float = 0.2
    max_m: float = 4.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"SensorModel.{item.name} must be a number of at least 0, not {value}")
        for name in ("flying_share", "hole_share"):
            if getattr(self, name) > 1:
                raise ValueError(f"SensorModel.{name} must be at most 1, not {getattr(self, name)}")
        if self.min_m >= self.max_m:
            raise ValueError(f"SensorModel.min_m ({self.min_m}) must be below max_m ({self.max_m})")

    def color(self, rgb: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3) in and out."""
        gain = 2 ** rng.normal(0, self.exposure) * (1 + rng.normal(0, self.white_balance, 3))
        picture: npt.NDArray[Any] = rgb.astype(np.float32) * gain.astype(np.float32)
        if self.blur_px > 0:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur_px)
        sigma = self.read_noise + self.shot_noise * np.sqrt(np.maximum(picture, 0))
        picture += sigma * rng.standard_normal(picture.shape, np.float32)
        noisy = np.clip(picture, 0, 255).astype(np.uint8)
        if self.jpeg_quality:
            _, data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
            noisy = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return noisy

    def depth(self, depth: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Metres, float32 (H, W), 0 = none, in and out; quantised to a millimetre."""
        near = cv2.erode(depth, np.ones((3, 3), np.uint8))
        far = cv2.dilate(depth, np.ones((3, 3), np.uint8))
        edge = (far - near) > 0.03
        noise = rng.standard_normal(depth.shape, np.float32)
        out = depth + self.depth_noise * depth * depth * noise
        chance = rng.random(depth.shape, np.float32)
        flying = edge & (chance < self.flying_share)
        mix = rng.random(depth.shape, np.float32)
        out = np.where(flying, near + mix * (far - near), out)
        hole = edge & (chance > 1 - self.hole_share)
        valid = (depth > 0) & ~hole & (out >= self.min_m) & (out <= self.max_m)
        return np.where(valid, np.round(out * 1000) / 1000, 0).astype(np.float32)
