"""The plane that the things in view stand on: found by RANSAC in one image, followed by refinement in the next.

Works on inverse depth: for a pixel with the ray r = (x/z, y/z, 1), a plane is 1/z = m . r, linear in the picture. A
depth camera's noise grows with z squared, so that it is the same everywhere in 1/z, and plain least squares is right.
Knows nothing of gravity: it is the largest plane around the things that they touch and that does not cut through them.
Source: Fischler and Bolles, Random Sample Consensus, CACM 1981.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import Plane

Array = npt.NDArray[np.float64]
TRIALS, VOTERS = 96, 800
ATTEMPTS, REFINEMENTS = 3, 10
BESIDE = 0.1  # of the samples that agree: so many just beyond them, and the search is made again
MAX_STRETCH = 50.0  # metres: a plane further from the camera than this carries nothing that it sees


@dataclass(frozen=True, kw_only=True)
class PlaneConfig:
    """Samples within `tolerance` standard deviations of 1/z from a plane belong to it.

    A plane needs min_share of the samples, and at least min_samples. Of the things' points, at most the share `below`
    lies under it, and at least the share `touching` no higher than contact_m: a wall behind them is no support.
    depth_step_m: what depth is rounded to. Raises ValueError for values that cannot work.
    """

    tolerance: float = 3.0
    min_share: float = 0.25
    min_samples: int = 60
    below: float = 0.1
    touching: float = 0.01
    contact_m: float = 0.05
    depth_step_m: float = 0.001

    def __post_init__(self) -> None:
        for name in ("tolerance", "contact_m", "depth_step_m"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"PlaneConfig.{name} must be positive, not {getattr(self, name)}")
        for name in ("min_share", "below", "touching"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"PlaneConfig.{name} must be in (0, 1), not {getattr(self, name)}")
        if self.min_samples < 3:
            raise ValueError(f"PlaneConfig.min_samples must be at least 3, not {self.min_samples}")


class PlaneTracker:
    """The supporting plane of image after image: the last one is tried first, a search follows where it fails.

    State: the last plane. One thread at a time.
    """

    def __init__(self, config: PlaneConfig | None = None) -> None:
        self.config = config or PlaneConfig()
        self._last: Array | None = None

    def find(self, rays: Array, inverse_depth: Array, things: Array, noise: float = 0.0012) -> Plane | None:
        """The plane, or None where there is no such.

        rays (N, 2): x/z, y/z of samples around the things, inverse_depth (N,): their 1/z; things (M, 3): rows (x/z,
        y/z, 1/z) of points on them, none of which are samples. noise: standard deviation of 1/z, 1/m, which is that of
        depth at 1 m.
        """
        config = self.config
        if len(rays) < config.min_samples or not len(things):
            return None
        rows = np.concatenate([rays, np.ones((len(rays), 1))], 1)
        need = max(config.min_samples, config.min_share * len(rows))
        # Rounding to a step in z is one to step / z^2 in 1/z; a rounded number is off by step / sqrt(12).
        width = config.tolerance * np.hypot(noise, 0.29 * config.depth_step_m * np.median(inverse_depth) ** 2)
        tracked = self._tracked(rows, inverse_depth, things, width, need)
        if tracked is not None and not beside(rows, inverse_depth, tracked[0], width):
            return self._kept(tracked[0])
        left, fewest = np.ones(len(rows), np.bool_), 0 if tracked is None else tracked[1]
        for _ in range(ATTEMPTS):
            m, agree = refine(rows, inverse_depth, search(rows[left], inverse_depth[left], width), width)
            count = np.count_nonzero(agree)
            if count >= max(need, fewest) and self._carries(m, things, width):
                return self._kept(m)
            left &= ~agree
            if np.count_nonzero(left) < need:
                break
        if tracked is not None:
            return self._kept(tracked[0])
        self._last = None
        return None

    def _tracked(
        self, rows: Array, inverse_depth: Array, things: Array, width: float, need: float
    ) -> tuple[Array, int] | None:
        """The last plane fitted to these samples, and how many agree; None where it is no support of these things."""
        if self._last is None:
            return None
        m, agree = refine(rows, inverse_depth, self._last, width)
        count = int(np.count_nonzero(agree))
        return (m, count) if count >= need and self._carries(m, things, width) else None

    def _kept(self, m: Array) -> Plane:
        self._last = m
        return plane_of(m)

    def _carries(self, m: Array, things: Array, width: float) -> bool:
        """Whether the things stand on it: they touch it, and lie on the camera's side of it."""
        length = float(np.linalg.norm(m))
        if not 1.0 / MAX_STRETCH < length < np.inf:
            return False
        above = things[:, 2] - things[:, :2] @ m[:2] - m[2]  # in 1/z
        height = above / things[:, 2] / length
        low = float(np.mean((above > -2 * width) & (height < self.config.contact_m)))
        return float(np.mean(above < -2 * width)) <= self.config.below and low >= self.config.touching


def beside(rows: Array, inverse_depth: Array, m: Array, width: float) -> bool:
    """Whether many samples lie close to the plane m and not in it: then it may cut through a plane at a small angle, as
    one does that was followed from before the camera moved far."""
    off = np.abs(rows @ m - inverse_depth)
    return bool(np.count_nonzero(off < 3 * width) > (1 + BESIDE) * np.count_nonzero(off < width))


def search(rows: Array, inverse_depth: Array, width: float) -> Array:
    """The m (3,) that most samples agree with to `width`, of TRIALS planes through three each.

    rows: (x/z, y/z, 1), (N, 3). Seeded: the same samples give the same plane.
    """
    rng = np.random.default_rng(len(rows))
    picked = rng.integers(0, len(rows), (TRIALS, 3))
    systems = rows[picked]
    flat = np.abs(np.linalg.det(systems)) < 1e-9  # three in a line, or one twice
    systems[flat] = np.eye(3)
    planes = np.linalg.solve(systems, inverse_depth[picked][..., None])[..., 0]
    voters = slice(None, None, max(1, len(rows) // VOTERS))
    off = np.abs(rows[voters].astype(np.float32) @ planes.T.astype(np.float32) - inverse_depth[voters, None])
    votes = np.count_nonzero(off < width, 0)
    votes[flat] = 0
    best: Array = planes[np.argmax(votes)]
    return best


def refine(rows: Array, inverse_depth: Array, m: Array, width: float) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Least squares over the samples that agree with m, and again until they stay the same: (m, who agrees)."""
    agree = np.zeros(len(rows), np.bool_)
    for _ in range(REFINEMENTS):
        before, agree = agree, np.abs(rows @ m - inverse_depth) < width
        if np.array_equal(before, agree):
            break
        chosen = rows[agree]
        normal_matrix = chosen.T @ chosen
        spread = np.linalg.eigvalsh(normal_matrix)
        if len(chosen) < 3 or spread[0] < 1e-9 * spread[2]:  # on one line: a plane, but which?
            return m, np.zeros(len(rows), np.bool_)
        m = np.linalg.solve(normal_matrix, chosen.T @ inverse_depth[agree]).astype(np.float64)
    return m, agree


def plane_of(m: Array) -> Plane:
    """The plane of 1/z = m . (x/z, y/z, 1), its normal towards the camera."""
    length = float(np.linalg.norm(m))
    a, b, c = (-m / length).tolist()
    return Plane((a, b, c), 1.0 / length)
