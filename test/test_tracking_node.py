"""Continuous mode over DDS: ids that last, what is hidden, and the events."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from rclpy.qos import QoSProfile

from refseg_ros.msg import SegmentationResult, Track, TrackArray, TrackEvent, TrackEventArray
from refseg_ros.nodes.images import fill_image
from refseg_ros.srv import SetInstruction


def wandering(robot, visible):
    """Red that moves to the right by itself, a pixel an image, and may be away."""
    steps = iter(range(1000))

    def spoil(color, depth, info):
        n = next(steps) % 60
        pixels = np.full((120, 160, 3), 90, np.uint8)
        millimetres = np.full((120, 160), 1000, np.uint16)
        if visible():
            pixels[20:50, 20 + n : 60 + n], millimetres[20:50, 20 + n : 60 + n] = (255, 0, 0), 600
        return fill_image(color, pixels, "rgb8"), fill_image(depth, millimetres, "16UC1"), info

    robot.spoil = spoil


def test_ids_last_and_events_are_published(quick):
    seen = {TrackArray: [], TrackEventArray: [], SegmentationResult: []}
    for kind, topic in ((TrackArray, "tracks"), (TrackEventArray, "track_events"), (SegmentationResult, "result")):
        quick.node.create_subscription(kind, f"refseg/{topic}", seen[kind].append, QoSProfile(depth=200))
    tracks, events, results = seen.values()
    there = [True]
    wandering(quick, lambda: there[0])
    quick.spin(0.5)
    on = SetInstruction.Request(instruction="the red thing", continuous=True, period_s=0.1)
    assert quick.call(quick.mode, on).success
    assert quick.until(lambda: len(tracks) >= 8)
    there[0] = False
    assert quick.until(lambda: any(t.state == Track.HIDDEN for a in tracks for t in a.tracks))
    there[0] = True
    assert quick.until(lambda: tracks[-1].tracks and tracks[-1].tracks[0].state == Track.SEEN)
    there[0] = False
    assert quick.until(lambda: any(e.kind == TrackEvent.LOST for a in events for e in a.events), 15)
    assert quick.call(quick.mode, SetInstruction.Request(continuous=False)).success

    assert {t.id for a in tracks for t in a.tracks} == {1}
    followed = [t for a in tracks for t in a.tracks if t.state == Track.SEEN]
    assert all(t.has_position and abs(t.centroid.z - 0.6) < 0.02 and t.size.x > 0 for t in followed)
    hidden = [t for a in tracks for t in a.tracks if t.state == Track.HIDDEN]
    assert all(t.reason and t.unseen > 0 for t in hidden)
    assert [e.kind for a in events for e in a.events] == [TrackEvent.NEW, TrackEvent.LOST]
    found = [r for r in results if r.instances and r.instruction == "the red thing"]
    assert {r.instances[0].id for r in found} == {r.objects[0].instance for r in found} == {1}
    assert {r.phrases[0].instances[0] for r in found} == {1} and "track" in found[-1].timing_names
    assert tracks[0].header.frame_id == "camera_optical" and tracks[0].request in {r.request for r in results}


def test_an_answer_asked_for_once_is_not_followed(quick):
    arrived = []
    quick.node.create_subscription(TrackArray, "refseg/tracks", arrived.append, 10)
    quick.spin(0.5)
    result = quick.ask("the red thing")
    quick.spin(0.5)
    assert not arrived and "track" not in result.timing_names
