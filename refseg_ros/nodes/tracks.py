"""What continuous mode follows, as messages."""

from __future__ import annotations

import time
from dataclasses import replace

from geometry_msgs.msg import Point

from refseg_ros.core import tracks as core
from refseg_ros.core.tracking import Tracker
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.msg import Track, TrackArray, TrackEvent, TrackEventArray
from refseg_ros.nodes.results import box_pose, header_of, vector


def follow(tracker: Tracker, result: Segmentation, frame: Frame) -> core.Tracked:
    """The answer with ids that last, and the time that took among its timings (track)."""
    began = time.perf_counter()
    tracked = tracker.update(result, frame, frame.stamp_ns * 1e-9 or time.monotonic())
    timings = {**result.timings_ms, "track": 1e3 * (time.perf_counter() - began)}
    return replace(tracked, segmentation=replace(tracked.segmentation, timings_ms=timings))


def track_array(tracked: core.Tracked, frame: Frame, request: int) -> TrackArray:
    """Everything followed, seen or hidden."""
    array = TrackArray(header=header_of(frame), request=request, camera_motion_known=tracked.camera_motion_known)
    array.tracks = [_track(t) for t in tracked.tracks]
    return array


def event_array(tracked: core.Tracked, frame: Frame, request: int) -> TrackEventArray | None:
    """What happened; None when nothing did."""
    if not tracked.events:
        return None
    array = TrackEventArray(header=header_of(frame), request=request)
    for event in tracked.events:
        one = TrackEvent(kind=int(event.kind), id=event.id, phrase=event.phrase, reason=event.reason)
        one.distance = float(event.distance_m)
        if event.position_m is not None:
            one.position = _point(event.position_m)
        array.events.append(one)
    return array


def _track(track: core.Track) -> Track:
    out = Track(id=track.id, phrase=track.phrase, state=int(track.state), reason=track.reason)
    out.age, out.unseen = float(track.age_s), float(track.unseen_s)
    if track.position_m is not None:
        out.has_position, out.centroid = True, _point(track.position_m)
        out.velocity, out.position_std = vector(track.velocity_m_s), float(track.std_m)
    if track.box is not None:
        out.pose, out.size = box_pose(track.box), vector(track.box.size_m)
    return out


def _point(xyz: tuple[float, float, float]) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
