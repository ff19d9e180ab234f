"""The queue: every job gets exactly one answer, whatever happens."""

from __future__ import annotations

import random
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


def test_a_waiting_job_that_is_cancelled_is_answered_at_once_and_leaves_its_place(worker, model):
    """All while the model is busy, and the queue of three is full."""
    first = blocked(worker, model)
    several = [Answers() for _ in range(3)]
    jobs = [job(a) for a in several]
    for waiting in jobs:
        worker.submit(waiting)
    jobs[1].cancel()
    assert several[1].code is ErrorCode.CANCELLED and worker.waiting() == 2
    another = Answers()
    worker.submit(job(another))
    model.gate.set()
    assert [a.one().outcome for a in (first, several[0], several[2], another)] == [Outcome.FOUND] * 4


def test_a_job_that_was_cancelled_before_it_is_queued_is_answered_at_once(worker, model):
    blocked(worker, model)
    answers = Answers()
    early = job(answers)
    early.cancel()
    worker.submit(early)
    assert answers.code is ErrorCode.CANCELLED and worker.waiting() == 0


def test_cancel_while_running_ends_at_the_next_stage(worker, model):
    model.gate.clear()
    answers = Answers()
    running = job(answers)
    worker.submit(running)
    assert model.entered.wait(10)
    running.cancel()
    assert not answers.results
    model.gate.set()
    assert answers.code is ErrorCode.CANCELLED


def test_deadlines_of_waiting_jobs_are_kept_while_the_model_is_busy(worker, model):
    """Also where a nearer deadline comes after a farther one."""
    first = blocked(worker, model)
    far, none, near = Answers(), Answers(), Answers()
    now = time.monotonic()
    worker.submit(job(far, deadline=now + 0.4))
    worker.submit(job(none))
    worker.submit(job(near, deadline=now + 0.05))
    assert near.code is ErrorCode.DEADLINE_EXCEEDED and not far.results
    assert far.code is ErrorCode.DEADLINE_EXCEEDED and worker.waiting() == 1
    model.gate.set()
    assert [a.one().outcome for a in (first, none)] == [Outcome.FOUND] * 2


def test_drop_all_answers_everything_with_the_code(worker, model):
    first = blocked(worker, model)
    waiting = [Answers(), Answers()]
    for answers in waiting:
        worker.submit(job(answers))
    worker.drop_all(ErrorCode.NOT_ACTIVE)
    assert [a.code for a in (first, *waiting)] == [ErrorCode.NOT_ACTIVE] * 3
    model.gate.set()  # what the model still finds is nobody's answer any more
    last = Answers()
    worker.submit(job(last))
    assert last.one().outcome is Outcome.FOUND and len(first.results) == 1


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


def test_every_job_has_one_answer_whoever_gets_there_first():
    """Cancelling, deadlines, dropping, a full queue and the model itself, from several threads at once."""
    model = GatedModel()
    worker = InferenceWorker(model, Lifter(), capacity=20)
    several = [[Answers() for _ in range(150)] for _ in range(4)]

    def ask(mine, rng):
        for answers in mine:
            deadline = time.monotonic() + rng.choice([-0.001, 0.0005, 0.005, 10.0])
            one = job(answers, deadline=deadline if rng.random() < 0.6 else None)
            worker.submit(one)
            if rng.random() < 0.4:
                threading.Timer(rng.uniform(0, 0.004), one.cancel).start()
            if rng.random() < 0.03:
                worker.drop_all(ErrorCode.NOT_ACTIVE)
            time.sleep(rng.uniform(0, 0.002))

    threads = [threading.Thread(target=ask, args=(m, random.Random(n))) for n, m in enumerate(several)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert worker.close()
    answers = [a for mine in several for a in mine]
    assert all(a.came.wait(10) for a in answers) and [len(a.results) for a in answers] == [1] * len(answers)
    codes = {a.results[0].error.code if a.results[0].error else None for a in answers}
    assert {None, ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED, ErrorCode.NOT_ACTIVE} <= codes
    assert worker.waiting() == 0
