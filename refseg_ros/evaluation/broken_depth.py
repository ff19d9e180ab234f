"""A thousand ways for a depth image to be broken, and whether any of them makes an object.

Every kind is what cameras and drivers do send: nothing, all of one value that is none, single pixels, pure noise,
another unit, rubbish bytes. A broken image must give invalid objects with a reason, and never a point that it does not
hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.types import Frame, Instance

Depth = npt.NDArray[np.float32]
FRAMES = 1000


def _filled(value: float) -> Callable[[Depth, np.random.Generator], Depth]:
    return lambda depth, rng: np.full_like(depth, value)


def _single_pixels(depth: Depth, rng: np.random.Generator) -> Depth:
    kept = rng.random(depth.shape) < rng.choice([1e-5, 1e-4, 1e-3])
    return np.where(kept, depth, np.float32(rng.choice([0.0, np.nan])))


def _noise(depth: Depth, rng: np.random.Generator) -> Depth:
    return rng.uniform(0.05, rng.choice([2.0, 5.0, 10.0]), depth.shape).astype(np.float32)


def _noise_with_holes(depth: Depth, rng: np.random.Generator) -> Depth:
    return np.where(rng.random(depth.shape) < 0.5, _noise(depth, rng), np.float32(0))


def _rubbish(depth: Depth, rng: np.random.Generator) -> Depth:
    return np.frombuffer(rng.bytes(depth.nbytes), np.float32).reshape(depth.shape).copy()


def _one_row(depth: Depth, rng: np.random.Generator) -> Depth:
    out, row = np.zeros_like(depth), int(rng.integers(depth.shape[0]))
    out[row] = depth[row]
    return out


def _scaled(factor: float) -> Callable[[Depth, np.random.Generator], Depth]:
    return lambda depth, rng: depth * np.float32(factor)


KINDS: dict[str, Callable[[Depth, np.random.Generator], Depth]] = {
    "zero": _filled(0.0),
    "NaN": _filled(float("nan")),
    "infinite": _filled(float("inf")),
    "minus infinite": _filled(float("-inf")),
    "negative": _filled(-0.8),
    "saturated": _filled(65.535),
    "1e-16": _filled(1e-16),
    "single pixels": _single_pixels,
    "one row": _one_row,
    "noise": _noise,
    "noise with holes": _noise_with_holes,
    "rubbish bytes": _rubbish,
    "millimetres for metres": _scaled(1000.0),
    "metres for millimetres": _scaled(0.001),
}


def fabricated(frame: Frame, instances: Sequence[Instance], count: int = FRAMES, seed: int = 0) -> dict[str, Any]:
    """Breaks a good frame's depth `count` times, kinds in turn: {"frames", "objects" valid ones, "by_kind"}."""
    assert frame.depth is not None
    rng, lifter, names = np.random.default_rng(seed), Lifter(), list(KINDS)
    made = dict.fromkeys(names, 0)
    for number in range(count):
        name = names[number % len(names)]
        broken = Frame(frame.rgb, KINDS[name](frame.depth, rng), frame.intrinsics)
        for obj in lifter.lift(broken, instances):
            made[name] += obj.valid
            if not obj.valid and not obj.reason:
                raise AssertionError(f"an invalid object without a reason ({name})")
    return {"frames": count, "objects": sum(made.values()), "by_kind": {k: v for k, v in made.items() if v}}
