"""What a real RGB-D sensor makes of a perfect picture: noise, blur, holes, flying pixels. Seeded and fast."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

EDGE_M = 0.03
GRAZING_SLOPE = 6.0  # about 80 degrees from the surface's normal
KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class SensorModel:
    """Strengths of the faults; 0 switches one off.

    exposure, white_balance: spread of the gain, in stops and as a share; blur_px: of the focus, standard deviation;
    motion_px: length of a straight smear; vignette: share of light lost in the corners; holes: patches without depth.
    read_noise and shot_noise: grey levels; depth_noise: metres of standard deviation at 1 m, growing with the
    square of the distance; flying_share: share of pixels at depth edges that fly between the two surfaces;
    hole_share, grazing_share: share of pixels without depth at such edges and on surfaces seen from the side;
    min_m, max_m: the sensor's range.
    """

    read_noise: float = 1.5
    shot_noise: float = 0.25
    blur_px: float = 0.5
    exposure: float = 0.08
    white_balance: float = 0.03
    jpeg_quality: int = 92
    motion_px: float = 0.0
    vignette: float = 0.0
    holes: int = 0
    depth_noise: float = 0.0012
    flying_share: float = 0.3
    hole_share: float = 0.3
    grazing_share: float = 0.2
    min_m: float = 0.2
    max_m: float = 4.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"SensorModel.{item.name} must be a number of at least 0, not {value}")
        for name in ("flying_share", "hole_share", "grazing_share", "vignette"):
            if getattr(self, name) > 1:
                raise ValueError(f"SensorModel.{name} must be at most 1, not {getattr(self, name)}")
        if self.jpeg_quality > 100:
            raise ValueError(f"SensorModel.jpeg_quality must be at most 100, not {self.jpeg_quality}")
        if self.min_m >= self.max_m:
            raise ValueError(f"SensorModel.min_m ({self.min_m}) must be below max_m ({self.max_m})")

    @staticmethod
    def drawn(rng: np.random.Generator) -> SensorModel:
        """Some sensor between a good one in good light and a poor one in poor light."""
        poor = float(rng.beta(1.2, 2.5))
        return SensorModel(
            read_noise=0.5 + 6 * poor * float(rng.random()), shot_noise=0.1 + 0.6 * poor,
            blur_px=0.3 + 1.6 * poor * float(rng.random()), exposure=0.1 + 0.35 * poor,
            white_balance=0.02 + 0.05 * poor, jpeg_quality=int(rng.integers(95 - int(55 * poor), 99)),
            motion_px=float(rng.uniform(2, 3 + 7 * poor)) if rng.random() < 0.25 else 0.0,
            vignette=0.4 * float(rng.random()) * poor, depth_noise=0.0006 + 0.003 * poor * float(rng.random()),
            flying_share=0.5 * float(rng.random()), hole_share=0.6 * float(rng.random()),
            grazing_share=0.5 * float(rng.random()), holes=int(rng.integers(0, 7)) if rng.random() < 0.5 else 0,
        )  # fmt: skip

    def color(self, rgb: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3) in and out."""
        gain = 2 ** rng.normal(0, self.exposure) * (1 + rng.normal(0, self.white_balance, 3))
        levels = np.clip(np.arange(256)[:, None] * gain + 0.5, 0, 255).astype(np.uint8)
        picture: npt.NDArray[Any] = cv2.LUT(rgb, levels[None])
        if self.blur_px > 0:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur_px)
        if self.motion_px > 1:
            picture = cv2.filter2D(picture, -1, _smear(self.motion_px, rng.uniform(0, np.pi)))
        if self.vignette:
            left = _corners(picture.shape[0], picture.shape[1], self.vignette)
            picture = cv2.multiply(picture, left, dtype=cv2.CV_8U)
        if self.read_noise or self.shot_noise:
            sigma = (self.read_noise + self.shot_noise * np.sqrt(np.arange(256))).astype(np.float32)
            noise = cv2.multiply(_normal(picture.shape, rng), cv2.LUT(picture, sigma))
            picture = cv2.add(picture, noise, dtype=cv2.CV_8U)
        if self.jpeg_quality:
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(self.jpeg_quality)])
            picture = cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
        return np.asarray(picture, np.uint8)

    def depth(self, depth: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Metres, float32 (H, W), 0 = none, in and out; quantised to a millimetre."""
        near, far = cv2.erode(depth, KERNEL), cv2.dilate(depth, KERNEL)
        step = far - near
        # A pixel at an edge has the depth of one side; on a slope it has the middle of its neighbours'.
        edge = (step > EDGE_M) & (np.abs(2 * depth - near - far) > step / 2)
        chance = rng.random(depth.shape, np.float32)
        out = depth + self.depth_noise * depth * depth * _normal(depth.shape, rng)
        flying = edge & (chance < self.flying_share)
        out[flying] = near[flying] + rng.random(int(flying.sum()), np.float32) * step[flying]
        # Across one pixel, a surface seen at a grazing angle runs farther away than it is wide.
        grazing = (step > GRAZING_SLOPE * self._pixel(depth)) & ~edge
        hole = (edge & (chance > 1 - self.hole_share)) | (grazing & (chance < self.grazing_share))
        for _ in range(self.holes):
            _patch(hole, rng)
        valid = (depth > 0) & ~hole & (out >= self.min_m) & (out <= self.max_m)
        return np.where(valid, np.round(out * 1000) / 1000, 0).astype(np.float32)

    @staticmethod
    def _pixel(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Metres that two pixels cover at each depth, for a camera with a 50 degree view upwards."""
        return depth * np.float32(2 * 2 * np.tan(np.radians(25)) / depth.shape[0])


def _smear(length_px: float, angle: float) -> npt.NDArray[np.float32]:
    """A kernel that smears along a line; its sum is 1."""
    half = int(np.ceil(length_px / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    end = np.array([np.cos(angle), np.sin(angle)]) * length_px / 2
    first, last = (np.round((half + s * end) * 16).astype(int).tolist() for s in (-1, 1))
    cv2.line(kernel, first, last, 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


@lru_cache(maxsize=8)
def _radius_squared(height: int, width: int) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return ((x * x + y * y) / 2).astype(np.float32)


def _corners(height: int, width: int, loss: float) -> npt.NDArray[np.float32]:
    """Share of the light that reaches each pixel, (H, W, 3)."""
    return np.repeat((1 - loss * _radius_squared(height, width))[..., None], 3, axis=2)


def _patch(hole: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """One ellipse without depth, up to a tenth of the picture wide."""
    height, width = hole.shape
    marked = np.zeros((height, width), np.uint8)
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    axes = (int(rng.integers(2, max(3, width // 20))), int(rng.integers(2, max(3, height // 20))))
    cv2.ellipse(marked, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    hole |= marked.astype(bool)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Standard normal numbers of 256 levels, cut at 2.9: all a camera needs, in a tenth of the time."""
    levels = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)
    raw = np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8).reshape(shape)
    return np.asarray(cv2.LUT(raw, levels), np.float32)
