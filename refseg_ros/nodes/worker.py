"""One thread that owns the model, and a bounded queue in which every request gets exactly one answer.

Knows nothing of rclpy: answers are handed to a callback, on whatever thread has the answer.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from refseg_ros.core.encode_once import EncodeOnce
from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.pipeline import Lifts, error_segmentation, run
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import Frame, Segmentation

Answer = Callable[[Segmentation, Frame | None], None]


@dataclass(eq=False)
class Job:
    """A request on its way. frame: gives the frame when the worker is ready for it (may wait, may raise
    RequestError); deadline: on time.monotonic()'s clock, None for no limit; answer: called exactly once; asked: when,
    on the same clock."""

    instruction: str
    frame: Callable[[], Frame]
    answer: Answer
    deadline: float | None = None
    on_stage: Callable[[str], None] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    stop_code: ErrorCode = ErrorCode.CANCELLED
    asked: float = field(default_factory=time.monotonic)
    on_cancel: Callable[[Job], None] = lambda job: None  # the worker's, while it is in its queue
    _answered: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cancel(self, code: ErrorCode = ErrorCode.CANCELLED) -> None:
        """End it: at once where it waits its turn, else at the next stage. Whoever asks first says why."""
        with self._lock:
            if not self.cancelled.is_set():
                self.stop_code = code
            self.cancelled.set()
        self.on_cancel(self)

    def finish(self, result: Segmentation, frame: Frame | None) -> None:
        """Hand over the answer; any but the first is ignored. From any thread."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
        try:
            self.answer(result, frame)
        except Exception:  # noqa: BLE001  (an answer that cannot be handed over must not end the thread of all others)
            traceback.print_exc()


MESSAGES = {
    ErrorCode.QUEUE_FULL: "The node is busy and its queue is full; ask again, or raise the parameter queue_size.",
    ErrorCode.SHUTDOWN: "The node is shutting down; ask again when it is active.",
    ErrorCode.NOT_ACTIVE: "The node is not active; activate it, then ask again.",
    ErrorCode.CANCELLED: "The request was cancelled.",
    ErrorCode.DEADLINE_EXCEEDED: "The deadline passed while the request waited its turn; allow more time.",
    ErrorCode.SUPERSEDED: "A newer instruction took this one's place.",
}


class InferenceWorker:
    """Answers jobs one after the other. submit() and drop_all() may be called from any thread.

    A second thread looks after the queue: the deadlines of those who wait pass while the model is busy.
    """

    def __init__(self, model: SegmentationModel, lifter: Lifts, capacity: int) -> None:
        self.model, self.lifter, self.own_thresholds = EncodeOnce(model), lifter, model.thresholds
        self.latencies_ms: deque[float] = deque(maxlen=200)
        self.busy_since: float | None = None
        self._capacity = capacity
        # One lock over all: a job is waiting or current or answered, never between them where nobody sees it.
        lock = threading.Lock()
        self._changed, self._hurry = threading.Condition(lock), threading.Condition(lock)
        self._jobs: deque[Job] = deque()
        self._current: Job | None = None
        self._closed = False
        self._soonest = math.inf  # the deadline that the second thread sleeps until
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("inference", self._work), ("deadlines", self._keep_deadlines))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job, or answer it at once with QUEUE_FULL or SHUTDOWN."""
        job.on_cancel = self._withdraw
        with self._changed:
            refused = ErrorCode.SHUTDOWN if self._closed else None
            if refused is None and len(self._jobs) >= self._capacity:
                refused = ErrorCode.QUEUE_FULL
            if refused is None:
                self._jobs.append(job)
                self._changed.notify()
                if job.deadline is not None and job.deadline < self._soonest:
                    self._hurry.notify()
        if refused is not None:
            self._refuse(job, refused)
        elif job.cancelled.is_set():
            self._withdraw(job)  # it was cancelled before it was in the queue, where nobody could find it

    def waiting(self) -> int:
        """Jobs in the queue, without the one being worked on."""
        return len(self._jobs)

    def set_capacity(self, capacity: int) -> None:
        """A smaller capacity drops nothing that is already queued."""
        self._capacity = capacity

    def drop_all(self, code: ErrorCode) -> None:
        """Answer every job with `code`, the current one too: it ends at its next stage, and nobody waits for that."""
        with self._changed:
            jobs = list(self._jobs)
            self._jobs.clear()
            current = self._current
        if current is not None:
            current.cancel(code)
            jobs.insert(0, current)
        for job in jobs:
            self._refuse(job, code)

    def close(self, timeout_s: float = 30.0) -> bool:
        """Answer what there is with SHUTDOWN, end the threads, release the model. False if one did not end in time."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            self._hurry.notify()
        self.drop_all(ErrorCode.SHUTDOWN)
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
            if thread.is_alive():
                return False
        self.model.close()
        return True

    def _withdraw(self, job: Job) -> None:
        """Answer a cancelled job that waits; one that is worked on sees it at its next stage."""
        with self._changed:
            waits = job in self._jobs
            if waits:
                self._jobs.remove(job)
        if waits:
            self._refuse(job, job.stop_code)

    def _refuse(self, job: Job, code: ErrorCode) -> None:
        error = RequestError(code, MESSAGES[code])
        job.finish(error_segmentation(job.instruction, (0, 0), self.model.name, error), None)

    def _keep_deadlines(self) -> None:
        """Answers each job whose deadline passes while it waits, as soon as it does."""
        while True:
            with self._hurry:
                now = time.monotonic()
                late = [job for job in self._jobs if job.deadline is not None and job.deadline <= now]
                for job in late:
                    self._jobs.remove(job)
                if not late:
                    if self._closed:
                        return
                    self._soonest = min((j.deadline for j in self._jobs if j.deadline is not None), default=math.inf)
                    self._hurry.wait(min(self._soonest - now, threading.TIMEOUT_MAX))
            for job in late:
                self._refuse(job, ErrorCode.DEADLINE_EXCEEDED)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._answer(job)
            finally:
                with self._changed:
                    self._current, self.busy_since = None, None

    def _next(self) -> Job | None:
        """The oldest job, waiting for one; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            if not self._jobs:
                return None
            self._current, self.busy_since = self._jobs.popleft(), time.monotonic()
            return self._current

    def _answer(self, job: Job) -> None:
        if job.cancelled.is_set():
            return self._refuse(job, job.stop_code)
        if job.deadline is not None and time.monotonic() > job.deadline:
            return self._refuse(job, ErrorCode.DEADLINE_EXCEEDED)
        began = time.monotonic()
        frame: Frame | None = None
        try:
            frame = job.frame()
        except Exception as error:  # noqa: BLE001  (a frame that cannot be read is an ERROR outcome, never a lost request)
            if job.cancelled.is_set():
                return self._refuse(job, job.stop_code)
            return job.finish(error_segmentation(job.instruction, (0, 0), self.model.name, error), None)
        result = run(
            self.model, frame, job.instruction, lifter=self.lifter, deadline=job.deadline,
            cancelled=job.cancelled.is_set, on_stage=job.on_stage,
        )  # fmt: skip
        self.latencies_ms.append(1000 * (time.monotonic() - began))
        if job.cancelled.is_set():  # after its last stage, too: nobody who cancelled wants to hear of it
            return self._refuse(job, job.stop_code)
        return job.finish(result, frame)
