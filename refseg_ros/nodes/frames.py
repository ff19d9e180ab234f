"""Matched messages to a core Frame: decoded, checked, with the reason in words where depth cannot be used; and the
newest of them for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.registration import DepthRegistration
from refseg_ros.core.transform import NoTransform, RigidTransform
from refseg_ros.core.types import Frame, Intrinsics, intrinsics_from_k
from refseg_ros.nodes import images
from refseg_ros.nodes.sync import NO_DEPTH, FrameSet, StampMatcher
from refseg_ros.nodes.worker import Job

NO_INFO = "no camera info has arrived"
SIM_AHEAD_NS = 1_000_000_000  # an image may be published before the clock that it was taken by

ToColor = Callable[[str, str, int], RigidTransform]  # colour frame, depth frame, stamp in ns; may raise NoTransform


def is_compressed(message: Any) -> bool:
    """Whether a message is a CompressedImage."""
    return hasattr(message, "format")


@dataclass(frozen=True)
class Rectified:
    """Which images are rectified already: P of their camera info describes them, and not its K and D."""

    color: bool = False
    depth: bool = False


NOT_RECTIFIED = Rectified()


def rectified_of(values: Mapping[str, Any]) -> Rectified:
    """As the node's parameters say."""
    return Rectified(values["color_rectified"], values["depth_rectified"])


def _matrix(info: Any, rectified: bool) -> npt.NDArray[np.float64]:
    """The 3 x 3 camera matrix that holds for the images."""
    return np.asarray(info.p, np.float64).reshape(3, 4)[:, :3] if rectified else np.reshape(info.k, (3, 3))


def intrinsics_of(info: Any, rectified: bool = False, switch: str = "color_rectified") -> Intrinsics:
    """The camera of a sensor_msgs/CameraInfo. switch: the parameter that says `rectified`. Raises
    RequestError(CAMERA_INVALID)."""
    if rectified:
        matrix = _matrix(info, rectified)
        if not matrix.any():
            raise RequestError(
                ErrorCode.CAMERA_INVALID, f"P of the camera info is empty; calibrate the camera, or turn {switch} off."
            )
        return intrinsics_from_k(matrix, info.width, info.height)
    distortion = tuple(float(d) for d in info.d)
    if any(distortion) and info.distortion_model != "plumb_bob":
        raise RequestError(
            ErrorCode.CAMERA_INVALID,
            f"Distortion model {info.distortion_model!r} is not supported; rectify the images and turn {switch} on, "
            "or use plumb_bob.",
        )
    return intrinsics_from_k(info.k, info.width, info.height, distortion if any(distortion) else ())


def stamp_ns(stamp: Any) -> int:
    """builtin_interfaces/Time as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def build_frame(
    messages: FrameSet, registration: DepthRegistration | None = None, to_color: ToColor | None = None,
    rectified: Rectified = NOT_RECTIFIED,
) -> Frame:  # fmt: skip
    """Decode one moment. A bad colour image raises RequestError; bad depth or camera info becomes depth_problem.

    Depth of another size or K is registered to the colour image where its own camera info came with it; depth of
    another frame, too, where to_color knows how the two stand. registration: keeps the look-up from image to image.
    """
    color = messages.color
    rgb = images.color_from_compressed(color) if is_compressed(color) else images.color_from_message(color)
    problem, depth, camera = messages.problem, None, None
    try:
        if messages.color_info is not None:
            camera = intrinsics_of(messages.color_info, rectified.color)
        if messages.depth is not None:
            message = messages.depth
            decode = images.depth_from_compressed if is_compressed(message) else images.depth_from_message
            depth = decode(message)
            problem = problem or _mismatch(camera, rgb.shape[1], rgb.shape[0])
            if not problem and camera is not None:
                moved = _moved(messages, to_color)
                depth_camera = _depth_camera(messages, camera, depth.shape, moved is not None, rectified)
                if depth_camera is not None:
                    depth = (registration or DepthRegistration()).register(depth, depth_camera, camera, moved)
    except RequestError as error:  # masks need no depth: the objects say why they have none
        problem = problem or error.message
    if problem:
        depth = None
    header = color.header
    return Frame(rgb, depth, camera, header.frame_id or "camera", stamp_ns(header.stamp), problem)


def _mismatch(camera: Intrinsics | None, width: int, height: int) -> str:
    """Why the camera info is none of this image, or ""."""
    if camera is None:
        return NO_INFO
    if (camera.width, camera.height) != (width, height):
        return f"the camera info is for {camera.width} x {camera.height}, the image is {width} x {height}"
    return ""


def _moved(messages: FrameSet, to_color: ToColor | None) -> RigidTransform | None:
    """From the depth camera's frame to the colour camera's; None: they are one. Raises RequestError."""
    assert messages.depth is not None
    color, depth = (m.header.frame_id.lstrip("/") for m in (messages.color, messages.depth))
    if not color or not depth or color == depth:
        return None
    where = f"depth is in frame {depth!r}, colour in {color!r}"
    if to_color is None:
        raise RequestError(ErrorCode.CAMERA_INVALID, f"{where}; use the aligned depth topic")
    try:
        return to_color(color, depth, stamp_ns(messages.depth.header.stamp))
    except NoTransform as error:
        raise RequestError(
            ErrorCode.CAMERA_INVALID,
            f"{where}, and there is no transform between them: {error}; publish it, or use the aligned depth topic",
        ) from error


def _depth_camera(
    messages: FrameSet, camera: Intrinsics, depth_shape: tuple[int, ...], elsewhere: bool, rectified: Rectified
) -> Intrinsics | None:
    """The camera to register depth (h, w) from; None: it lies on the colour image as it is. elsewhere: it is in a frame
    of its own. Raises RequestError."""
    height, width = depth_shape
    same_size = (width, height) == (camera.width, camera.height) and not elsewhere
    info = messages.depth_info
    if info is None or not _matrix(info, rectified.depth).any():
        if same_size:
            return None
        raise RequestError(
            ErrorCode.CAMERA_INVALID,
            f"depth is {width} x {height}, colour {camera.width} x {camera.height}"
            f"{', each in a frame of its own' if elsewhere else ''}, and no depth camera info has arrived; "
            "publish it, or use the aligned depth topic",
        )
    if (info.width, info.height) != (width, height):
        raise RequestError(
            ErrorCode.CAMERA_INVALID,
            f"depth is {width} x {height} and its camera info for {info.width} x {info.height}; use those of one topic",
        )
    bent_alike = rectified.color == rectified.depth or not (camera.distorted or any(info.d))
    if same_size and bent_alike and np.allclose(_matrix(info, rectified.depth), camera.k, atol=1.0):
        return None
    return intrinsics_of(info, rectified.depth, "depth_rectified")


class FrameSource:
    """The newest moment, decoded when a request needs it; the same Frame while nothing newer has come.

    newest() is for the worker's thread, the others for any. topic: the colour images' name, for messages to people.
    sim_ns: the time of a simulation, nanoseconds, 0 where there is none.
    """

    def __init__(
        self, matcher: StampMatcher, topic: str, to_color: ToColor | None = None, sim_ns: Callable[[], int] = lambda: 0
    ) -> None:
        self.topic = topic
        self._matcher, self._to_color, self._sim_ns = matcher, to_color, sim_ns
        self._last: tuple[FrameSet, Rectified, Frame] | None = None
        self._registration = DepthRegistration()

    def newest(self, job: Job, wait_s: float, max_age_s: float, rectified: Rectified = NOT_RECTIFIED) -> Frame:
        """Waits for a first image until wait_s after the job was asked, its deadline, or its cancellation.

        max_age_s: the oldest image that will do, 0 for any. Raises RequestError: NO_FRAME, DEADLINE_EXCEEDED,
        STALE_FRAME, or what is wrong with the image.
        """
        end = job.asked + wait_s  # jobs that wait in a queue wait together, not one after the other
        late = job.deadline is not None and job.deadline < end
        until = min(end, job.deadline) if job.deadline is not None else end
        messages = self._matcher.wait(until - time.monotonic(), job.cancelled.is_set)
        if messages is None:
            raise RequestError(
                ErrorCode.DEADLINE_EXCEEDED if late else ErrorCode.NO_FRAME,
                f"No colour image arrived within {'the deadline' if late else f'{wait_s:g} s'}; "
                f"check the topic {self.topic} and its QoS.",
            )
        age = self._age_s(messages)
        if max_age_s and age > max_age_s:
            self._matcher.counts["stale"] += 1
            raise RequestError(
                ErrorCode.STALE_FRAME,
                f"The newest image came {age:.1f} s ago (limit {max_age_s:g} s); check that the camera is running.",
            )
        last = self._last
        if (
            last is not None
            and last[0].color is messages.color
            and last[0].depth is messages.depth
            and last[1] == rectified
            and (last[2].intrinsics is not None or last[0].color_info is messages.color_info)
            and (messages.problem or not last[2].depth_problem)  # what building lacked may have come: a transform, ...
        ):
            return last[2]
        frame = build_frame(messages, self._registration, self._to_color, rectified)
        self._last = (messages, rectified, frame)
        return frame

    def _age_s(self, messages: FrameSet) -> float:
        """Seconds since the image came; in a simulation by its clock: a world that stands still ages nothing."""
        now, stamp = self._sim_ns(), messages.stamp_ns
        if now and stamp and stamp < now + SIM_AHEAD_NS:  # farther ahead it is of another clock
            return (now - stamp) / 1e9
        return time.monotonic() - messages.received_s

    def problem(self, rectified: Rectified, depth_expected: bool) -> str:
        """Why a request of this moment would have no 3-D, or "": no camera info or a wrong one, or no depth though some
        comes or is expected. Says nothing before the first image."""
        messages, last = self._matcher.newest(), self._last
        if messages is None:
            return ""
        if messages.color_info is None:
            return NO_INFO
        try:
            camera = intrinsics_of(messages.color_info, rectified.color)
        except RequestError as error:
            return error.message
        color = messages.color
        if not is_compressed(color):
            size = color.width, color.height
        else:  # known once one was decoded
            size = last[2].size if last is not None else (camera.width, camera.height)
        depth_comes = depth_expected or messages.problem != NO_DEPTH
        return _mismatch(camera, *size) or (messages.problem if depth_comes else "")

    def forget(self) -> None:
        """Let the last one go."""
        self._last = None
