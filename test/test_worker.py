"""The queue: every job gets exactly one answer, whatever happens."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from helpers.fake_model import ColourModel

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import ErrorCode, Outcome, RequestError
from refseg_ros.core.types import Frame
from refseg_ros.nodes.worker import InferenceWorker, Job


class GatedModel(ColourModel):
    """Encodes only when the gate is open; counts."""

    def __init__(self):
        self.gate, self.encoded, self.closed, self.entered = threading.Event(), 0, 0, threading.Event()
        self.gate.set()

    def encode(self, frame):
        self.entered.set()
        assert self.gate.wait(10)
        self.encoded += 1
        return frame.rgb

    def close(self):
        self.closed += 1


@pytest.fixture
def model():
    return GatedModel()


@pytest.fixture
def worker(model):
    worker = InferenceWorker(model, Lifter(), capacity=3)
    yield worker
    model.gate.set()
    worker.close()


FRAME = Frame(np.full((40, 40, 3), [255, 0, 0], np.uint8))


class Answers:
    def __init__(self):
        self.results, self.came = [], threading.Event()

    def __call__(self, result, frame):
        self.results.append(result)
        self.came.set()

    def one(self):
        assert self.came.wait(10)
        time.sleep(0.02)
        assert len(self.results) == 1
        return self.results[0]

    @property
    def code(self):
        return self.one().error.code


def job(answers, **more):
    return Job("the red thing", more.pop("frame", lambda: FRAME), answers, **more)


def test_an_answer(worker):
    answers = Answers()
    worker.submit(job(answers))
    assert answers.one().outcome is Outcome.FOUND


def test_one_frame_is_encoded_once(worker, model):
    several = [Answers() for _ in range(3)]
    model.gate.clear()
    for answers in several:
        worker.submit(job(answers))
    model.gate.set()
    assert [a.one().outcome for a in several] == [Outcome.FOUND] * 3
    assert model.encoded == 1


def blocked(worker, model):
    """A worker busy with a first job."""
    model.gate.clear()
    first = Answers()
    worker.submit(job(first))
    assert model.entered.wait(10)
    return first


def test_a_full_queue_answers_at_once(worker, model):
    first = blocked(worker, model)
    several = [Answers() for _ in range(4)]
    for answers in several:
        worker.submit(job(answers))
    assert several[3].code is ErrorCode.QUEUE_FULL
    model.gate.set()
    assert [a.one().outcome for a in (first, *several[:3])] == [Outcome.FOUND] * 4


def test_cancel_while_waiting_and_while_running(worker, model):
    answers = Answers()
    blocked(worker, model)
    waiting = job(answers)
    worker.submit(waiting)
    waiting.cancel()
    model.gate.set()
    assert answers.code is ErrorCode.CANCELLED


def test_deadline_while_waiting(worker, model):
    blocked(worker, model)
    answers = Answers()
    worker.submit(job(answers, deadline=time.monotonic() + 0.01))
    time.sleep(0.05)
    model.gate.set()
    assert answers.code is ErrorCode.DEADLINE_EXCEEDED


def test_drop_all_answers_everything_with_the_code(worker, model):
    first = blocked(worker, model)
    waiting = [Answers(), Answers()]
    for answers in waiting:
        worker.submit(job(answers))
    worker.drop_all(ErrorCode.NOT_ACTIVE)
    assert [a.code for a in waiting] == [ErrorCode.NOT_ACTIVE] * 2
    model.gate.set()
    assert first.code is ErrorCode.NOT_ACTIVE


def test_close_answers_releases_and_refuses(model):
    worker = InferenceWorker(model, Lifter(), capacity=3)
    assert worker.close() and model.closed == 1
    answers = Answers()
    worker.submit(job(answers))
    assert answers.code is ErrorCode.SHUTDOWN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError(ErrorCode.NO_FRAME, "none"), ErrorCode.NO_FRAME),
        (ValueError("odd"), ErrorCode.INTERNAL),
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
    ],
)
def test_a_frame_that_fails_is_an_error_and_the_next_request_succeeds(worker, error, code):
    def fail():
        raise error

    bad, good = Answers(), Answers()
    worker.submit(job(bad, frame=fail))
    worker.submit(job(good))
    assert bad.code is code
    assert good.one().outcome is Outcome.FOUND


def test_a_frame_that_was_given_up_is_answered_with_why(worker):
    """Who waits for a camera gives up with an error; the answer is the reason for giving up."""
    answers = Answers()
    waiting = job(answers)

    def give_up():
        waiting.cancel(ErrorCode.NOT_ACTIVE)
        waiting.cancel(ErrorCode.SHUTDOWN)  # the first reason stays
        raise RequestError(ErrorCode.NO_FRAME, "none")

    waiting.frame = give_up
    worker.submit(waiting)
    assert answers.code is ErrorCode.NOT_ACTIVE


def test_an_answer_that_cannot_be_handed_over_costs_nobody_else(worker, capsys):
    def broken(result, frame):
        raise OverflowError("too large for its field")

    good = Answers()
    worker.submit(job(broken))
    worker.submit(job(good))
    assert good.one().outcome is Outcome.FOUND
    assert "too large for its field" in capsys.readouterr().err


def test_nothing_is_lost_where_dropping_meets_taking(model):
    """A job on its way from the queue to the thread is dropped too, and the queue still counts right."""
    worker = InferenceWorker(model, Lifter(), capacity=1000)
    several = [Answers() for _ in range(400)]
    for number, answers in enumerate(several):
        worker.submit(job(answers))
        if number % 7 == 0:
            worker.drop_all(ErrorCode.NOT_ACTIVE)
    worker.drop_all(ErrorCode.NOT_ACTIVE)
    assert all(a.came.wait(10) for a in several) and all(len(a.results) == 1 for a in several)
    assert worker.waiting() == 0 and worker.close()
