"""Matched messages to a core Frame: decoded, checked, with the reason in words where depth cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.types import Frame, Intrinsics, intrinsics_from_k
from refseg_ros.nodes import images
from refseg_ros.nodes.sync import FrameSet


def is_compressed(message: Any) -> bool:
    """Whether a message is a CompressedImage."""
    return hasattr(message, "format")


def intrinsics_of(info: Any) -> Intrinsics:
    """The colour camera of a sensor_msgs/CameraInfo. Raises RequestError(CAMERA_INVALID)."""
    distortion = tuple(float(d) for d in info.d)
    if any(distortion) and info.distortion_model != "plumb_bob":
        raise RequestError(
            ErrorCode.CAMERA_INVALID,
            f"Distortion model {info.distortion_model!r} is not supported; rectify the images or use plumb_bob.",
        )
    return intrinsics_from_k(info.k, info.width, info.height, distortion if any(distortion) else ())


def stamp_ns(stamp: Any) -> int:
    """builtin_interfaces/Time as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def build_frame(messages: FrameSet) -> Frame:
    """Decode one moment. A bad colour image raises RequestError; bad depth or camera info becomes depth_problem."""
    color = messages.color
    rgb = images.color_from_compressed(color) if is_compressed(color) else images.color_from_message(color)
    problem, depth, camera = messages.problem, None, None
    try:
        if messages.color_info is not None:
            camera = intrinsics_of(messages.color_info)
        if messages.depth is not None:
            message = messages.depth
            decode = images.depth_from_compressed if is_compressed(message) else images.depth_from_message
            depth = decode(message)
            problem = problem or _mismatch(messages, camera, rgb.shape[1], rgb.shape[0], depth.shape)
    except RequestError as error:  # masks need no depth: the objects say why they have none
        problem = problem or error.message
    if problem:
        depth = None
    header = color.header
    return Frame(rgb, depth, camera, header.frame_id or "camera", stamp_ns(header.stamp), problem)


def _mismatch(
    messages: FrameSet, camera: Intrinsics | None, width: int, height: int, depth_shape: tuple[int, ...]
) -> str:
    """Why colour and depth do not belong together, or ""."""
    if camera is None:
        return "no camera info has arrived"
    if (camera.width, camera.height) != (width, height):
        return f"the camera info is for {camera.width} x {camera.height}, the image is {width} x {height}"
    if depth_shape != (height, width):
        return f"depth is {depth_shape[1]} x {depth_shape[0]}, colour {width} x {height}; use the aligned depth topic"
    assert messages.depth is not None
    frames = messages.color.header.frame_id, messages.depth.header.frame_id
    if frames[0] and frames[1] and frames[0] != frames[1]:
        return f"depth is in frame {frames[1]!r}, colour in {frames[0]!r}; use the aligned depth topic"
    if messages.depth_info is not None:
        k = np.asarray(messages.depth_info.k, np.float64).reshape(3, 3)
        if k.any() and not np.allclose(k, camera.k, atol=1.0):
            return "depth and colour have different K; use the aligned depth topic"
    return ""
