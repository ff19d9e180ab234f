"""The gripper's measures, metres: its maker's drawing, which the cell builds from and the planner reckons with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GripperShape:
    """Two fingers side by side that hang down and close along the hand's x axis.

    opening: the widest gap; length: of a finger, down from the palm; thickness: along the closing axis; breadth: across
    it; palm: half the palm's side along the closing axis, and across it.
    """

    opening: float = 0.13
    length: float = 0.11
    thickness: float = 0.010
    breadth: float = 0.020
    palm: tuple[float, float] = (0.08, 0.03)


GRIPPER = GripperShape()
