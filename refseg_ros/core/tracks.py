"""What tracking says of one frame: what is followed, and what has happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from refseg_ros.core.types import OrientedBox, Segmentation


class TrackState(IntEnum):
    SEEN = 1
    HIDDEN = 2


class EventKind(IntEnum):
    NEW = 1
    LOST = 2
    MOVED = 3


@dataclass(frozen=True, eq=False)
class Track:
    """One followed thing as of one frame, in that frame's optical frame, metres.

    position_m: smoothed centroid, None where it never had depth; velocity_m_s: against the scene; box: the last one
    seen, moved with the smoothed centroid; std_m: of the position, one axis.
    """

    id: int
    phrase: int
    state: TrackState
    reason: str
    position_m: tuple[float, float, float] | None
    velocity_m_s: tuple[float, float, float]
    box: OrientedBox | None
    std_m: float
    age_s: float
    unseen_s: float


@dataclass(frozen=True)
class TrackEvent:
    """kind, and of what; position_m as in Track; distance_m: of MOVED; reason: of LOST."""

    kind: EventKind
    id: int
    phrase: str
    position_m: tuple[float, float, float] | None
    distance_m: float = 0.0
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Tracked:
    """segmentation: the same answer with ids that last."""

    segmentation: Segmentation
    tracks: tuple[Track, ...]
    events: tuple[TrackEvent, ...]
    camera_motion_known: bool
