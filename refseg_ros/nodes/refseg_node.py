"""The managed lifecycle node `refseg`: requests in by action, service and topic; answers out, each exactly once."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from refseg_ros.core.camera import RayGrid
from refseg_ros.core.instruction import Phrase
from refseg_ros.core.outcome import ErrorCode, RequestError, report_exception
from refseg_ros.core.pipeline import error_segmentation
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.tracking import Tracker
from refseg_ros.core.tracks import Tracked
from refseg_ros.core.transform import RigidTransform
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.msg import SegmentationResult
from refseg_ros.nodes import diagnostics, parameters, results
from refseg_ros.nodes.components import lifter_of, load_model, thresholds_of
from refseg_ros.nodes.dds import use_large_message_profile
from refseg_ros.nodes.depth_frames import DepthFrames
from refseg_ros.nodes.frames import FrameSource, rectified_of, stamp_ns
from refseg_ros.nodes.inputs import Inputs
from refseg_ros.nodes.outputs import Outputs
from refseg_ros.nodes.requests import RequestServers
from refseg_ros.nodes.running import stop_at_signals
from refseg_ros.nodes.sync import COLOR, DEPTH, StampMatcher
from refseg_ros.nodes.target import Target
from refseg_ros.nodes.tracks import follow
from refseg_ros.nodes.worker import MESSAGES, InferenceWorker, Job

Success, Failure = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ModelFactory = Callable[[dict[str, Any]], SegmentationModel]
WARM_INSTRUCTION = "the object"
MODEL_GONE = "the model did not finish its request in time and was released; clean up and configure again"
SHUTDOWN_PATIENCE_S = 10.0  # for answers that are there and have not left yet


class RefsegNode(LifecycleNode):
    """Callbacks only store messages and queue jobs; the worker's thread does the rest and publishes."""

    def __init__(self, model_factory: ModelFactory = load_model) -> None:
        super().__init__("refseg")
        parameters.declare(self)
        self._values = parameters.values(self)
        self._load = model_factory
        self.health = diagnostics.Health()
        self.matcher = StampMatcher()
        self.worker: InferenceWorker | None = None
        self._outputs: Outputs | None = None
        self._active = False
        self.finalized = False  # no transition leads on: the shutdown has been, or cannot be
        self.stopping = False  # what comes now is answered SHUTDOWN
        self._failure = ""  # why the last transition failed, in words, and what to do
        self._rays = RayGrid()  # for the worker's thread; a changed parameter costs no new one
        self._inputs: Inputs | None = None
        self._numbers = itertools.count(1)
        self._depth_frames = DepthFrames(self)
        self._frames = FrameSource(self.matcher, self.resolve_topic_name("image_raw"), self._to_color, self._sim_ns)
        self.add_on_set_parameters_callback(lambda changed: parameters.check(self._values, changed))
        self.add_post_set_parameters_callback(self._on_parameters)
        self.requests = RequestServers(
            self, self._submit, lambda: None if self._active else self._not_active(), self.matcher.counts
        )
        self._diagnostics = self.create_publisher(diagnostics.DiagnosticArray, "/diagnostics", 10)
        # Whatever time the robot lives by: a simulation that stands still is no reason to fall silent.
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model; FAILURE leaves the node unconfigured, and it can be tried again."""
        self._values = parameters.values(self)
        # As if all had just been changed: those that a file set have never been looked at.
        problem = parameters.check(self._values, [self.get_parameter(name) for name in self._values])
        if not problem.successful:
            return self._configure_failed(problem.reason)
        model: SegmentationModel | None = None
        try:
            model = self._load(self._values)
            model.decode(model.encode(Frame(np.zeros((480, 640, 3), np.uint8))), [Phrase(WARM_INSTRUCTION)])
        except Exception as error:  # noqa: BLE001  (whatever loading raises, the node lives and says why)
            report = report_exception(error)
            if model is not None:
                model.close()  # what it holds of the device is needed to try again
            return self._configure_failed(f"{report.code.value}: {report.message}")
        self._failure = ""
        lifter = lifter_of(self._values, self._rays, model.device)
        self.worker = InferenceWorker(model, lifter, self._values["queue_size"])
        self.worker.model.thresholds = thresholds_of(self._values, self.worker.own_thresholds)
        self._outputs = Outputs(self, self._mismatch, self._rays)
        self._outputs.target.choose(self._target())
        self.get_logger().info(f"configured: model {model.name} on {model.device}")
        return Success

    def _configure_failed(self, why: str) -> TransitionCallbackReturn:
        self._failure = self.health.last_error = f"configure failed: {why}"
        self.get_logger().error(self._failure)
        return Failure

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and take requests; FAILURE where a cleanup that failed has taken the model."""
        if self.worker is None:
            self.get_logger().error(self._failure)
            return Failure
        if super().on_activate(state) != Success:
            return Failure
        self.matcher.slop_s, self.matcher.depth_wait_s = self._values["sync_slop_s"], self._values["depth_wait_s"]
        self._inputs = Inputs(self, self._values, self._keep, self._on_instruction, self._mismatch)
        self._frames.topic = self._inputs.topics[COLOR]
        self._active = True
        return Success

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; every request in hand, the running one too, is answered NOT_ACTIVE at once."""
        self.stop(ErrorCode.NOT_ACTIVE)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model, its thread and the publishers. After FAILURE the node has let go of them, too."""
        if not self._release():
            self._failure = self.health.last_error = MODEL_GONE
            return Failure
        self._failure = ""
        return Success

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """The same from any state; requests in hand are answered SHUTDOWN."""
        self.finalized = True
        self.stop(ErrorCode.SHUTDOWN)
        return Success if self._release() else Failure

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition raised: release everything, so that configure can be tried again."""
        self.stop(ErrorCode.NOT_ACTIVE)
        return Success if self._release() else Failure

    def stop(self, code: ErrorCode) -> None:
        """Stop listening, and answer every request in hand with `code`."""
        self.stopping = self.stopping or code is ErrorCode.SHUTDOWN
        self._active = False
        self.requests.stop_continuous(code)
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        self.matcher.clear()
        self._frames.forget()
        if self.worker is not None:
            self.worker.drop_all(code)

    def _release(self) -> bool:
        ended = self.worker.close() if self.worker is not None else True
        if not ended:
            self.get_logger().error("the model did not finish its request in time; its thread is left behind")
        self.worker = None
        self._depth_frames.destroy()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        return ended

    def _keep(self, kind: str, message: Any) -> None:
        self._depth_frames.heard(kind, message.header.frame_id)
        self.matcher.add(kind, stamp_ns(message.header.stamp), message)

    def _to_color(self, color: str, depth: str, at_ns: int) -> RigidTransform:
        return self._depth_frames.to_color(color, depth, at_ns, self._values["depth_wait_s"])

    def _sim_ns(self) -> int:
        """The time of the simulation, nanoseconds; 0: none is heard."""
        clock: Any = self.get_clock()
        return clock.now().nanoseconds if clock.ros_time_is_active else 0

    def _mismatch(self, topic: str) -> Callable[[Any], None]:
        def on_mismatch(event: Any) -> None:
            self.health.qos_mismatches[topic] = event.total_count
            self.get_logger().warning(f"{topic}: a publisher or subscriber has an incompatible QoS; it is not heard")

        return on_mismatch

    # Requests

    def _submit(
        self, instruction: str, answered: Callable[[SegmentationResult], None], deadline_s: float,
        frame: Callable[[], Frame] | None = None, on_stage: Callable[[str], None] | None = None,
        tracker: Tracker | None = None,
    ) -> Job:
        """Queue a request; `answered` is called once, on whatever thread has the answer."""
        request = next(self._numbers)
        seconds = deadline_s or self._values["default_deadline_s"] or None  # negative: it has passed already

        def on_answer(result: Segmentation, seen: Frame | None) -> None:
            tracked = self._track(tracker, result, seen)
            result = result if tracked is None else tracked.segmentation
            points = self._values["publish_points"]
            try:
                message = results.result_message(result, seen, request, points)
            except Exception as error:  # noqa: BLE001  (whoever asked gets an answer, whatever is wrong with this one)
                result = error_segmentation(result.instruction, result.image_size, result.model, error)
                seen, tracked = None, None
                message = results.result_message(result, seen, request, points)
            answered(message)  # first of all: pictures and clouds take longer to make than an answer can wait
            self._publish(message, result, seen, tracked)

        deadline = None if seconds is None else time.monotonic() + seconds
        job = Job(instruction, frame or (lambda: self._newest_frame(job)), on_answer, deadline, on_stage)
        if self._active and self.worker is not None:
            self.worker.submit(job)
        else:
            error = self._not_active()
            job.finish(error_segmentation(instruction, (0, 0), self._values["model"], error), None)
        return job

    def _not_active(self) -> RequestError:
        """Why nothing can be asked, with what failed last."""
        code = ErrorCode.SHUTDOWN if self.stopping else ErrorCode.NOT_ACTIVE
        failed = self._failure and not self.stopping
        return RequestError(code, f"The node is not active: {self._failure}" if failed else MESSAGES[code])

    def _track(self, tracker: Tracker | None, result: Segmentation, frame: Frame | None) -> Tracked | None:
        """The answer with ids that last, in continuous mode; an ERROR says nothing of what is there."""
        if tracker is None or frame is None or result.error is not None:
            return None
        try:
            return follow(tracker, result, frame)
        except Exception as error:  # noqa: BLE001  (the answer is right without lasting ids, and somebody waits for it)
            self.health.last_error = f"tracking failed: {error}"
            self.get_logger().error(self.health.last_error)
            return None

    def _publish(
        self, message: SegmentationResult, result: Segmentation, frame: Frame | None, tracked: Tracked | None = None
    ) -> None:
        self.health.outcomes[result.outcome.name] += 1
        if result.error is not None:
            self.health.last_error = f"{result.error.code.value}: {result.error.message}"
        outputs = self._outputs
        if outputs is not None and rclpy.ok():
            try:
                outputs.publish(message, result, frame, self._values["publish_overlay"], tracked)
            except Exception as error:  # noqa: BLE001  (a failed publication must not cost the requester the answer)
                self.health.last_error = f"publishing failed: {error}"
                self.get_logger().error(self.health.last_error)

    def _newest_frame(self, job: Job) -> Frame:
        wait_s, max_age_s = self._values["frame_wait_s"], self._values["max_frame_age_s"]
        return self._frames.newest(job, wait_s, max_age_s, rectified_of(self._values))

    def _on_instruction(self, message: String) -> None:
        self._submit(message.data, lambda _: None, 0.0)

    # Parameters and diagnostics

    def _on_parameters(self, changed: list[Any]) -> None:
        self._values |= {p.name: p.value for p in changed if p.name in parameters.SPECS}
        self.matcher.slop_s, self.matcher.depth_wait_s = self._values["sync_slop_s"], self._values["depth_wait_s"]
        if self.worker is not None:
            self.worker.set_capacity(self._values["queue_size"])
            self.worker.lifter = lifter_of(self._values, self._rays, self.worker.model.device)
            self.worker.model.thresholds = thresholds_of(self._values, self.worker.own_thresholds)
        if self._outputs is not None:
            self._outputs.target.choose(self._target())

    def _target(self) -> Target:
        return Target(self._values["target_frame"], self._values["target_wait_s"], self._values["publish_points"])

    def _publish_diagnostics(self) -> None:
        state = "active" if self._active else ("inactive" if self.worker is not None else "unconfigured")
        name = f"{self.get_fully_qualified_name()}: segmentation"
        camera = ""
        if self._inputs is not None:
            camera = self._frames.problem(rectified_of(self._values), self._inputs.published(DEPTH))
        one = diagnostics.status(name, state, self.health, self.matcher, self.worker, camera, self._failure)
        self._diagnostics.publish(diagnostics.array(self.get_clock().now().to_msg(), one))


def main(args: list[str] | None = None, model_factory: ModelFactory = load_model) -> int:
    """Run the node until it is told to stop. 0: an ordinary end; 1: a parameter has a value that cannot be."""
    use_large_message_profile()
    stop = stop_at_signals()
    with rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO):
        try:
            node = RefsegNode(model_factory)
        except ParameterException as error:
            rclpy.logging.get_logger("refseg").fatal(f"{error}; correct the parameter file or the command line")
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        came_to: list[TransitionCallbackReturn] = []
        loading = threading.Thread(target=lambda: came_to.append(node.trigger_configure()), daemon=True)
        if node.get_parameter("autostart").value and not stop.is_set():
            # Loading a model takes seconds, in native code that does not bear being interrupted: it is left behind.
            loading.start()
            while loading.is_alive() and not stop.is_set():
                loading.join(0.05)
            if loading.is_alive():
                node.finalized = True  # between two states no transition leads on
            elif came_to == [Success] and not stop.is_set():
                node.trigger_activate()
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.2)
        node.stop(ErrorCode.SHUTDOWN)
        end = time.monotonic() + SHUTDOWN_PATIENCE_S
        while node.requests.unanswered and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        # An answer that is there still has to be sent: the callback that waited for it runs in a later turn.
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        if not node.finalized:
            node.trigger_shutdown()
    if loading.is_alive():
        os._exit(0)  # it would wait for the model, or come down with it
    return 0


if __name__ == "__main__":
    sys.exit(main())
