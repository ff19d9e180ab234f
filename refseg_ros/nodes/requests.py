"""How requests come in and answers go back: the action, the services, continuous mode. Every request is answered once.

Knows nothing of images or models: submit() takes a request and calls back with its answer, from any thread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.task import Future

from refseg_ros.action import Segment
from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.tracking import Tracker
from refseg_ros.core.types import Frame
from refseg_ros.msg import SegmentationResult
from refseg_ros.nodes.continuous import Continuous
from refseg_ros.nodes.frames import rectified_of
from refseg_ros.nodes.goal_frames import given_frame
from refseg_ros.nodes.worker import Job
from refseg_ros.srv import SegmentOnce, SetInstruction

# A service keeps 10 requests by default and loses the rest of a burst before anybody has seen them.
BURST = QoSProfile(depth=1000)
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.02, 3600.0

Answered = Callable[[SegmentationResult], None]


class Submit(Protocol):
    """Queue a request; `answered` is called exactly once, on whatever thread has the answer. tracker: gives instances
    the ids that they had in the answers before."""

    def __call__(
        self, instruction: str, answered: Answered, deadline_s: float,
        frame: Callable[[], Frame] | None = None, on_stage: Callable[[str], None] | None = None,
        tracker: Tracker | None = None,
    ) -> Job: ...  # fmt: skip


class RequestServers:
    """Up for the node's whole life, so that an answer always has a server to leave by, and one who asks a node that is
    not active is told so. refusal: why nothing can be asked, None where it can; unanswered: requests whose answer has
    not been sent yet."""

    def __init__(
        self, node: LifecycleNode, submit: Submit, refusal: Callable[[], RequestError | None], counts: Counter[str]
    ) -> None:
        self._node, self._submit, self._refusal, self._counts = node, submit, refusal, counts
        self.unanswered = 0
        self._goals: dict[bytes, Job] = {}
        self._continuous: Continuous | None = None
        # A callback that awaits its answer holds its group all the while: in the node's own group, which runs one
        # callback at a time, it would keep images, parameters and lifecycle waiting for the model.
        waiting = ReentrantCallbackGroup()
        ActionServer(
            node, Segment, "~/segment", self._execute, callback_group=waiting,
            goal_callback=lambda goal: GoalResponse.ACCEPT, cancel_callback=self._on_cancel,
            goal_service_qos_profile=BURST, result_service_qos_profile=BURST,
        )  # fmt: skip
        node.create_service(
            SegmentOnce, "~/segment_once", self._on_segment_once, qos_profile=BURST, callback_group=waiting
        )
        node.create_service(SetInstruction, "~/set_instruction", self._on_set_instruction)

    def _future(self) -> tuple[Any, Answered]:
        """A future to await on the executor, and what completes it from any thread."""
        executor = self._node.executor
        assert executor is not None
        future: Any = Future(executor=executor)
        self.unanswered += 1

        def finish(message: SegmentationResult) -> None:
            self.unanswered -= 1
            future.set_result(message)
            executor.wake()  # the callback that waits is resumed in the next turn, which would else wait for an event

        # Completed by the executor itself: that wakes it, and it is then the one that runs what follows.
        return future, lambda message: _forget(executor.create_task(finish, message))

    async def _execute(self, handle: Any) -> Segment.Result:
        """The action: feedback by stage, cancel, deadline, its own frame or the newest."""
        goal, began = handle.request, time.monotonic()

        def on_stage(stage: str) -> None:
            handle.publish_feedback(Segment.Feedback(stage=stage, elapsed_s=time.monotonic() - began))

        future, complete = self._future()
        names = ("color_rectified", "depth_rectified", "sync_slop_s")
        values: dict[str, Any] = {name: self._node.get_parameter(name).value for name in names}
        rectified, slop_s = rectified_of(values), values["sync_slop_s"]
        frame = (lambda: given_frame(goal, rectified, slop_s)) if goal.use_given_frame else None
        job = self._submit(goal.instruction, complete, _seconds(goal.deadline), frame, on_stage)
        key = bytes(handle.goal_id.uuid)
        self._goals[key] = job
        if handle.is_cancel_requested:
            job.cancel()
        message = await future
        self._goals.pop(key, None)
        if message.error_code == ErrorCode.CANCELLED.value and handle.is_cancel_requested:
            handle.canceled()
        elif message.outcome == SegmentationResult.ERROR:
            handle.abort()
        else:
            handle.succeed()
        return Segment.Result(result=message)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        job = self._goals.get(bytes(handle.goal_id.uuid))
        if job is not None:
            job.cancel()
        return CancelResponse.ACCEPT

    async def _on_segment_once(self, request: Any, response: Any) -> Any:
        future, complete = self._future()
        self._submit(request.instruction, complete, _seconds(request.deadline))
        response.result = await future
        return response

    def _on_set_instruction(self, request: Any, response: Any) -> Any:
        refusal = self._refusal() if request.continuous else None
        if refusal is not None:
            response.success, response.message = False, refusal.message
            return response
        if not 0.0 <= request.period_s <= LONGEST_PERIOD_S:  # NaN fails too
            response.success = False
            response.message = f"period_s must be from 0 to {LONGEST_PERIOD_S:g}, not {request.period_s}"
            return response
        if request.continuous and not request.instruction.strip():
            response.success, response.message = False, "continuous mode needs an instruction; say what to look for"
            return response
        self.stop_continuous(ErrorCode.SUPERSEDED if request.continuous else ErrorCode.CANCELLED)
        response.success, response.message = True, "continuous mode is off"
        if request.continuous:
            period_s = float(request.period_s) or self._node.get_parameter("continuous_period_s").value
            period_s = max(period_s, SHORTEST_PERIOD_S)
            self._continuous = Continuous(self._node, self._submit, self._counts, request.instruction, period_s)
            response.message = f"asked every {period_s:g} s"
        return response

    def stop_continuous(self, code: ErrorCode) -> None:
        """End continuous mode, if it is on; what it has asked and not heard yet is answered with `code`."""
        if self._continuous is not None:
            self._continuous.stop(code)
            self._continuous = None


def _forget(_: Any) -> None:
    """The executor keeps a task it was given; nobody else has to."""


def _seconds(duration: Any) -> float:
    return float(duration.sec) + duration.nanosec * 1e-9
