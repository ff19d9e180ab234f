"""Where a viewer sees each thing, and which relations hold between them, in three values and with margins.

A relation is TRUE or FALSE only where space and picture agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refseg_ros.sim.expressions.facts import FALSE, MAYBE, TRUE, Facts, Truth
from refseg_ros.sim.scene import Scene

SUPERLATIVE_MARGIN_M, RELATION_MARGIN_M, NEAREST_MARGIN_M, BESIDE_M = 0.04, 0.05, 0.03, 0.12
NEXT_TO_GAP_M, NOT_NEXT_TO_GAP_M = 0.04, 0.25
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Views:
    """Arrays over the N things. Metres: right (camera x), ahead (along the ground, away from the viewer), range (from
    the camera), depth (z), ground (N, 2) (right, ahead), radius (of the footprint). column, row: x / z and y / z of
    the centre; columns (N, 2): x / z of the left and right end of what shows. host: index of what it is in or on, -1.
    """

    right: Floats
    ahead: Floats
    range: Floats
    depth: Floats
    column: Floats
    row: Floats
    columns: Floats
    ground: Floats
    radius: Floats
    host: npt.NDArray[np.int64]

    @staticmethod
    def of(scene: Scene, facts: Facts) -> Views:
        """The views of a scene."""
        things = facts.things
        camera = np.array([o.position_camera for o in things], float).reshape(-1, 3)
        world = np.array([o.position_world for o in things], float).reshape(-1, 3)
        forward = scene.t_world_camera[:2, 2]
        forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
        side = np.array([forward[1], -forward[0]])
        ahead = world[:, :2] @ forward
        index = {o.id: i for i, o in enumerate(things)}
        host = np.array([index.get(o.inside, -1) if o.inside is not None else -1 for o in things], np.int64)
        radius = np.nan_to_num(np.hypot(facts.sizes[:, 0], facts.sizes[:, 1]) / 2 * 0.8, nan=0.05)
        return Views(
            camera[:, 0], ahead, np.linalg.norm(camera, axis=1), camera[:, 2],
            camera[:, 0] / camera[:, 2], camera[:, 1] / camera[:, 2], _columns(scene, facts),
            np.stack([world[:, :2] @ side, ahead], 1), radius, host,
        )  # fmt: skip


def _columns(scene: Scene, facts: Facts) -> Floats:
    """(N, 2): x / z of the first and last column in which each thing shows."""
    ids = scene.instance_ids
    out = np.zeros((len(facts.things), 2))
    highest = max((o.id for o in facts.things), default=0)
    table = np.zeros((highest + 2, ids.shape[1]), bool)
    table[np.clip(ids, -1, highest) + 1, np.broadcast_to(np.arange(ids.shape[1]), ids.shape)] = True
    for i, o in enumerate(facts.things):
        shown = np.flatnonzero(table[o.id + 1])
        if len(shown):
            out[i] = (shown[[0, -1]] - scene.k[0, 2]) / scene.k[0, 0]
    return out


def _judged(metres: Floats, margin: float = RELATION_MARGIN_M) -> Truth:
    """TRUE over the margin, FALSE under minus the margin, else (NaN too) MAYBE."""
    with np.errstate(invalid="ignore"):
        return np.where(metres > margin, TRUE, np.where(metres < -margin, FALSE, MAYBE)).astype(np.int8)


def relations(facts: Facts, v: Views) -> dict[str, Truth]:
    """Word -> (N, N): whether thing i is so to thing j. A thing is in no relation to itself: FALSE."""
    n = len(facts.things)
    apart = ~((v.host[:, None] == np.arange(n)) | (v.host[None, :] == np.arange(n)[:, None]))
    left = np.where(apart, _leftness(v), np.nan)
    beside = np.abs(v.right[:, None] - v.right[None]) < BESIDE_M
    forward = v.ahead[None] - v.ahead[:, None]  # metres by which i is nearer than j
    front = np.where(apart & (beside | (forward < 0)), forward, np.nan)
    back = np.where(apart & (beside | (forward > 0)), -forward, np.nan)
    distance = np.linalg.norm(v.ground[:, None] - v.ground[None], axis=2)
    gap = distance - v.radius[:, None] - v.radius[None]
    near = np.where(gap < NEXT_TO_GAP_M, TRUE, np.where(gap > NOT_NEXT_TO_GAP_M, FALSE, MAYBE))
    out = {
        "left": _judged(left),
        "right": _judged(-left),
        "front": _judged(front),
        "behind": _judged(back),
        "next": np.where(apart, near, MAYBE).astype(np.int8),
        **_holding(facts, v, gap),
    }
    for truth in out.values():
        np.fill_diagonal(truth, FALSE)
    return out


def _leftness(v: Views) -> Floats:
    """Metres by which i is left of j, in space and in the picture; NaN where the two disagree.

    Arguable too: a thing straight in front of or behind a broad one, off its middle.
    """
    in_space = v.right[None] - v.right[:, None]
    in_picture = (v.column[None] - v.column[:, None]) * (v.depth[:, None] + v.depth[None]) / 2
    within = (v.columns[None, :, 0] < v.column[:, None]) & (v.column[:, None] < v.columns[None, :, 1])
    agreed = (in_space * in_picture > 0) & ~within
    return np.where(agreed, np.sign(in_space) * np.minimum(np.abs(in_space), np.abs(in_picture)), np.nan)


def _holding(facts: Facts, v: Views, gap: Floats) -> dict[str, Truth]:
    """in, on and under, from what lies in or on what."""
    n = len(facts.things)
    held = v.host[:, None] == np.arange(n)[None]  # i lies in or on j
    container = np.array([look.holds == "in" for look in facts.looks], bool)
    clear = np.where(gap > -0.02, FALSE, MAYBE)  # footprints that overlap without one holding the other
    inside = np.where(held & container[None], TRUE, np.where(held, FALSE, clear))
    on = np.where(held & ~container[None], TRUE, np.where(held, MAYBE, clear))
    under = np.where(held.T & ~container[:, None], TRUE, np.where(held.T, MAYBE, clear))
    return {"in": inside.astype(np.int8), "on": on.astype(np.int8), "under": under.astype(np.int8)}


def between(v: Views) -> Truth:
    """(N, N, N): whether thing i is between things j and k, on the table and in the picture."""
    ground = _between(v.ground, 0.04)
    picture = _between(np.stack([v.column, v.row], 1), 0.0)
    out = np.where((ground == TRUE) & (picture >= MAYBE), TRUE, MAYBE)
    out = np.where((ground == FALSE) & (picture == FALSE), FALSE, out).astype(np.int8)
    i = np.arange(len(v.right))
    out[i, i, :] = out[i, :, i] = FALSE
    return out


def _between(points: Floats, least: float) -> npt.NDArray[np.int64]:
    a, b, p = points[None, :, None], points[None, None, :], points[:, None, None]
    line = b - a
    length = np.maximum(np.linalg.norm(line, axis=-1), 1e-9)
    along = ((p - a) * line).sum(-1) / length**2
    off = np.abs((p - a)[..., 0] * line[..., 1] - (p - a)[..., 1] * line[..., 0]) / length
    inside = (along > 0.2) & (along < 0.8) & (off < np.maximum(least, 0.2 * length))
    outside = (along < -0.1) | (along > 1.1) | (off > 0.6 * length)
    return np.where(inside, TRUE, np.where(outside, FALSE, MAYBE))


def distances(v: Views) -> Floats:
    """(N, N) metres between two things over the table: how tall they are does not matter."""
    out: Floats = np.linalg.norm(v.ground[:, None] - v.ground[None], axis=2)
    return out


def first(values: Floats, margin: float) -> int:
    """Index of the lowest value, -1 when it does not lead by the margin or a value is NaN."""
    if len(values) < 2 or np.isnan(values).any():
        return -1
    order = np.argsort(values)
    return int(order[0]) if values[order[1]] - values[order[0]] > margin else -1


def ordered(v: Views, which: npt.NDArray[np.int64]) -> list[int] | None:
    """The things from left to right; None where space and picture disagree or two are too close to call."""
    by_right, by_column = which[np.argsort(v.right[which])], which[np.argsort(v.column[which])]
    if not np.array_equal(by_right, by_column):
        return None
    apart = np.diff(v.right[by_right]).min() > SUPERLATIVE_MARGIN_M
    seen = np.diff(v.column[by_right]).min() > SUPERLATIVE_MARGIN_M / 2
    return [int(i) for i in by_right] if apart and seen else None
