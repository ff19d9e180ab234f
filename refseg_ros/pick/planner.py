"""A grasp from above for a parallel gripper, from what a camera saw: points of the thing and of everything else.

Plain geometry on visible points, no learning: for every direction in which the fingers may close, the width of the
thing between them, and whether they would hit something on their way down. Frame: the cell's, metres, z up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from refseg_ros.pick.shape import GRIPPER, GripperShape

Points = npt.NDArray[np.float64]

TIP_ABOVE_TABLE = 0.006
REACH = (0.6, 0.09)  # how far down the thing's side the tips go: this share of its height, and no more than this
SPARE = (0.05, 0.03, 0.018)  # what the fingers open wider than the thing looks: its far side is not seen
TIGHT = 1.0  # and what less of it counts, metre for metre
CLEARANCE, HITS = 0.004, 4  # around the fingers; so many points in their way are noise
HIDDEN_SIDE = 0.4  # a width along the line of sight is worth so much more than one that was seen from side to side
DEPTH_SHARE = 0.5  # of its breadth: how deep a thing is at least
TURNS = np.radians(np.arange(0, 180, 5))


@dataclass(frozen=True)
class Grasp:
    """tip: midway between the finger tips, (x, y, z); yaw: of the closing axis; opening: on the way down; width: what
    the thing measures between the fingers."""

    tip: tuple[float, float, float]
    yaw: float
    opening: float
    width: float


class NoGrasp(Exception):
    """Nothing can be held from above; the message says why."""


def plan(
    thing: Points, others: Points, table: float, eye: Points, gripper: GripperShape = GRIPPER
) -> Grasp:
    """The best grasp for a thing's visible points (N, 3) among the others (M, 3). eye: the camera's place.

    Raises NoGrasp.
    """
    above = thing[thing[:, 2] > table + 0.004]
    if len(above) < 30:
        raise NoGrasp(f"only {len(above)} of its points lie above the table")
    top = float(np.percentile(above[:, 2], 98))
    height = top - table
    tip = max(table + TIP_ABOVE_TABLE, top - min(REACH[0] * height + 0.005, REACH[1]))
    obstacles = np.concatenate([others, above])
    obstacles = obstacles[obstacles[:, 2] > max(tip - CLEARANCE, table + 0.008)]
    obstacles = obstacles[np.hypot(*(obstacles[:, :2] - above[:, :2].mean(0)).T) < 0.25]
    sight = above[:, :2].mean(0) - eye[:2]
    sight = sight / max(float(np.linalg.norm(sight)), 1e-9)
    flat = _with_far_side(above[:, :2], sight)
    best, least = None, np.inf
    widest = 0.0
    for spare, yaw in product(SPARE, TURNS):
        along = np.array([np.cos(yaw), np.sin(yaw)])
        across = np.array([-along[1], along[0]])
        low, high = np.percentile(flat @ along, (1, 99))
        width = float(high - low)
        if width > gripper.opening - 0.012:
            widest = max(widest, width)
            continue
        middle = (low + high) / 2 * along + np.mean(np.percentile(flat @ across, (3, 97))) * across
        opening = min(gripper.opening, width + spare)
        hits = _hits(obstacles, middle, along, across, opening, tip, gripper)
        cost = width * (1 + HIDDEN_SIDE * abs(float(along @ sight))) + 0.002 * hits + TIGHT * (SPARE[0] - spare)
        if hits <= HITS and cost < least:
            best, least = Grasp((float(middle[0]), float(middle[1]), tip), float(yaw), opening, width), cost
    if best is None:
        if widest:
            raise NoGrasp(f"it is up to {100 * widest:.0f} cm wide, or something stands in the fingers' way")
        raise NoGrasp("something stands in the fingers' way in every direction")
    return best


def _with_far_side(flat: Points, sight: Points) -> Points:
    """Points (N, 2), and a copy where the far side of a thing should be that shows too little depth for its breadth."""
    deep = np.ptp(np.percentile(flat @ sight, (2, 98)))
    broad = np.ptp(np.percentile(flat @ np.array([-sight[1], sight[0]]), (2, 98)))
    return np.concatenate([flat, flat + sight * max(0.0, DEPTH_SHARE * float(broad) - float(deep))])


def _hits(
    points: Points, middle: Points, along: Points, across: Points, opening: float, tip: float, gripper: GripperShape
) -> int:
    """How many points the fingers and the palm would run into on their way down to `tip`."""
    x, y = np.abs((points[:, :2] - middle) @ along), np.abs((points[:, :2] - middle) @ across)
    inner, outer = opening / 2 - CLEARANCE / 2, opening / 2 + gripper.thickness + CLEARANCE
    fingers = (x > inner) & (x < outer) & (y < gripper.breadth / 2 + CLEARANCE)
    palm = (x < gripper.palm[0]) & (y < gripper.palm[1]) & (points[:, 2] > tip + gripper.length - CLEARANCE)
    return int(np.count_nonzero(fingers | palm))
