"""Stamps: what is matched, what is counted, and what is said when depth cannot be used."""

from __future__ import annotations

from refseg_ros.nodes.sync import COLOR, COLOR_INFO, DEPTH, StampMatcher

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


def test_clear_forgets_messages_and_keeps_counts():
    matcher = filled(StampMatcher(), (COLOR, 100, 0.0))
    matcher.clear()
    assert matcher.newest(0.0) is None and matcher.counts["color_received"] == 1


def test_wait_gives_up():
    assert StampMatcher().wait(0.01) is None
