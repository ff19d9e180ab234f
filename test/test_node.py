"""The node as a process of its own, asked over real DDS by action, service and topic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from action_msgs.msg import GoalStatus
from helpers.robot import ABSENT, AMBIGUOUS, ENVIRONMENT, ERROR, FOUND, parameter
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from std_msgs.msg import String

from refseg_ros.action import Segment
from refseg_ros.msg import SegmentationResult
from refseg_ros.srv import SegmentOnce, SetInstruction


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
    quick.instruction.publish(String(data="the bluest blue thing"))
    answers = lambda: [r for r in results if r.instruction == "the bluest blue thing"]  # noqa: E731
    assert quick.until(answers)
    assert [r.outcome for r in answers()] == [ABSENT]


def indices_are_kept(objects, scene):
    """Every labelled point is the very point of the organised scene cloud that its index says, colour and all."""
    names = ["x", "y", "z", "rgb", "instance", "index"]
    assert [f.name for f in objects.fields] == names and [f.name for f in scene.fields] == names[:4]
    kind = np.dtype([(n, "<f4") for n in names[:3]] + [(n, "<u4") for n in names[3:]])
    points, whole = np.frombuffer(objects.data, kind), np.frombuffer(scene.data, np.dtype(kind.descr[:4]))
    assert set(points["instance"]) == {1} and len(points) > 500
    same = whole[points["index"]]
    np.testing.assert_array_equal(points["rgb"], same["rgb"])
    return all(np.allclose(points[axis], same[axis], atol=1e-6) for axis in "xyz")


def test_everything_is_published_on_one_stamp(quick):
    topics = [t for t in quick.seen if t.startswith("refseg/")]
    quick.spin(0.5)  # answers to the requests of other tests may still be on their way
    for topic in topics:
        quick.seen[topic].clear()
    result = quick.ask("the red thing and the blue thing")
    assert result.outcome == FOUND
    assert quick.until(lambda: all(quick.seen[t] for t in topics)), [t for t in topics if not quick.seen[t]]
    for topic in topics:
        first = quick.seen[topic][0]
        header = first.markers[0].header if topic.endswith("markers") else first.header
        assert header.stamp == result.header.stamp, topic
    assert [r.phrase for r in quick.seen["refseg/rejections"][0].rejections] == ["the blue thing"]
    labels = np.frombuffer(quick.seen["refseg/label_mask"][0].data, np.uint16).reshape(120, 160)
    assert (labels[20:50, 20:60] == 1).all() and np.count_nonzero(labels) == 1200
    scene = quick.seen["refseg/scene_points"][0]
    assert (scene.width, scene.height) == (160, 120)
    picture = cv2.imdecode(np.frombuffer(quick.seen["refseg/overlay/compressed"][0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 160
    clear, box, name, centroid, *verdicts = quick.seen["refseg/markers"][0].markers
    assert clear.action == clear.DELETEALL and box.scale.z > 0 and "the red thing (FOUND)" in name.text
    assert abs(box.pose.position.z - 0.6) < 0.05 and abs(centroid.pose.position.z - 0.6) < 0.01
    assert [v.text.rsplit(" ", 1)[0] for v in verdicts] == ["the red thing: FOUND", "the blue thing: ABSENT"]
    assert indices_are_kept(quick.seen["refseg/object_points"][0], scene)


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
    answers = [f.result().result for f in futures]
    assert [r.outcome for r in answers] == [outcome for _, outcome in texts], {r.error_code for r in answers}
    assert len({f.result().result.request for f in futures}) == 100


def test_a_hundred_goals_and_a_hundred_topic_requests_at_once_are_all_answered(quick):
    seen = quick.seen["refseg/result"]
    goals = [quick.action.send_goal_async(Segment.Goal(instruction=f"the red thing {n}")) for n in range(100)]
    for n in range(100):
        quick.instruction.publish(String(data=f"the blue thing {n}"))
    assert quick.until(lambda: all(g.done() for g in goals), 60)
    results = [g.result().get_result_async() for g in goals]
    assert quick.until(lambda: all(r.done() for r in results), 60)
    assert [r.result().result.result.instruction for r in results] == [f"the red thing {n}" for n in range(100)]
    said = lambda: {r.instruction for r in seen if r.instruction.startswith("the blue thing ")}  # noqa: E731
    assert quick.until(lambda: len(said()) == 100, 30), f"{len(said())} of 100 topic requests were answered"


def test_a_goal_may_bring_its_own_frame(quick):
    color = quick.image()
    color.header.frame_id = "another_camera"
    goal = Segment.Goal(
        instruction="the red thing", use_given_frame=True, image=color, depth=quick.depth_of(color),
        camera_info=quick.info_of(color),
    )  # fmt: skip
    result = quick.result_of(quick.send(goal)).result.result
    assert result.header == color.header and result.objects[0].valid


def test_a_goals_depth_of_another_moment_costs_the_3d_and_not_the_masks(quick):
    color = quick.image()
    depth = quick.depth_of(color)
    depth.header = type(color.header)(frame_id=color.header.frame_id)
    depth.header.stamp.sec = color.header.stamp.sec - 60
    depth.header.stamp.nanosec = color.header.stamp.nanosec
    goal = Segment.Goal(
        instruction="the red thing", use_given_frame=True, image=color, depth=depth, camera_info=quick.info_of(color)
    )
    result = quick.result_of(quick.send(goal)).result.result
    assert result.outcome == FOUND and "60000 ms away from its image" in result.objects[0].reason


def test_a_goal_with_an_empty_frame_is_an_error(quick):
    answer = quick.result_of(quick.send(Segment.Goal(instruction="the red thing", use_given_frame=True)))
    assert answer.status == GoalStatus.STATUS_ABORTED
    assert answer.result.result.error_code in ("IMAGE_INVALID", "IMAGE_ENCODING")


def test_without_depth_masks_still_come_and_objects_say_why(quick):
    quick.spoil = lambda color, depth, info: (color, None, info)
    assert quick.until(lambda: not quick.ask("the red thing").objects[0].valid)
    result = quick.ask("the red thing")
    assert result.outcome == FOUND and "depth" in result.objects[0].reason
    assert len(result.objects[0].points.data) == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("queue_size", 0, "range"),
        ("depth_min_m", 11.0, "range"),
        ("color_transport", "theora", "one of raw, compressed"),
        ("target_wait_s", 6.0, "range"),
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


def test_slow_inference_leaves_services_free_and_can_be_cancelled(robot):
    robot.stop()
    robot.start(seconds="1.5")
    assert robot.until(lambda: robot.once.service_is_ready() and robot.action.server_is_ready())
    robot.spin(1.0)
    handle = robot.send(Segment.Goal(instruction="the red thing"))
    robot.spin(0.3)
    waiting = robot.once.call_async(SegmentOnce.Request(instruction="the red thing"))
    robot.spin(0.2)
    began = time.monotonic()
    robot.call(robot.get, GetParameters.Request(names=["queue_size"]))
    robot.call(robot.state, GetState.Request())
    assert time.monotonic() - began < 0.8 and not waiting.done(), "services waited for the inference"
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
    assert robot.lifecycle_state() == State.PRIMARY_STATE_UNCONFIGURED
    robot.process.send_signal(signal.SIGINT)
    assert "/nowhere/w.safetensors does not exist" in robot.process.communicate(timeout=20)[1]
    robot.process = None


def test_an_object_says_what_a_planner_asks_next():
    """Plane, heights, uncertainty, occlusion: in the message as in the object, and nothing made up where unknown."""
    from std_msgs.msg import Header

    from refseg_ros.core.types import Object3D, OrientedBox, Plane
    from refseg_ros.nodes.results import object_message

    box = OrientedBox((0.0, 0.1, 0.9), (0.1, 0.2, 0.3), (0.0, 0.0, 0.0, 1.0))
    covariance = np.diag([1e-6, 2e-6, 3e-6])
    whole = Object3D(
        4, True, "", "camera", (0.0, 0.1, 0.8), box, np.zeros((3, 3), np.float32), np.zeros((3, 3), np.uint8), 0.9,
        centroid_cov_m2=covariance, size_std_m=(0.001, 0.002, 0.003), plane=Plane((0.0, -1.0, 0.0), 0.2),
        bottom_m=0.01, top_m=0.29, occluded=True, back_inferred=True, layer_depths_m=(0.8, 1.1),
    )  # fmt: skip
    message = object_message(whole, Header(), with_points=False)
    np.testing.assert_allclose(np.reshape(message.centroid_covariance, (3, 3)), covariance)
    assert (message.size_std.x, message.size_std.y, message.size_std.z) == (0.001, 0.002, 0.003)
    assert message.has_plane and (message.plane_normal.y, message.plane_offset) == (-1.0, 0.2)
    assert (message.bottom, message.top) == pytest.approx((0.01, 0.29))
    assert message.back_inferred and message.occluded and not message.truncated
    assert list(message.layer_depths) == pytest.approx([0.8, 1.1])
    bare = object_message(Object3D(5, False, "no depth"), Header(), with_points=False)
    assert not bare.has_plane and not bare.back_inferred and not any(bare.centroid_covariance)
    assert bare.reason == "no depth"
