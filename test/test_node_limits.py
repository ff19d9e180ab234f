"""Requests and cameras at the ends of their ranges, over DDS: answered in time, by name, and the node lives."""

from __future__ import annotations

from collections import deque

import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

import time

from helpers.robot import ERROR, FOUND, parameter
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters

from refseg_ros.action import Segment
from refseg_ros.srv import SegmentOnce, SetInstruction

FRAME_WAIT_S = 8.0


def change(robot, transition):
    return robot.call(robot.change, ChangeState.Request(transition=Transition(id=transition))).success


def put(robot, name, value):
    return robot.call(robot.set, SetParameters.Request(parameters=[parameter(name, value)])).results[0]


@pytest.fixture
def blind(quick):
    """The node with a camera that has never sent an image; waiting for one takes longer than any answer below may."""
    quick.spoil = lambda color, depth, info: (None, None, None)
    assert put(quick, "frame_wait_s", FRAME_WAIT_S).successful
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        assert change(quick, transition)
    yield quick
    quick.reset()
    assert put(quick, "frame_wait_s", 2.0).successful
    assert quick.until(lambda: quick.ask("the red thing").outcome == FOUND)
    assert quick.process.poll() is None


def error_of(robot, handle):
    return robot.result_of(handle).result.result.error_code


def test_a_deadline_is_kept_without_a_camera(blind):
    goal = Segment.Goal(instruction="the red thing")
    goal.deadline.nanosec = 300_000_000
    began = time.monotonic()
    assert error_of(blind, blind.send(goal)) == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < FRAME_WAIT_S / 2


def test_who_waits_for_a_camera_can_be_cancelled_and_deactivated(blind):
    handle = blind.send(Segment.Goal(instruction="the red thing"))
    waiting = blind.once.call_async(SegmentOnce.Request(instruction="the red thing"))
    blind.spin(0.3)
    began = time.monotonic()
    handle.cancel_goal_async()
    assert error_of(blind, handle) == "CANCELLED" and not waiting.done()
    assert change(blind, Transition.TRANSITION_DEACTIVATE)
    assert blind.until(waiting.done) and waiting.result().result.error_code == "NOT_ACTIVE"
    assert time.monotonic() - began < FRAME_WAIT_S / 2
    assert change(blind, Transition.TRANSITION_ACTIVATE)


def test_many_wait_for_a_camera_together(blind):
    assert put(blind, "frame_wait_s", 1.0).successful
    began = time.monotonic()
    futures = [blind.once.call_async(SegmentOnce.Request(instruction="the red thing")) for _ in range(20)]
    assert blind.until(lambda: all(f.done() for f in futures), 30)
    assert {f.result().result.error_code for f in futures} == {"NO_FRAME"}
    assert time.monotonic() - began < 10, "one after the other they take 20 s"


def test_who_waits_for_the_model_is_cancelled_and_timed_out_without_waiting_for_it(slow):
    """Both answers are there before that of the request it works on, which takes 2 s: a busy machine needs one for
    what goes to and fro."""
    slow.stop()
    slow.start(seconds="2")
    slow.ready()
    running = slow.once.call_async(SegmentOnce.Request(instruction="the red thing"))
    slow.spin(0.2)
    cancelled = slow.send(Segment.Goal(instruction="the red thing"))
    goal = Segment.Goal(instruction="the red thing")
    goal.deadline.nanosec = 100_000_000
    late = slow.send(goal)
    cancelled.cancel_goal_async()
    assert error_of(slow, cancelled) == "CANCELLED" and error_of(slow, late) == "DEADLINE_EXCEEDED"
    assert not running.done()
    assert slow.until(running.done) and running.result().result.outcome == FOUND


def test_a_deadline_that_has_passed_is_no_lack_of_a_deadline(quick):
    goal = Segment.Goal(instruction="the red thing")
    goal.deadline.sec = -1
    assert error_of(quick, quick.send(goal)) == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("period_s", [1e30, 3601.0, float("inf"), float("nan"), -0.1])
def test_a_period_that_no_clock_can_keep_is_refused(quick, period_s):
    request = SetInstruction.Request(instruction="the red thing", continuous=True, period_s=period_s)
    answer = quick.call(quick.mode, request)
    assert not answer.success and "period_s" in answer.message
    assert quick.ask("the red thing").outcome == FOUND


@pytest.mark.parametrize(
    ("name", "value", "back"),
    [
        ("accept_threshold", 1.0000005, -1.0),  # rclpy lets it pass: its ranges have a tolerance
        ("accept_threshold", float("nan"), -1.0),
        ("depth_min_m", float("nan"), 0.05),
        ("depth_max_m", float("inf"), 10.0),
        ("queue_size", 2**62, 128),
    ],
)
def test_a_number_at_the_end_of_its_range_or_none_at_all_is_survived(quick, name, value, back):
    put(quick, name, value)
    assert quick.ask("the blue thing").outcome != ERROR
    assert put(quick, name, back).successful
    assert quick.until(lambda: quick.ask("the red thing").outcome == FOUND)


def test_late_depth_says_which_parameter_to_raise_and_that_helps(quick):
    kept = deque()

    def late(color, depth, info):
        kept.append(depth)
        return color, kept.popleft() if len(kept) > 3 else None, info

    quick.spoil = late
    assert quick.until(lambda: "depth_wait_s" in quick.thing("the red thing").reason)
    assert quick.ask("the red thing").outcome == FOUND
    assert put(quick, "depth_wait_s", 1.0).successful
    assert quick.until(lambda: quick.thing("the red thing").valid)
    assert put(quick, "depth_wait_s", 0.1).successful


def test_camera_info_that_lags_costs_no_object(quick):
    """Every other info is the first one again: late by ever more, as from a second driver on the topic."""
    first, turn = [], [0]

    def lagging(color, depth, info):
        first.append(info)
        turn[0] += 1
        return color, depth, first[0] if turn[0] % 2 else info

    assert put(quick, "depth_wait_s", 1.0).successful  # a depth image that is late costs none either
    quick.spoil = lagging
    assert quick.until(lambda: quick.thing("the red thing").valid)
    answers = [quick.thing("the red thing") for _ in range(40) if quick.spin(0.03) is None]
    assert put(quick, "depth_wait_s", 0.1).successful
    assert all(a.valid for a in answers), {a.reason for a in answers}


def test_a_camera_that_stops_is_said_and_its_return_noticed(quick):
    assert quick.ask("the red thing").outcome == FOUND
    quick.spoil = lambda color, depth, info: (None, None, None)
    assert quick.until(lambda: quick.ask("the red thing").error_code == "STALE_FRAME")
    assert "camera" in quick.ask("the red thing").error_message
    seen = quick.seen["/diagnostics"]
    seen.clear()
    assert quick.until(lambda: seen and "the last colour image came" in seen[-1].status[0].message, 10)
    quick.reset()
    assert quick.until(lambda: quick.ask("the red thing").outcome == FOUND)


def test_rectified_images_are_a_switch_that_holds_for_the_camera_and_for_a_goals_own_frame(quick):
    """The camera of the tests has no P: with the switch on, that is the reason."""
    color = quick.image()
    goal = Segment.Goal(
        instruction="the red thing", use_given_frame=True, image=color, depth=quick.depth_of(color),
        camera_info=quick.info_of(color),
    )  # fmt: skip
    try:
        assert put(quick, "color_rectified", True).successful
        assert quick.until(lambda: "P of the camera info" in quick.thing("the red thing").reason)
        assert "P of the camera info" in quick.result_of(quick.send(goal)).result.result.objects[0].reason
    finally:
        assert put(quick, "color_rectified", False).successful
    assert quick.until(lambda: quick.thing("the red thing").valid)
    assert quick.result_of(quick.send(goal)).result.result.objects[0].valid


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"accept_threshold": 0.5, "reject_threshold": 0.9}, "must not exceed accept_threshold"),
        ({"depth_max_m": 2.0, "depth_min_m": 3.0}, "must be below depth_max_m"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(quick, values, said):
    before = {"accept_threshold": -1.0, "depth_max_m": 10.0}
    (first, one), (second, other) = values.items()
    assert put(quick, first, one).successful
    refused = put(quick, second, other)
    assert not refused.successful and said in refused.reason
    assert put(quick, first, before[first]).successful


def test_continuous_mode_never_fills_the_queue_of_a_slow_model(slow):
    request = SetInstruction.Request(instruction="the red thing", continuous=True, period_s=0.05)
    assert slow.call(slow.mode, request).success
    seen = slow.seen["/diagnostics"]

    def values():
        return {v.key: v.value for v in seen[-1].status[0].values} if seen else {}

    # The first message that counts them may have come after a single one.
    assert slow.until(lambda: int(values().get("continuous_skipped", 0)) > 3)
    assert int(values()["queue"]) <= 1
    assert slow.call(slow.mode, SetInstruction.Request()).success
    assert slow.ask("the red thing").outcome == FOUND


def test_nothing_more_is_said_of_an_instruction_whose_place_another_took(slow):
    results = slow.seen["refseg/result"]

    def of(word):
        return [r for r in results if word in r.instruction]

    def follow(request):
        results.clear()
        assert slow.call(slow.mode, request).success

    follow(SetInstruction.Request(instruction="the red thing", continuous=True, period_s=60.0))  # is asked at once
    follow(SetInstruction.Request(instruction="the green thing", continuous=True, period_s=60.0))
    assert slow.until(lambda: of("green")) and of("green")[0].outcome != ERROR
    assert [r.error_code for r in of("red")] == ["SUPERSEDED"]
    follow(SetInstruction.Request(instruction="the red thing", continuous=True, period_s=60.0))
    follow(SetInstruction.Request(continuous=False))
    assert slow.until(lambda: results) and [r.error_code for r in results] == ["CANCELLED"]
    assert slow.ask("the red thing").outcome == FOUND


def test_a_node_that_could_not_be_configured_says_why_to_who_asks(robot):
    robot.stop()
    robot.start("color_transport:=theora")
    assert robot.until(robot.once.service_is_ready)
    answers = []

    def answered():
        future = robot.once.call_async(SegmentOnce.Request(instruction="the red thing"))
        if robot.until(future.done, 3):
            answers.append(future.result().result)
        return bool(answers)

    assert robot.until(answered)
    assert answers[0].error_code == "NOT_ACTIVE" and "'theora'" in answers[0].error_message
