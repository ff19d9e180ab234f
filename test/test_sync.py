"""Stamps: what is matched, what is counted, and what is said when depth cannot be used."""

from __future__ import annotations

import threading
import time
import weakref

import pytest

from refseg_ros.nodes.sync import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO, KEPT, MOST_KEPT, StampMatcher

MS = 1_000_000


def filled(matcher, *rows):
    for kind, stamp_ms, now in rows:
        matcher.add(kind, stamp_ms * MS, f"{kind}{stamp_ms}", now)
    return matcher


def test_nothing_before_the_first_colour_image():
    assert filled(StampMatcher(), (DEPTH, 100, 0.0)).newest(0.0) is None


def test_matches_within_the_slop_and_prefers_the_newest():
    matcher = filled(
        StampMatcher(slop_s=0.02), (COLOR, 100, 0.0), (DEPTH, 105, 0.0), (COLOR, 200, 0.1), (DEPTH, 210, 0.1)
    )
    found = matcher.newest(0.1)
    assert (found.color, found.depth, found.problem) == ("color200", "depth210", "")
    assert matcher.counts["matched"] == 2


def test_a_colour_image_waits_for_its_depth_and_then_goes_without():
    matcher = filled(
        StampMatcher(slop_s=0.02, depth_wait_s=0.1), (COLOR, 100, 0.0), (DEPTH, 100, 0.0), (COLOR, 200, 0.1)
    )
    assert matcher.newest(0.15).color == "color100"
    late = matcher.newest(0.25)
    assert (late.color, late.depth) == ("color200", None)
    assert "100 ms away" in late.problem


def test_depth_that_comes_more_rarely_than_colour_is_told_from_depth_of_another_moment():
    rare, other = StampMatcher(), StampMatcher()
    for n in range(24):  # colour at 30 Hz, depth at 5 Hz
        filled(rare, (COLOR, 33 * n, 0.033 * n), *([(DEPTH, 33 * n, 0.033 * n)] if n % 6 == 0 else []))
        filled(other, (COLOR, 33 * n, 0.033 * n), (DEPTH, 33 * n - 17, 0.033 * n))
    problem = rare.newest(0.033 * 23 + 0.11).problem
    assert "depth comes every 0.2 s, raise depth_wait_s (0.1 s) above that" in problem
    assert "raise" not in other.newest(0.033 * 23 + 0.11).problem


def test_no_depth_at_all_is_said():
    found = filled(StampMatcher(), (COLOR, 100, 0.0)).newest(0.0)
    assert found.depth is None and "no depth image has arrived" in found.problem


def test_depth_that_stopped_is_said():
    matcher = filled(StampMatcher(slop_s=0.02), (COLOR, 100, 0.0), (DEPTH, 100, 0.0), (COLOR, 5000, 5.0))
    assert "stopped" in matcher.newest(5.0).problem


def test_zero_stamps_never_match_and_are_counted():
    matcher = filled(StampMatcher(), (COLOR, 0, 0.0), (DEPTH, 0, 0.0))
    found = matcher.newest(1.0)
    assert found.depth is None and "no stamp" in found.problem
    assert matcher.counts["color_without_stamp"] == 1 and matcher.counts["matched"] == 0


def test_stragglers_are_dropped_and_counted():
    matcher = filled(StampMatcher(), (COLOR, 200, 0.0), (COLOR, 100, 0.0))
    assert matcher.newest(0.0).color == "color200"
    assert matcher.counts["color_late"] == 1


def test_a_clock_set_back_starts_anew():
    matcher = filled(StampMatcher(), (COLOR, 100_000, 0.0), (DEPTH, 100_000, 0.0), (COLOR, 10, 1.0))
    assert matcher.newest(1.0).color == "color10"


def test_unmatched_images_are_counted_when_they_leave():
    matcher = StampMatcher(slop_s=0.01)
    for n in range(20):
        matcher.add(COLOR, (n + 1) * 100 * MS, n, n * 0.1)
    assert matcher.counts["unmatched"] == 8


def test_the_default_slop_is_half_a_period():
    matcher = StampMatcher()
    for n in range(5):
        matcher.add(COLOR, (n + 1) * 100 * MS, n, n * 0.1)
    assert matcher.slop_ns() == 50 * MS


def test_camera_info_may_come_once_or_change():
    matcher = filled(StampMatcher(slop_s=0.02), (COLOR_INFO, 1, 0.0), (COLOR, 500, 0.5))
    assert matcher.newest(0.5).color_info == "color_info1"
    filled(matcher, (COLOR_INFO, 600, 0.6), (COLOR, 600, 0.6))
    assert matcher.newest(0.6).color_info == "color_info600"


def test_clear_forgets_images_and_keeps_counts_and_camera_infos():
    """A latched info is published once; who is deactivated and activated again would not hear it a second time."""
    matcher = filled(StampMatcher(), (COLOR_INFO, 1, 0.0), (DEPTH_INFO, 2, 0.0), (COLOR, 100, 0.0), (DEPTH, 100, 0.0))
    matcher.clear()
    assert matcher.newest(0.0) is None and matcher.counts["color_received"] == 1
    found = filled(matcher, (COLOR, 9000, 9.0)).newest(9.0)
    assert (found.color_info, found.depth_info, found.depth) == ("color_info1", "depth_info2", None)


def test_wait_gives_up():
    assert StampMatcher().wait(0.01) is None


def test_a_late_camera_info_costs_no_image():
    """Two publishers of one topic, or one whose stamps lag: images and depth stay what they were."""
    matcher = filled(StampMatcher(slop_s=0.02), (COLOR_INFO, 90_000, 0.0), (COLOR, 90_000, 0.0), (DEPTH, 90_000, 0.0))
    filled(matcher, (COLOR_INFO, 10, 0.01), (DEPTH_INFO, 89_000, 0.01), (DEPTH_INFO, 88_000, 0.02))
    found = matcher.newest(0.05)
    assert (found.color, found.depth, found.problem) == ("color90000", "depth90000", "")


def test_a_short_step_back_of_the_clock_is_followed_within_half_a_second():
    """A looped recording of three seconds, or a clock that was set: older for longer than a straggler is."""
    matcher = StampMatcher(slop_s=0.02)
    for n in range(10):
        filled(matcher, (COLOR, 5000 + 100 * n, 0.1 * n), (DEPTH, 5000 + 100 * n, 0.1 * n))
    for n in range(6):
        filled(matcher, (COLOR, 2000 + 100 * n, 1.0 + 0.1 * n), (DEPTH, 2000 + 100 * n, 1.0 + 0.1 * n))
    found = matcher.newest(1.5)
    assert (found.color, found.depth) == ("color2500", "depth2500")


def test_depth_that_comes_too_late_names_the_parameter():
    """Depth 200 ms behind its own images: a larger slop would marry it to the wrong ones."""
    matcher = StampMatcher(slop_s=0.02, depth_wait_s=0.1)
    for n in range(10):
        filled(matcher, (COLOR, 1000 + 50 * n, 0.05 * n))
        if n >= 4:
            filled(matcher, (DEPTH, 1000 + 50 * (n - 4), 0.05 * n))
    found = matcher.newest(0.46)
    assert found.depth is None and "200 ms after" in found.problem and "depth_wait_s (0.1 s)" in found.problem
    matcher.depth_wait_s = 0.3
    assert matcher.newest(0.46).depth == "depth1250"


def test_who_waits_for_a_first_image_can_give_up():
    given_up = threading.Event()
    threading.Timer(0.1, given_up.set).start()
    began = time.monotonic()
    assert StampMatcher().wait(30.0, given_up.is_set) is None
    assert time.monotonic() - began < 15


class Message:
    """Stands for a message of megabytes; remembered by its stamp."""

    def __init__(self, stamp_ns):
        self.stamp_ns = stamp_ns


def streams(seconds, color_hz, depth_hz, color_delay_s=0.0, depth_delay_s=0.0):
    """Two streams of one clock: (when it comes in seconds, kind, stamp in ns), in the order in which they come."""
    rows = [
        (n / hz + delay_s, kind, 10**12 + round(n * 1e9 / hz))
        for kind, hz, delay_s in ((DEPTH, depth_hz, depth_delay_s), (COLOR, color_hz, color_delay_s))
        for n in range(int(seconds * hz))
    ]
    return sorted(rows, key=lambda row: row[0])


@pytest.mark.parametrize(
    ("color_hz", "depth_hz", "color_delay_s"),
    [(2, 30, 0.05), (5, 90, 0.05), (1, 30, 0.05), (30, 30, 0.5)],
)
def test_whenever_asked_an_image_has_the_depth_of_its_own_moment(color_hz, depth_hz, color_delay_s):
    """Depth is fast, colour slow or late: nothing that came meanwhile takes its depth from the image in use."""
    matcher = StampMatcher()
    for now_s, kind, stamp_ns in streams(8, color_hz, depth_hz, color_delay_s):
        matcher.add(kind, stamp_ns, Message(stamp_ns), now_s)
        if now_s > 3.0:
            found = matcher.newest(now_s)
            assert found.depth is not None, (now_s, found.problem)
            assert (found.depth.stamp_ns, found.problem) == (found.stamp_ns, ""), now_s
            assert now_s - (found.stamp_ns - 10**12) / 1e9 <= 1 / color_hz + color_delay_s + 1e-6
    assert matcher.counts["matched"] == 8 * color_hz and matcher.counts["unmatched"] == 0


def test_an_image_waits_in_any_number_for_depth_that_comes_late():
    """30 Hz, depth 0.6 s behind, and a depth_wait_s that allows for it: eighteen images wait."""
    matcher = StampMatcher(depth_wait_s=1.0)
    for now_s, kind, stamp_ns in streams(4, 30, 30, depth_delay_s=0.6):
        matcher.add(kind, stamp_ns, Message(stamp_ns), now_s)
        if 1.0 < now_s < 4.0:
            found = matcher.newest(now_s)
            assert found.depth is not None and found.depth.stamp_ns == found.stamp_ns, (now_s, found.problem)


def test_an_image_takes_a_nearer_depth_that_comes_later():
    matcher = filled(StampMatcher(slop_s=0.03), (DEPTH, 80, 0.0), (COLOR, 100, 0.0))
    assert matcher.newest(0.0).depth == "depth80"
    filled(matcher, (DEPTH, 105, 0.03))
    assert matcher.newest(0.03).depth == "depth105"
    filled(matcher, (DEPTH, 110, 0.06))
    assert matcher.newest(0.06).depth == "depth105" and matcher.counts["matched"] == 1


def test_a_slop_that_is_raised_finds_depth_that_came_before():
    matcher = filled(StampMatcher(slop_s=0.02), (DEPTH, 60, 0.0), (COLOR, 100, 0.0))
    assert "40 ms away, over the slop of 20 ms" in matcher.newest(0.5).problem
    matcher.slop_s = 0.05
    assert matcher.newest(0.5).depth == "depth60"
    matcher.slop_s = 0.02
    assert matcher.newest(0.5).depth is None


def test_the_default_slop_is_never_of_another_moment():
    """Colour at 1 Hz: half a period would be half a second."""
    matcher = StampMatcher()
    for n in range(1, 5):
        filled(matcher, (DEPTH, 1000 * n - 60, float(n)), (COLOR, 1000 * n, float(n)))
    assert matcher.slop_ns() == 50 * MS
    assert "60 ms away, over the slop of 50 ms" in matcher.newest(4.2).problem
    filled(matcher, (DEPTH, 4045, 4.3))
    assert matcher.newest(4.3).depth == "depth4045"


@pytest.mark.parametrize("depth_wait_s", [0.1, 5.0])
@pytest.mark.parametrize("stamped", [True, False])
def test_fast_cameras_do_not_fill_the_memory(depth_wait_s, stamped):
    """Ten seconds of 90 Hz; the depth of half the images never comes."""
    matcher = StampMatcher(depth_wait_s=depth_wait_s)
    alive = {COLOR: weakref.WeakSet(), DEPTH: weakref.WeakSet()}
    most = {COLOR: 0, DEPTH: 0}
    for now_s, kind, stamp_ns in streams(10, 90, 45):
        message = Message(stamp_ns)
        alive[kind].add(message)
        matcher.add(kind, stamp_ns if stamped else 0, message, now_s)
        most[kind] = max(most[kind], len(alive[kind]))
    held = 1 + (MOST_KEPT[COLOR] if depth_wait_s > 1 else KEPT)  # and the one that has just come
    assert most[COLOR] <= held
    assert most[DEPTH] <= (1 + MOST_KEPT[DEPTH] + held if stamped else 1 + KEPT)
