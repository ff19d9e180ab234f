"""The node itself, without DDS between, when it lets go of its model or ends: every answer says what can be done."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from helpers.fake_model import ColourModel
from helpers.robot import ENVIRONMENT, FOUND
from rclpy.lifecycle import TransitionCallbackReturn

from refseg_ros.core.outcome import ErrorCode
from refseg_ros.core.types import Frame
from refseg_ros.nodes import components, diagnostics, results
from refseg_ros.nodes.refseg_node import RefsegNode
from refseg_ros.srv import SetInstruction

Success, Failure = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class HangingModel(ColourModel):
    """Answers as long as `free` is set."""

    def __init__(self):
        self.free, self.entered = threading.Event(), threading.Event()
        self.free.set()

    def encode(self, frame):
        if not self.free.is_set():
            self.entered.set()
            assert self.free.wait(60)
        return super().encode(frame)


@pytest.fixture(scope="module")
def ros():
    os.environ.update(ENVIRONMENT)
    with rclpy.init(domain_id=int(ENVIRONMENT["ROS_DOMAIN_ID"]) + 1):  # a node that lingers is none of the other tests'
        yield


@pytest.fixture
def made(ros):
    """A node and its model, which hangs no longer when the test is over."""
    models = []

    def load(values):
        models.append(HangingModel())
        return models[-1]

    node = RefsegNode(load)
    yield node, models
    for model in models:
        model.free.set()
    if not node.finalized:
        node.trigger_shutdown()
    node.destroy_node()


def state(node):
    return node._state_machine.current_state[1]


def asked(node):
    """Ask for the red thing in an image of its own: a list that its answer comes into."""
    answers = []
    frame = Frame(np.full((40, 40, 3), [255, 0, 0], np.uint8))
    node._submit("the red thing", answers.append, 0.0, lambda: frame)
    return answers


def answer(node):
    answers, end = asked(node), time.monotonic() + 20
    while not answers and time.monotonic() < end:
        time.sleep(0.01)
    assert answers, "no answer"
    return answers[0]


def refusals(node):
    """What a request is told, and who asks for continuous mode."""
    told = answer(node)
    mode = SetInstruction.Request(instruction="the red thing", continuous=True)
    also = node.requests._on_set_instruction(mode, SetInstruction.Response())
    return told.error_code, told.error_message, also.message


def test_a_model_that_hangs_is_let_go_and_the_node_can_be_configured_again(made):
    node, models = made
    assert node.trigger_configure() == Success and node.trigger_activate() == Success
    models[0].free.clear()
    waiting = asked(node)
    assert models[0].entered.wait(20)
    assert node.trigger_deactivate() == Success and waiting[0].error_code == "NOT_ACTIVE"
    node.worker.close = partial(node.worker.close, 0.1)
    assert node.trigger_cleanup() == Failure and state(node) == "inactive"
    for _ in range(2):  # before somebody tries to activate it, and after
        code, said, mode = refusals(node)
        assert code == "NOT_ACTIVE" and "clean up and configure again" in said and "activate" not in said
        assert mode == said
        assert node.trigger_activate() == Failure and state(node) == "inactive"
    assert node.trigger_cleanup() == Success and state(node) == "unconfigured"
    assert "clean up" not in refusals(node)[1]
    assert node.trigger_configure() == Success and node.trigger_activate() == Success
    assert len(models) == 2 and answer(node).outcome == FOUND


def test_who_asks_while_the_node_waits_for_its_last_answers_is_told_that_it_ends(made):
    """As on SIGTERM: stopped, its executor still turning, and no transition made yet."""
    node, _ = made
    assert node.trigger_configure() == Success and node.trigger_activate() == Success
    node.stop(ErrorCode.SHUTDOWN)
    assert not node.finalized and state(node) == "active"
    code, said, mode = refusals(node)
    assert code == "SHUTDOWN" and "shutting down" in said and mode == said
    assert node.trigger_shutdown() == Success and node.finalized
    assert refusals(node)[0] == "SHUTDOWN"


def test_a_node_that_could_not_be_configured_says_that_it_ends_when_it_does(ros):
    def load(values):
        raise OSError("no such weights")

    node = RefsegNode(load)
    assert node.trigger_configure() == Failure
    code, said, mode = refusals(node)
    assert code == "NOT_ACTIVE" and "no such weights" in said and mode == said
    node.stop(ErrorCode.SHUTDOWN)
    assert refusals(node)[0] == "SHUTDOWN"
    node.trigger_shutdown()
    node.destroy_node()


def test_an_answer_that_cannot_be_put_into_a_message_is_an_error(made, monkeypatch):
    """Who asked would wait for ever."""
    node, _ = made
    assert node.trigger_configure() == Success and node.trigger_activate() == Success
    make = results.result_message

    def broken(result, *rest):
        if result.error is None:
            raise OverflowError("a mask of another world")
        return make(result, *rest)

    monkeypatch.setattr(results, "result_message", broken)
    told = answer(node)
    assert told.error_code == ErrorCode.INTERNAL.value and "another world" in told.error_message
    monkeypatch.undo()
    assert answer(node).outcome == FOUND


def test_a_model_that_cannot_be_warmed_is_let_go_of_and_said_to_be_missing(ros):
    closed = []

    class Broken(ColourModel):
        def decode(self, encoded, phrases):
            raise RuntimeError("no kernel image")

        def close(self):
            closed.append(self)

    node = RefsegNode(lambda values: Broken())
    try:
        assert node.trigger_configure() == Failure and len(closed) == 1
        told = diagnostics.status("refseg", "unconfigured", node.health, node.matcher, None, "", node._failure)
        assert told.level == DiagnosticStatus.ERROR and "no kernel image" in told.message
    finally:
        node.trigger_shutdown()
        node.destroy_node()


def test_no_number_of_threads_is_what_torch_began_with_again(monkeypatch):
    torch = pytest.importorskip("torch")
    first = torch.get_num_threads()
    monkeypatch.setattr("refseg_ros.models.load", lambda *given: SimpleNamespace(model=None))
    monkeypatch.setattr(components, "_THREADS", {})
    try:
        for threads, then in ((first + 1, first + 1), (0, first)):
            components.load_model({"threads": threads, "model": "", "device": "cpu", "weights": ""})
            assert torch.get_num_threads() == then
    finally:
        torch.set_num_threads(first)
