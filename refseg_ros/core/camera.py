"""The pinhole camera with plumb_bob distortion: pixels to rays and points to pixels.

Frames: the camera's optical frame (x right, y down, z forward), metres; pixel (0, 0) is the first pixel's centre.
Knows nothing of depth or masks.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import Intrinsics

Rays = npt.NDArray[np.float32]
_ITERATIONS = 20
_MAX_ERROR_PX = 0.1
_SETTLED = 1e-7
_BLOCK = 16384  # pixels


class RayGrid:
    """Rays of every pixel of one camera at a time; computed again only when the intrinsics change.

    State: the last camera's grid. Not for use from several threads at once.
    """

    def __init__(self) -> None:
        self._camera: Intrinsics | None = None
        self._rays = np.zeros((0, 0, 2), np.float32)
        self._straight: Intrinsics | None = None
        self._x = self._y = np.zeros((0, 0), np.float32)

    def rays(self, camera: Intrinsics) -> npt.NDArray[np.float32]:
        """float32 (H, W, 2): x/z and y/z of each pixel; NaN where the distortion cannot be undone."""
        if camera != self._camera:
            self._rays = pixel_rays(camera, 0, 0, camera.width, camera.height)
            self._camera = camera
        return self._rays

    def window(self, camera: Intrinsics, rows: slice, columns: slice) -> tuple[Rays, Rays]:
        """x/z and y/z of the pixels [rows, columns], float32, to be broadcast to (h, w): without distortion one is
        (1, w) and the other (h, 1), so that nothing of the picture's size is made or read."""
        if camera.distorted:
            grid = self.rays(camera)[rows, columns]
            return grid[..., 0], grid[..., 1]
        if camera != self._straight:
            with np.errstate(over="ignore"):
                x = (np.arange(camera.width, dtype=np.float64) - camera.cx) / camera.fx
                y = (np.arange(camera.height, dtype=np.float64) - camera.cy) / camera.fy
                self._x, self._y = x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]
            self._straight = camera
        return self._x[:, columns], self._y[rows]


def pixel_rays(camera: Intrinsics, x: int, y: int, width: int, height: int) -> npt.NDArray[np.float32]:
    """Rays of the pixels [y, y + height) x [x, x + width): float32 (height, width, 2), NaN where there is none."""
    u = (np.arange(x, x + width, dtype=np.float64) - camera.cx) / camera.fx
    v = (np.arange(y, y + height, dtype=np.float64) - camera.cy) / camera.fy
    grid = np.empty((height, width, 2), np.float64)
    grid[..., 0], grid[..., 1] = u[None, :], v[:, None]
    if not camera.distorted:
        with np.errstate(over="ignore"):  # a K that cannot be gives infinite rays, and those no point
            return grid.astype(np.float32)
    rays = np.empty((height, width, 2), np.float32)
    rows = max(1, _BLOCK // max(1, width))
    for top in range(0, height, rows):  # in pieces that stay in the cache, and each only until it has settled
        rays[top : top + rows] = _undistort(camera, grid[top : top + rows])
    return rays


def _undistort(camera: Intrinsics, distorted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Invert the distortion by fixed-point iteration; NaN where it does not come within 0.1 px of the pixel."""
    with np.errstate(all="ignore"):
        guess = distorted.copy()
        for _ in range(_ITERATIONS):
            radial, tangential = _distortion(camera, guess)
            before, guess = guess, (distorted - tangential) / radial[..., None]
            if np.abs(guess - before).max() < _SETTLED:  # never so where a pixel diverges: NaN is not smaller
                break
        radial, tangential = _distortion(camera, guess)
        error = np.abs(guess * radial[..., None] + tangential - distorted)
        bad = ~((error[..., 0] * camera.fx <= _MAX_ERROR_PX) & (error[..., 1] * camera.fy <= _MAX_ERROR_PX))
        guess[bad | ~(radial > 0)] = np.nan
    return guess


def _distortion(
    camera: Intrinsics, rays: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The radial factor (...,) and the tangential shift (..., 2) of undistorted rays (..., 2)."""
    k1, k2, p1, p2, k3 = (*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    x, y = rays[..., 0], rays[..., 1]
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    shift = np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], -1)
    return radial, shift


@lru_cache(maxsize=8)
def _fold(distortion: tuple[float, ...]) -> float:
    """r^2 of the rays from which on the lens model folds back towards the middle; inf where it never does. There the
    slope of r (1 + k1 r^2 + k2 r^4 + k3 r^6) is 0: farther out the model describes no lens."""
    k1, k2, _, _, k3 = (*distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    roots = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0])
    real = roots.real[np.abs(roots.imag) < 1e-9]
    return float(real[real > 0].min(initial=math.inf))


def project(points: npt.ArrayLike, camera: Intrinsics) -> npt.NDArray[np.float64]:
    """Pixels (N, 2) of points (N, 3) in the optical frame, metres; NaN for points not in front of the camera, and for
    those so far aside that the lens model folds back: they would come to lie inside the picture."""
    xyz = np.asarray(points, np.float64).reshape(-1, 3)
    pixels = np.full((len(xyz), 2), np.nan)
    front = xyz[:, 2] > 0
    rays = xyz[front, :2] / xyz[front, 2:]
    if camera.distorted:
        radial, shift = _distortion(camera, rays)
        beyond = (rays**2).sum(1) > _fold(camera.distortion)
        rays = rays * radial[:, None] + shift
        rays[beyond] = np.nan
    pixels[front] = rays * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    return pixels
