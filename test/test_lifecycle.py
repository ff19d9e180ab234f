"""The managed node through its states, by the services that a lifecycle manager uses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from helpers.fake_model import ColourModel
from helpers.robot import ENVIRONMENT, ERROR, FOUND
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import String

from refseg_ros.action import Segment
from refseg_ros.core.camera import RayGrid
from refseg_ros.core.pipeline import run
from refseg_ros.core.types import Frame
from refseg_ros.msg import InstanceArray, SegmentationResult
from refseg_ros.nodes.outputs import Outputs
from refseg_ros.srv import SegmentOnce

UP = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
DOWN = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)


def change(robot, transition):
    return robot.call(robot.change, ChangeState.Request(transition=Transition(id=transition))).success


def usage(pid):
    """Resident megabytes, threads and open files of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), files


def test_what_inactive_means(quick):
    assert change(quick, Transition.TRANSITION_DEACTIVATE)
    inactive = quick.ask("the red thing")
    assert (inactive.outcome, inactive.error_code) == (ERROR, "NOT_ACTIVE")
    assert change(quick, Transition.TRANSITION_CLEANUP)
    assert quick.lifecycle_state() == State.PRIMARY_STATE_UNCONFIGURED
    unconfigured = quick.ask("the red thing")
    assert (unconfigured.outcome, unconfigured.error_code) == (ERROR, "NOT_ACTIVE")
    for transition in UP:
        assert change(quick, transition)
    quick.ready()


def test_fifty_rounds_leave_memory_threads_and_files_as_they_were(quick):
    """Each round: down to unconfigured, up to active, one request answered from a fresh image."""
    pid, seen = quick.process.pid, []
    for round_number in range(50):
        for transition in DOWN + UP:
            assert change(quick, transition), round_number
        assert quick.until(lambda: quick.once.service_is_ready())
        assert quick.ask("the red thing").outcome == FOUND
        seen.append(usage(pid))
    early, late = seen[9], seen[-1]
    assert late[0] - early[0] < 15, f"{early[0]:.0f} MB after 10 rounds, {late[0]:.0f} MB after 50"
    assert late[1] <= early[1] + 1 and late[2] <= early[2] + 4, f"threads, files: {early[1:]} -> {late[1:]}"


def in_flight(robot):
    """Requests of both kinds, one being worked on and the others waiting: the futures of their results."""
    once = [robot.once.call_async(SegmentOnce.Request(instruction="the red thing")) for _ in range(3)]
    goal = robot.send(Segment.Goal(instruction="the red thing")).get_result_async()
    robot.spin(0.4)
    return [*once, goal]


def codes(robot, futures):
    """The error code of each, once all have been answered."""
    assert robot.until(lambda: all(f.done() for f in futures)), "an answer was lost"
    results = [f.result().result for f in futures]
    return [getattr(r, "result", r).error_code for r in results]


def test_down_to_unconfigured_with_requests_in_flight_answers_them_all(slow):
    """Both transitions are on their way before the first ends; the model is working all the while."""
    futures = in_flight(slow)
    both = [slow.change.call_async(ChangeState.Request(transition=Transition(id=t))) for t in DOWN]
    assert codes(slow, futures) == ["NOT_ACTIVE"] * 4
    assert slow.until(lambda: all(f.done() for f in both)) and all(f.result().success for f in both)
    for transition in UP:
        assert change(slow, transition)
    slow.ready()


def test_a_manager_that_shuts_the_node_down_leaves_no_request_without_an_answer(slow):
    futures = in_flight(slow)
    assert change(slow, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert codes(slow, futures) == ["SHUTDOWN"] * 4
    assert slow.ask("the red thing").error_code == "SHUTDOWN"


@pytest.mark.parametrize(
    ("transition", "code"),
    [(Transition.TRANSITION_DEACTIVATE, "NOT_ACTIVE"), (Transition.TRANSITION_ACTIVE_SHUTDOWN, "SHUTDOWN")],
)
def test_topic_requests_in_hand_are_answered_once_on_their_topic(slow, transition, code):
    """The running one and those that wait; what the model finds later is not said as well."""
    assert slow.until(lambda: slow.instruction.get_subscription_count())
    texts = [f"the red thing {n}" for n in range(3)]
    seen = slow.seen["refseg/result"]
    seen.clear()
    for text in texts:
        slow.instruction.publish(String(data=text))
    slow.spin(0.4)
    assert not seen, "the model answered before it could be interrupted"
    assert change(slow, transition)
    assert slow.until(lambda: len(seen) >= 3, 10), [(r.instruction, r.error_code) for r in seen]
    slow.spin(1.5)
    assert sorted((r.instruction, r.error_code) for r in seen) == [(text, code) for text in texts]


def test_an_answer_on_its_way_is_published_in_any_state(robot):
    """The model may be done just when the node is deactivated."""
    node = LifecycleNode("silent")
    outputs = Outputs(node, lambda _: lambda event: None, RayGrid())
    heard = {name: [] for name in ("result", "masks")}
    for name, kind in (("result", SegmentationResult), ("masks", InstanceArray)):
        robot.node.create_subscription(kind, f"silent/{name}", heard[name].append, 10)
    assert robot.until(lambda: all(node.count_subscribers(f"/silent/{name}") for name in heard))
    frame = Frame(np.full((40, 40, 3), [255, 0, 0], np.uint8))
    found = run(ColourModel(), frame, "the red thing")
    outputs.publish(SegmentationResult(instruction="the red thing"), found, frame, with_overlay=False)
    assert robot.until(lambda: heard["result"]) and not heard["masks"]
    outputs.destroy()
    node.destroy_node()


def test_topic_requests_are_answered_when_the_process_is_told_to_end(slow):
    assert slow.until(lambda: slow.instruction.get_subscription_count())
    seen = slow.seen["refseg/result"]
    seen.clear()
    for n in range(3):
        slow.instruction.publish(String(data=f"the red thing {n}"))
    slow.spin(0.4)
    slow.process.send_signal(signal.SIGTERM)
    assert slow.until(lambda: len(seen) >= 3, 10), [(r.instruction, r.error_code) for r in seen]
    assert slow.process.wait(20) == 0
    assert [r.error_code for r in seen] == ["SHUTDOWN"] * 3
    slow.start(seconds="1")


def test_after_the_shutdown_transition_the_process_still_ends_well(quick):
    assert change(quick, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    quick.process.send_signal(signal.SIGINT)
    assert quick.process.wait(20) == 0
    quick.process = None


def start_alone(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "refseg_ros.nodes.refseg_node", "--ros-args", *arguments],
        env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("value", "named"), [("queue_size:=0", "queue_size"), ("depth_min_m:=near", "depth_min_m")])
def test_a_start_with_an_impossible_parameter_is_one_sentence(value, named):
    process = start_alone("-p", value)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and named in said and "Traceback" not in said


def test_an_interrupt_while_the_model_loads_is_obeyed(robot):
    assert robot.until(lambda: not robot.state.service_is_ready(), 20)
    process = start_alone()
    assert robot.until(robot.state.service_is_ready, 60)  # the node is there, and its model is not yet
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and "Traceback" not in said and "configured" not in said
