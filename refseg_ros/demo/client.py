"""The demo's client: a program like a user's own, that knows the node only through its topics and its action."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import String

from refseg_ros.action import Segment
from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.demo.score import Answer
from refseg_ros.demo.truth import SceneTruth, read_truth
from refseg_ros.msg import SegmentationResult

Progress = Callable[[str], None]


class DemoTimeout(RuntimeError):
    """Something the demo waits for did not come; the message names it."""


class DemoClient(Node):
    """Sends instructions by action and keeps the newest pictures and clouds that the node publishes."""

    def __init__(self) -> None:
        super().__init__("refseg_demo_client")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.truth: SceneTruth | None = None
        self.frames = 0
        self.overlays: dict[int, npt.NDArray[np.uint8]] = {}
        self._scene: PointCloud2 | None = None
        self.create_subscription(String, "sim_camera/truth", self._on_truth, latched)
        self.create_subscription(Image, "image_raw", self._on_image, qos_profile_sensor_data)
        self.create_subscription(CompressedImage, "refseg/overlay/compressed", self._on_overlay, 10)
        self.create_subscription(PointCloud2, "refseg/scene_points", self._on_scene, 2)
        self._segment: Any = ActionClient(self, Segment, "refseg/segment")
        self._camera: Any = self.create_client(SetParameters, "sim_camera/set_parameters")

    def _on_truth(self, message: String) -> None:
        self.truth = read_truth(message.data)

    def _on_image(self, message: Image) -> None:
        self.frames += 1

    def _on_overlay(self, message: CompressedImage) -> None:
        picture = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        if picture is not None:
            self.overlays[stamp_ns(message.header.stamp)] = np.asarray(picture, np.uint8)

    def _on_scene(self, message: PointCloud2) -> None:
        self._scene = message

    def wait_until_ready(self, spin: Callable[[], None], timeout_s: float, progress: Progress) -> None:
        """Until frames, truth and the node's action are there. Raises DemoTimeout naming what is missing."""
        end = time.monotonic() + timeout_s
        checks: list[tuple[str, Callable[[], bool]]] = [
            ("camera frames on image_raw", lambda: self.frames > 0),
            ("the camera's truth", lambda: self.truth is not None),
            ("the node's action refseg/segment", lambda: self._segment.server_is_ready()),
        ]
        for what, ready in checks:
            progress(f"waiting for {what}")
            while not ready():
                if time.monotonic() > end:
                    raise DemoTimeout(f"No {what} after {timeout_s:.0f} s; read out/demo/*.log for the reason.")
                spin()

    def show_scene(self, seed: int, spin: Callable[[], None], timeout_s: float = 30.0) -> SceneTruth:
        """Ask the camera for another scene and wait until its truth has arrived."""
        if self.truth is not None and self.truth.seed == seed:
            return self.truth
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="scene_seed", value=value)])
        future = self._camera.call_async(request)
        end = time.monotonic() + timeout_s
        while self.truth is None or self.truth.seed != seed:
            if time.monotonic() > end:
                raise DemoTimeout(f"The camera did not show scene {seed} after {timeout_s:.0f} s.")
            if future.done() and (answer := future.result()) and not answer.results[0].successful:
                raise DemoTimeout(f"The camera refused scene {seed}: {answer.results[0].reason}")
            spin()
        frames = self.frames
        while self.frames < frames + 3 and time.monotonic() < end:
            spin()
        return self.truth

    def ask(self, instruction: str, spin: Callable[[], None], timeout_s: float = 60.0) -> SegmentationResult:
        """One request by action; the result message. Raises DemoTimeout when none comes."""
        end = time.monotonic() + timeout_s
        sent = self._segment.send_goal_async(Segment.Goal(instruction=instruction))
        handle = _wait(sent, spin, end, "goal")
        if not handle.accepted:
            raise DemoTimeout("The node refused the goal; is it active?")
        return _wait(handle.get_result_async(), spin, end, "result").result.result

    def overlay_of(self, result: SegmentationResult, spin: Callable[[], None]) -> npt.NDArray[np.uint8] | None:
        """The node's overlay for a result, matched by stamp: uint8 (H, W, 3) BGR, or None when none came."""
        end = time.monotonic() + 2.0
        key = stamp_ns(result.header.stamp)
        while key not in self.overlays and time.monotonic() < end:
            spin()
        return self.overlays.pop(key, None)


    def scene_of(self, result: SegmentationResult, spin: Callable[[], None]) -> PointCloud2 | None:
        """The organised cloud of a result's image, or None when none came."""
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            if self._scene is not None and self._scene.header.stamp == result.header.stamp:
                return self._scene
            spin()
        return None


def _wait(future: Any, spin: Callable[[], None], end: float, what: str) -> Any:
    while not future.done():
        if time.monotonic() > end:
            raise DemoTimeout(f"The node sent no {what}.")
        spin()
    return future.result()


def stamp_ns(stamp: Any) -> int:
    """builtin_interfaces/Time as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def answer_of(result: SegmentationResult, size: tuple[int, int], latency_ms: float) -> Answer:
    """A result message in plain values. size: (width, height) of the image."""
    masks: dict[int, npt.NDArray[np.bool_]] = {}
    phrase_of: dict[int, int] = {}
    for instance in result.instances:
        phrase_of[instance.id] = instance.phrase
        roi = instance.roi
        crop = np.frombuffer(instance.mask.data, np.uint8).reshape(roi.height, roi.width) > 0
        full = masks.setdefault(instance.phrase, np.zeros((size[1], size[0]), np.bool_))
        full[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] |= crop
    centroids = tuple(
        (phrase_of[o.instance], np.array([o.centroid.x, o.centroid.y, o.centroid.z])) for o in result.objects if o.valid
    )
    return Answer(
        Outcome(result.outcome),
        tuple((p.text, Verdict(p.verdict), float(p.score)) for p in result.phrases),
        masks,
        centroids,
        latency_ms,
        result.error_code,
        result.error_message,
        {name: round(float(ms), 2) for name, ms in zip(result.timing_names, result.timings, strict=True)},
    )


def points_of(cloud: PointCloud2) -> npt.NDArray[np.float32]:
    """x, y, z of a cloud with float32 fields at offsets 0, 4, 8: float32 (N, 3)."""
    raw = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    return np.ascontiguousarray(raw[:, :12]).view(np.float32)


def colors_of(cloud: PointCloud2) -> npt.NDArray[np.uint8]:
    """The packed colours at offset 12: uint8 (N, 3), RGB."""
    raw = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    return np.ascontiguousarray(raw[:, 14:11:-1])
