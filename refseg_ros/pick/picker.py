"""The picking program: a robot's own, that knows the world through the node's outputs and its own calibration only.

It asks for the instruction on several images. It picks when every answer is FOUND, with one object in one place; any
other answer, and any disagreement between them, is a refusal with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState, PointCloud2

from refseg_ros.action import Segment
from refseg_ros.core.outcome import Outcome
from refseg_ros.core.transform import RigidTransform, rigid_transform
from refseg_ros.msg import Object3D, SegmentationResult
from refseg_ros.nodes.frames import stamp_ns
from refseg_ros.pick.planner import Grasp, NoGrasp, plan

TABLE_M = 0.4  # height of the cell's table, by its drawing
ASKS = 3
LOOK_AGAIN, LOOK_AGAIN_S = 3, 0.2  # an image without depth, as the first ones may be, does not say where it is
AGREE_M = 0.02  # how far apart the answers may say it is
ABOVE_M, LIFT_M, HOLD_S = 0.15, 0.16, 1.3
MOTION_S = 8.0  # of the gripper's clock: a motion that takes longer has met something, and the next begins

Spin = Callable[[], None]


class Refused(Exception):
    """Why nothing is picked, in words. code: the outcome of the answer, or what came after it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Attempt:
    """picked: the fingers were closed on something. code: FOUND, or why not; outcomes and beliefs: of the answers."""

    picked: bool
    code: str
    reason: str
    outcomes: tuple[str, ...]
    beliefs: tuple[float, ...]
    grasp: Grasp | None = None
    closed_m: float | None = None


class Picker(Node):
    """pick() blocks while `spin` runs the executor. Raises TimeoutError when the node or the gripper falls silent."""

    def __init__(self) -> None:
        super().__init__("picker")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._scenes: dict[int, PointCloud2] = {}
        self._objects: dict[int, PointCloud2] = {}
        self._state: Any = None
        self._camera: RigidTransform | None = None
        self._segment: Any = ActionClient(self, Segment, "refseg/segment")
        self._command = self.create_publisher(JointState, "gripper/command", 10)
        self.create_subscription(JointState, "gripper/state", lambda m: setattr(self, "_state", m), 10)
        self.create_subscription(PoseStamped, "camera_pose", self._on_camera_pose, latched)
        for topic, kept in (("scene_points", self._scenes), ("object_points", self._objects)):
            self.create_subscription(PointCloud2, f"refseg/{topic}", _keeper(kept), 5)

    def _on_camera_pose(self, message: PoseStamped) -> None:
        p: Any = message.pose.position
        q: Any = message.pose.orientation
        self._camera = rigid_transform((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))

    def ready(self) -> bool:
        """Whether the node, the gripper and the calibration are there."""
        return self._segment.server_is_ready() and self._state is not None and self._camera is not None

    def pick(self, instruction: str, spin: Spin) -> Attempt:
        """Ask, and pick what is meant or refuse."""
        answers: list[SegmentationResult] = []

        def attempt(code: str, reason: str, *done: Any) -> Attempt:
            beliefs = tuple(round(min((p.score for p in a.phrases), default=0.0), 3) for a in answers)
            outcomes = tuple(Outcome(a.outcome).name for a in answers)
            return Attempt(bool(done), code, reason, outcomes, beliefs, *done)

        try:
            obj, stamp = self._asked(instruction, answers, spin)
            grasp = self._planned(obj, stamp, spin)
        except Refused as refused:
            return attempt(refused.code, str(refused))
        return attempt("FOUND", "", grasp, self._execute(grasp, spin))

    def _asked(self, instruction: str, answers: list[SegmentationResult], spin: Spin) -> tuple[Object3D, int]:
        """The one object that every answer means, as the last one saw it, and that one's stamp. Raises Refused."""
        places: list[npt.NDArray[np.float64]] = []
        last = 0
        while len(places) < ASKS:
            result = self._ask(instruction, spin)
            stamp = stamp_ns(result.header.stamp)
            if stamp == last and result.outcome != SegmentationResult.ERROR:
                _spin_for(0.05, spin)  # the same image again says nothing new
                continue
            last = stamp
            answers.append(result)
            if result.outcome != SegmentationResult.FOUND:
                raise Refused(Outcome(result.outcome).name, result.error_message or _words(result))
            if len(result.objects) != 1:
                raise Refused("SEVERAL", f"{len(result.objects)} things are meant, and this program picks one")
            obj = result.objects[0]
            if not obj.valid:
                if len(answers) - len(places) > LOOK_AGAIN:
                    raise Refused("NO_3D", obj.reason)
                _spin_for(LOOK_AGAIN_S, spin)
                continue
            places.append(np.array([obj.centroid.x, obj.centroid.y, obj.centroid.z]))
        apart = max(float(np.linalg.norm(p - places[-1])) for p in places)
        if apart > AGREE_M:
            raise Refused("DISAGREE", f"the answers to {ASKS} images are {100 * apart:.0f} cm apart")
        return obj, last

    def _ask(self, instruction: str, spin: Spin) -> SegmentationResult:
        handle = _wait(self._segment.send_goal_async(Segment.Goal(instruction=instruction)), spin)
        result: SegmentationResult = _wait(handle.get_result_async(), spin).result.result
        return result

    def _planned(self, obj: Object3D, stamp: int, spin: Spin) -> Grasp:
        """Raises Refused when nothing can be held."""
        end = time.monotonic() + 10.0
        while stamp not in self._scenes or stamp not in self._objects:
            if time.monotonic() > end:
                raise TimeoutError("the node published no clouds for its answer")
            spin()
        scene, things = self._scenes[stamp], self._objects[stamp]
        index = fields(things)["index"]
        of_thing = fields(things)["instance"] == obj.instance
        whole = xyz(scene)
        own = np.zeros(len(whole), np.bool_)
        own[index[of_thing]] = True
        other = np.isfinite(whole).all(1) & ~own
        camera = self._camera
        assert camera is not None  # ready() has looked
        try:
            return plan(camera.apply(xyz(things)[of_thing]), camera.apply(whole[other]), TABLE_M, camera.translation)
        except NoGrasp as problem:
            raise Refused("NO_GRASP", str(problem)) from problem

    def _execute(self, grasp: Grasp, spin: Spin) -> float:
        """Down, close, up, hold. The gap between the fingers when they had closed, metres."""
        x, y, z = grasp.tip
        self._move(spin, x=x, y=y, yaw=grasp.yaw, opening=grasp.opening)
        self._move(spin, z=z + ABOVE_M)
        self._move(spin, z=z)
        self._move(spin, opening=0.0)
        closed = self._value("opening")
        self._move(spin, z=z + LIFT_M)
        self._hold(HOLD_S, spin)
        return closed

    def _move(self, spin: Spin, **goal: float) -> None:
        taken, began, until = self._value("commands"), self._clock_s(), time.monotonic() + 60.0
        self._command.publish(JointState(name=list(goal), position=[float(v) for v in goal.values()]))
        while self._value("commands") == taken or not (
            self._value("arrived") or self._clock_s() > began + MOTION_S
        ):
            if time.monotonic() > until:
                raise TimeoutError("the gripper does not move")
            spin()

    def _hold(self, seconds: float, spin: Spin) -> None:
        began, until = self._clock_s(), time.monotonic() + 60.0
        while self._clock_s() < began + seconds and time.monotonic() < until:
            spin()

    def _value(self, name: str) -> float:
        return float(self._state.position[list(self._state.name).index(name)])

    def _clock_s(self) -> float:
        """The gripper's own clock."""
        stamp = self._state.header.stamp
        return float(stamp.sec + stamp.nanosec * 1e-9)


def fields(cloud: PointCloud2) -> npt.NDArray[Any]:
    """A cloud's points as records: float32 x, y, z, and uint32 for what the node packs whole (rgb, instance, index)."""
    kinds = {"x": "<f4", "y": "<f4", "z": "<f4"}
    return np.frombuffer(cloud.data, np.dtype([(f.name, kinds.get(f.name, "<u4")) for f in cloud.fields]))


def xyz(cloud: PointCloud2) -> npt.NDArray[np.float64]:
    """A cloud's points, float64 (N, 3)."""
    records = fields(cloud)
    return np.stack([records[axis].astype(np.float64) for axis in "xyz"], 1)


def _keeper(kept: dict[int, PointCloud2]) -> Callable[[PointCloud2], None]:
    def keep(cloud: PointCloud2) -> None:
        kept[stamp_ns(cloud.header.stamp)] = cloud
        while len(kept) > 4:
            kept.pop(min(kept))

    return keep


def _words(result: SegmentationResult) -> str:
    return "; ".join(f"{p.text}: {Outcome(p.verdict).name} ({p.score:.2f})" for p in result.phrases)


def _wait(future: Any, spin: Spin, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not future.done():
        if time.monotonic() > end:
            raise TimeoutError("the node does not answer; its log says why")
        spin()
    return future.result()


def _spin_for(seconds: float, spin: Spin) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        spin()
