"""The node as a process of its own, asked over real DDS by action, service and topic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String

from refseg_ros.action import Segment
from refseg_ros.msg import InstanceArray, Object3DArray, RejectionArray, SegmentationResult
from refseg_ros.nodes.dds import use_large_message_profile
from refseg_ros.nodes.images import fill_image
from refseg_ros.srv import SegmentOnce, SetInstruction

DOMAIN = str(101 + os.getpid() % 100)
ENVIRONMENT = {
    "ROS_DOMAIN_ID": DOMAIN,
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    "ROS_PYTHON_CHECK_FIELDS": "1",
}
FOUND, ABSENT, AMBIGUOUS, ERROR = (
    SegmentationResult.FOUND, SegmentationResult.ABSENT, SegmentationResult.AMBIGUOUS, SegmentationResult.ERROR
)  # fmt: skip


class Robot:
    """A camera and a client in this process; the node in another."""

    def __init__(self):
        self.node = rclpy.create_node("robot")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.process = None
        self.color = self.node.create_publisher(Image, "image_raw", 5)
        self.depth = self.node.create_publisher(Image, "depth/image_raw", 5)
        self.info = self.node.create_publisher(CameraInfo, "camera_info", 5)
        self.instruction = self.node.create_publisher(String, "instruction", 100)
        self.action = ActionClient(self.node, Segment, "refseg/segment")
        self.once = self._client(SegmentOnce, "segment_once")
        self.mode = self._client(SetInstruction, "set_instruction")
        self.change = self._client(ChangeState, "change_state")
        self.state = self._client(GetState, "get_state")
        self.set = self._client(SetParameters, "set_parameters")
        self.get = self._client(GetParameters, "get_parameters")
        self.seen = {}
        for kind, topic in (
            (SegmentationResult, "refseg/result"), (InstanceArray, "refseg/masks"), (Image, "refseg/label_mask"),
            (RejectionArray, "refseg/rejections"), (Object3DArray, "refseg/objects"), (Image, "refseg/overlay"),
            (PointCloud2, "refseg/object_points"), (PointCloud2, "refseg/scene_points"),
            (DiagnosticArray, "/diagnostics"),
        ):  # fmt: skip
            self.seen[topic] = []
            self.node.create_subscription(kind, topic, self.seen[topic].append, QoSProfile(depth=200))
        self.with_depth = True
        self.encoding = "rgb8"
        self.node.create_timer(0.1, self._publish)

    def _client(self, kind, name):
        return self.node.create_client(kind, f"refseg/{name}", qos_profile=QoSProfile(depth=1000))

    def image(self):
        pixels = np.full((120, 160, 3), 90, np.uint8)
        pixels[20:50, 20:60] = (255, 0, 0)
        pixels[70:100, 20:60] = (0, 255, 0)
        pixels[70:100, 100:140] = (0, 255, 0)
        out = Image()
        out.header.frame_id = "camera_optical"
        out.header.stamp = self.node.get_clock().now().to_msg()
        return fill_image(out, pixels, "rgb8")

    def depth_of(self, color):
        millimetres = np.full((120, 160), 1000, np.uint16)
        millimetres[20:50, 20:60] = 600
        return fill_image(Image(header=color.header), millimetres, "16UC1")

    def info_of(self, color):
        k = [200.0, 0.0, 80.0, 0.0, 200.0, 60.0, 0.0, 0.0, 1.0]
        return CameraInfo(header=color.header, width=160, height=120, k=k, distortion_model="plumb_bob")

    def _publish(self):
        color = self.image()
        color.encoding = self.encoding
        self.info.publish(self.info_of(color))
        self.color.publish(color)
        if self.with_depth:
            self.depth.publish(self.depth_of(color))

    def start(self, *parameters, seconds="0"):
        arguments = [x for p in parameters for x in ("-p", p)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "helpers.run_fake_node", *(["--ros-args", *arguments] if arguments else [])],
            cwd=Path(__file__).parent,
            env=os.environ | ENVIRONMENT | {"FAKE_MODEL_SECONDS": seconds},
        )
        assert self.until(lambda: self.state.service_is_ready(), 30), "the node did not come up"

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(20) == 0
            self.process = None
            assert self.until(lambda: not self.state.service_is_ready(), 20)

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return condition()

    def spin(self, seconds):
        self.until(lambda: False, seconds)

    def call(self, client, request, seconds=20.0):
        future = client.call_async(request)
        assert self.until(future.done, seconds), "no answer"
        return future.result()

    def ready(self):
        assert self.until(lambda: self.once.service_is_ready() and self.action.server_is_ready(), 20)
        # Discovery of the camera's topics may come later than that of the services.
        answers = []
        self.until(lambda: answers.append(self.ask("the red thing")) or answers[-1].outcome == FOUND, 10)
        assert answers[-1].outcome == FOUND, answers[-1].error_message

    def ask(self, instruction):
        return self.call(self.once, SegmentOnce.Request(instruction=instruction)).result

    def send(self, goal, feedback=None):
        future = self.action.send_goal_async(goal, feedback_callback=feedback)
        assert self.until(future.done)
        return future.result()

    def result_of(self, handle, seconds=20.0):
        future = handle.get_result_async()
        assert self.until(future.done, seconds), "no result"
        return future.result()


@pytest.fixture(scope="module")
def robot():
    os.environ.update(ENVIRONMENT)
    use_large_message_profile()
    rclpy.init()
    yield (robot := Robot())
    if robot.process is not None:
        robot.process.kill()
    rclpy.shutdown()


@pytest.fixture
def quick(robot):
    """The node with a model that answers at once; shared by the tests that do not change it."""
    if robot.process is None:
        robot.start()
        robot.ready()
    robot.with_depth, robot.encoding = True, "rgb8"
    return robot


def test_service_answers_with_masks_and_objects(quick):
    assert quick.until(lambda: quick.ask("the red thing").objects[0].valid)
    result = quick.ask("the red thing")
    assert result.outcome == FOUND and result.header.frame_id == "camera_optical"
    (instance,) = result.instances
    roi = instance.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (20, 20, 40, 30)
    assert instance.mask.encoding == "mono8" and len(instance.mask.data) == 1200
    (obj,) = result.objects
    assert obj.valid and abs(obj.centroid.z - 0.6) < 0.005
    assert abs(obj.centroid.x - (40 - 80) / 200 * 0.6) < 0.01


def test_action_gives_feedback_and_one_outcome(quick):
    stages = []
    handle = quick.send(Segment.Goal(instruction="the red thing"), lambda m: stages.append(m.feedback.stage))
    answer = quick.result_of(handle)
    assert answer.status == GoalStatus.STATUS_SUCCEEDED and answer.result.result.outcome == FOUND
    assert stages[:2] == ["parse", "encode"]


def test_topic_requests_are_answered_on_the_result_topic(quick):
    results = quick.seen["refseg/result"]
    results.clear()
    quick.instruction.publish(String(data="the blue thing"))
    assert quick.until(lambda: len(results) == 1)
    assert results[0].outcome == ABSENT and results[0].instruction == "the blue thing"


def test_everything_is_published_on_one_stamp(quick):
    topics = [t for t in quick.seen if t.startswith("refseg/")]
    quick.spin(0.5)  # answers to the requests of other tests may still be on their way
    for topic in topics:
        quick.seen[topic].clear()
    result = quick.ask("the red thing and the blue thing")
    assert result.outcome == FOUND
    assert quick.until(lambda: all(quick.seen[t] for t in topics)), [t for t in topics if not quick.seen[t]]
    for topic in topics:
        assert quick.seen[topic][0].header.stamp == result.header.stamp, topic
    assert [r.phrase for r in quick.seen["refseg/rejections"][0].rejections] == ["the blue thing"]
    labels = np.frombuffer(quick.seen["refseg/label_mask"][0].data, np.uint16).reshape(120, 160)
    assert (labels[20:50, 20:60] == 1).all() and np.count_nonzero(labels) == 1200
    scene = quick.seen["refseg/scene_points"][0]
    assert (scene.width, scene.height) == (160, 120)


@pytest.mark.parametrize(
    ("instruction", "outcome"),
    [
        ("the red thing", FOUND),
        ("the blue thing", ABSENT),
        ("the green thing", AMBIGUOUS),
        ("all the green things", FOUND),
        ("the red thing and the green thing", AMBIGUOUS),
    ],
)
def test_outcomes(quick, instruction, outcome):
    assert quick.ask(instruction).outcome == outcome


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("", "INSTRUCTION_EMPTY"),
        ("the red \x07 thing", "INSTRUCTION_CONTROL_CHARACTERS"),
        ("x" * 100_000, "INSTRUCTION_TOO_LONG"),
        ("find [SEG]", "INSTRUCTION_SPECIAL_TOKENS"),
    ],
)
def test_bad_instructions_are_errors_with_a_code(quick, instruction, code):
    result = quick.ask(instruction)
    assert (result.outcome, result.error_code) == (ERROR, code)
    assert result.error_message and not result.instances and not result.phrases


def test_a_hundred_requests_at_once_are_all_answered(quick):
    texts = [("the red thing", FOUND), ("the blue thing", ABSENT)] * 50
    futures = [quick.once.call_async(SegmentOnce.Request(instruction=t)) for t, _ in texts]
    assert quick.until(lambda: all(f.done() for f in futures), 60)
    assert [f.result().result.outcome for f in futures] == [outcome for _, outcome in texts]
    assert len({f.result().result.request for f in futures}) == 100


def test_a_goal_may_bring_its_own_frame(quick):
    color = quick.image()
    color.header.frame_id = "another_camera"
    goal = Segment.Goal(
        instruction="the red thing", use_given_frame=True, image=color, depth=quick.depth_of(color),
        camera_info=quick.info_of(color),
    )  # fmt: skip
    result = quick.result_of(quick.send(goal)).result.result
    assert result.header == color.header and result.objects[0].valid


def test_a_goal_with_an_empty_frame_is_an_error(quick):
    answer = quick.result_of(quick.send(Segment.Goal(instruction="the red thing", use_given_frame=True)))
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert answer.result.result.error_code in ("IMAGE_INVALID", "IMAGE_ENCODING")


def test_without_depth_masks_still_come_and_objects_say_why(quick):
    quick.with_depth = False
    assert quick.until(lambda: not quick.ask("the red thing").objects[0].valid)
    result = quick.ask("the red thing")
    assert result.outcome == FOUND and "depth" in result.objects[0].reason
    assert len(result.objects[0].points.data) == 0


def test_a_wrong_encoding_is_an_error_and_the_next_image_is_fine(quick):
    quick.encoding = "rgb16"
    assert quick.until(lambda: quick.ask("the red thing").outcome == ERROR)
    assert quick.ask("the red thing").error_code == "IMAGE_ENCODING"
    quick.encoding = "rgb8"
    assert quick.until(lambda: quick.ask("the red thing").outcome == FOUND)


def parameter(name, value):
    kinds = {
        bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
        int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
        float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
        str: (ParameterType.PARAMETER_STRING, "string_value"),
    }
    kind, field = kinds[type(value)]
    return Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("queue_size", 0, "range"),
        ("depth_min_m", 11.0, "range"),
        ("color_transport", "theora", "one of raw, compressed"),
        ("target_frame", "base_link", "target_frame"),
    ],
)
def test_bad_parameter_values_are_refused_with_a_reason(quick, name, value, said):
    result = quick.call(quick.set, SetParameters.Request(parameters=[parameter(name, value)])).results[0]
    assert not result.successful and said in result.reason


def test_thresholds_change_while_the_node_runs(quick):
    def accept(value):
        request = SetParameters.Request(parameters=[parameter("accept_threshold", value)])
        assert quick.call(quick.set, request).results[0].successful

    accept(0.99)
    assert quick.ask("the red thing").outcome == SegmentationResult.UNCERTAIN
    accept(-1.0)
    assert quick.ask("the red thing").outcome == FOUND


def test_continuous_mode_starts_and_stops(quick):
    results = quick.seen["refseg/result"]
    request = SetInstruction.Request(instruction="the red thing", continuous=True, period_s=0.1)
    assert quick.call(quick.mode, request).success
    results.clear()
    assert quick.until(lambda: len(results) >= 3)
    assert quick.call(quick.mode, SetInstruction.Request()).success
    quick.spin(0.5)
    count = len(results)
    quick.spin(0.5)
    assert len(results) == count
    backward = SetInstruction.Request(instruction="the mug", continuous=True, period_s=-1.0)
    assert not quick.call(quick.mode, backward).success
    assert "instruction" in quick.call(quick.mode, SetInstruction.Request(continuous=True)).message


def test_diagnostics_say_what_people_ask_first(quick):
    seen = quick.seen["/diagnostics"]
    seen.clear()
    assert quick.until(lambda: seen, 5)
    values = {v.key: v.value for v in seen[-1].status[0].values}
    assert values["state"] == "active" and values["model"] == "colour" and values["device"] == "cpu"
    assert int(values["matched"]) > 0 and float(values["latency_p50_ms"]) > 0 and "color_rate_hz" in values


def test_lifecycle_rounds_and_what_inactive_means(quick):
    def change(transition):
        return quick.call(quick.change, ChangeState.Request(transition=Transition(id=transition))).success

    for _ in range(3):
        assert change(Transition.TRANSITION_DEACTIVATE)
        inactive = quick.ask("the red thing")
        assert (inactive.outcome, inactive.error_code) == (ERROR, "NOT_ACTIVE")
        assert change(Transition.TRANSITION_CLEANUP)
        assert quick.call(quick.state, GetState.Request()).current_state.id == State.PRIMARY_STATE_UNCONFIGURED
        assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
        quick.ready()


def test_slow_inference_leaves_services_free_and_can_be_cancelled(robot):
    robot.stop()
    robot.start(seconds="1.5")
    assert robot.until(lambda: robot.once.service_is_ready() and robot.action.server_is_ready())
    robot.spin(1.0)
    handle = robot.send(Segment.Goal(instruction="the red thing"))
    robot.spin(0.3)
    began = time.monotonic()
    robot.call(robot.get, GetParameters.Request(names=["queue_size"]))
    robot.call(robot.state, GetState.Request())
    assert time.monotonic() - began < 1.0, "services waited for the inference"
    cancelled = handle.cancel_goal_async()
    assert robot.until(cancelled.done)
    answer = robot.result_of(handle)
    assert answer.status == GoalStatus.STATUS_CANCELED and answer.result.result.error_code == "CANCELLED"


def test_deadline_is_kept(robot):
    goal = Segment.Goal(instruction="the red thing")
    goal.deadline.nanosec = 200_000_000
    answer = robot.result_of(robot.send(goal))
    assert answer.result.result.error_code == "DEADLINE_EXCEEDED"


def test_requests_in_flight_at_shutdown_are_answered(robot):
    futures = [robot.once.call_async(SegmentOnce.Request(instruction="the red thing")) for _ in range(4)]
    robot.spin(0.5)
    robot.process.send_signal(signal.SIGTERM)
    assert robot.until(lambda: all(f.done() for f in futures), 10)
    codes = {f.result().result.error_code for f in futures}
    assert codes <= {"SHUTDOWN", "NOT_ACTIVE", ""} and "SHUTDOWN" in codes
    assert robot.process.wait(20) == 0
    robot.process = None


def test_a_model_that_does_not_load_leaves_the_node_alive(robot):
    robot.process = subprocess.Popen(
        [sys.executable, "-m", "refseg_ros.nodes.refseg_node", "--ros-args", "-p", "weights:=/nowhere/w.safetensors"],
        env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert robot.until(lambda: robot.state.service_is_ready(), 30)
    state = robot.call(robot.state, GetState.Request(), 30).current_state
    assert state.id == State.PRIMARY_STATE_UNCONFIGURED
    robot.process.send_signal(signal.SIGINT)
    assert "/nowhere/w.safetensors does not exist" in robot.process.communicate(timeout=20)[1]
    robot.process = None
