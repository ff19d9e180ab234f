"""Where things go: free places on the table, in containers, on flat things; and whether they stayed there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.expressions.appearance import appearance
from refseg_ros.sim.pool import ObjectPool, multiply, rotation
from refseg_ros.sim.scene import TABLE_HEIGHT
from refseg_ros.sim.shapes import UNKNOWN
from refseg_ros.sim.style import SceneStyle

HALF_TURN = 2**-0.5
SMALL_M = 0.11
SIDES = (
    (1.0, 0, 0, 0), (0, 1.0, 0, 0), (HALF_TURN, HALF_TURN, 0, 0), (HALF_TURN, -HALF_TURN, 0, 0),
    (HALF_TURN, 0, HALF_TURN, 0), (HALF_TURN, 0, -HALF_TURN, 0),
)  # fmt: skip
PACKAGES = frozenset({"can", "bottle", "carton", "box"})
FLAT = frozenset({"box", "book"})
FLAT_M = 0.065  # what is higher is no place to stack on


@dataclass(frozen=True)
class Placed:
    """A thing put somewhere: its index in the pool, place, footprint radius, and the height of what lies on it."""

    index: int
    xy: tuple[float, float]
    radius: float
    height: float
    flat: bool = False


@dataclass
class Arrangement:
    """What was placed, in order, and what was put in or on what (pool indices)."""

    placed: list[Placed] = field(default_factory=list)
    inside: dict[int, int] = field(default_factory=dict)


def pose(rng: np.random.Generator, key: str, tumbled_share: float = 0.0) -> npt.NDArray[np.float64]:
    """A quaternion (w first) a thing of this kind may lie or stand in; tumbled packages lie on any side."""
    entry = CATALOGUE.get(key)
    packed = entry.category in PACKAGES if entry is not None else key in UNKNOWN
    if tumbled_share and packed and rng.random() < tumbled_share:
        return tumbled(rng)
    turn = rng.uniform(0, 2 * np.pi)
    standing, as_is = [HALF_TURN, HALF_TURN, 0, 0], [1.0, 0, 0, 0]
    base: list[float] = as_is
    if entry is not None and entry.upright_y:
        base = standing
        if rng.random() < (0.8 if entry.category == "box" else 0.2):
            base = as_is  # boxes mostly lie flat, bottles and cartons now and then
    if entry is not None and entry.category == "book" and rng.random() < 0.8:
        base = [HALF_TURN, 0, HALF_TURN, 0]
    if key in ("shape:cylinder", "shape:prism", "shape:drum") and rng.random() < 0.3:
        base = standing
    return multiply([np.cos(turn / 2), 0, 0, np.sin(turn / 2)], base)


def tumbled(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A quaternion (w first) with any of a body's axes up or down, turned by any angle about the vertical."""
    turn = rng.uniform(0, 2 * np.pi)
    return multiply([np.cos(turn / 2), 0, 0, np.sin(turn / 2)], SIDES[int(rng.integers(len(SIDES)))])


def arrange(pool: ObjectPool, rng: np.random.Generator, picked: list[int], style: SceneStyle) -> Arrangement:
    """Put the picked things somewhere, hosts first. Those without a place are left out."""
    out = Arrangement()
    spread = style.spread_m[0] if style.spread_m[0] == style.spread_m[1] else rng.uniform(*style.spread_m)
    for index in sorted(picked, key=lambda i: not appearance(pool.keys[i]).holds):
        key = pool.keys[index]
        holds = appearance(key).holds
        quaternion = pose(rng, key, style.tumbled_share)
        low, high = pool.extent(index, quaternion)
        size = high - low
        radius = float(np.hypot(*size[:2])) / 2 * style.crowding
        host = None
        if max(size[:2]) < SMALL_M and not holds:
            host = _host(rng, pool, out, size, style)
        if host is not None:
            xy, z = host.xy, TABLE_HEIGHT + host.height + 0.01
            out.inside[index] = host.index
        else:
            spot = _free_spot(rng, out, radius, spread)
            if spot is None:
                continue
            xy, z = spot, TABLE_HEIGHT + 0.004
        height = 0.02 if holds == "on" else float(size[2])
        flat = (appearance(key).category in FLAT and size[2] < FLAT_M) or key == "shape:block"
        out.placed.append(Placed(index, xy, radius, height, bool(flat)))
        centre, at = (low + high)[:2] / 2, pool.qpos[index]
        pool.data.qpos[at : at + 3] = [xy[0] - centre[0], xy[1] - centre[1], z - low[2]]
        pool.data.qpos[at + 3 : at + 7] = quaternion
    return out


def _host(
    rng: np.random.Generator, pool: ObjectPool, out: Arrangement, size: npt.NDArray, style: SceneStyle
) -> Placed | None:
    """A free container or plate, or a flat thing larger than this one; None for a place on the table."""
    taken = out.inside.values()
    free = [p for p in out.placed if appearance(pool.keys[p.index]).holds and p.index not in taken]
    if free and rng.random() < style.inside_share:
        return free[int(rng.integers(len(free)))]
    if style.stack_share and rng.random() < style.stack_share:
        across = float(np.hypot(*size[:2])) / 2 * style.crowding
        flat = [
            p for p in out.placed if p.flat and p.index not in taken and p.index not in out.inside and across < p.radius
        ]
        if flat:
            return flat[int(rng.integers(len(flat)))]
    return None


def _free_spot(rng: np.random.Generator, out: Arrangement, radius: float, spread: float) -> tuple[float, float] | None:
    for _ in range(60):
        x, y = rng.uniform(-spread, spread, 2)
        if all(np.hypot(x - p.xy[0], y - p.xy[1]) > radius + p.radius for p in out.placed):
            return float(x), float(y)
    return None


def still_inside(pool: ObjectPool, index: int, host: int) -> bool:
    """Whether the physics left a thing where it was put: its centre above the host's footprint, on a flat host its
    whole above the host's middle."""
    low, high = pool.box(index)
    host_low, host_high = pool.box(host)
    centre, host_centre = (low + high) / 2, (host_low + host_high) / 2
    within = np.all(np.abs(centre - host_centre)[:2] < (host_high - host_low)[:2] / 2)
    above = low[2] > host_centre[2] if not appearance(pool.keys[host]).holds else centre[2] > TABLE_HEIGHT
    return bool(within and above)


def size_as_it_lies(pool: ObjectPool, index: int) -> tuple[float, float, float]:
    """Width, depth and height in metres, whichever way it is turned on the table."""
    low, high = pool.extent(index, [1, 0, 0, 0])
    turned = rotation(pool.data.xquat[pool.body[index]])
    up = int(np.argmax(np.abs(turned[2])))
    world_low, world_high = pool.box(index)
    first, second = sorted(float((high - low)[i]) for i in range(3) if i != up)
    return second, first, float((world_high - world_low)[2])
