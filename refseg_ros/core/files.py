"""Image, depth and camera files to a Frame. Every problem is a RequestError that names the file and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.core.types import Frame, Intrinsics, intrinsics_from_k


def read_frame(image: Path, depth: Path | None = None, camera: Path | Mapping[str, Any] | None = None) -> Frame:
    """A Frame from files. camera: a JSON file or its content.

    Raises RequestError: IMAGE_UNREADABLE, IMAGE_ENCODING, IMAGE_INVALID (sizes differ) or CAMERA_INVALID.
    """
    rgb = read_rgb(image)
    height, width = rgb.shape[:2]
    depth_m = None if depth is None else read_depth(depth)
    if depth_m is not None and depth_m.shape != (height, width):
        raise RequestError(
            ErrorCode.IMAGE_INVALID,
            f"The depth image is {depth_m.shape[1]} x {depth_m.shape[0]} and the image {width} x {height}; "
            "align depth to colour.",
        )
    intrinsics = None if camera is None else read_camera(camera)
    if intrinsics is not None and (intrinsics.width, intrinsics.height) != (width, height):
        raise RequestError(
            ErrorCode.CAMERA_INVALID,
            f"The camera file is for {intrinsics.width} x {intrinsics.height} and the image is {width} x {height}; "
            "give the camera of this image.",
        )
    return Frame(rgb, depth_m, intrinsics, depth_problem="" if depth_m is not None else "no depth image was given")


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3), RGB. Raises RequestError(IMAGE_UNREADABLE)."""
    pixels = _decode(path, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8, copy=False)


def read_depth(path: Path) -> npt.NDArray[np.float32]:
    """float32 (H, W), metres, from a 16-bit PNG in millimetres or a float .npy in metres. Raises RequestError."""
    if path.suffix.lower() != ".npy":
        pixels = _decode(path, cv2.IMREAD_UNCHANGED)
        if pixels.dtype != np.uint16 or pixels.ndim != 2:
            raise RequestError(
                ErrorCode.IMAGE_ENCODING,
                f"The depth file {path.name} is {pixels.dtype} with {pixels.ndim} dimensions; "
                "give a 16-bit one-channel PNG in millimetres or a float32 .npy in metres.",
            )
        return pixels.astype(np.float32) * np.float32(0.001)
    try:
        metres = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, "is not a readable .npy file") from error
    if not isinstance(metres, np.ndarray) or metres.ndim != 2 or metres.dtype.kind != "f":
        found = f"{metres.dtype} {metres.shape}" if isinstance(metres, np.ndarray) else "an archive"
        raise RequestError(
            ErrorCode.IMAGE_ENCODING,
            f"The depth file {path.name} holds {found}; give float32 (height, width) in metres.",
        )
    with np.errstate(over="ignore"):
        return metres.astype(np.float32)


def read_camera(camera: Path | Mapping[str, Any]) -> Intrinsics:
    """Intrinsics from {"width", "height", "k": 9 numbers} and an optional "distortion". Raises RequestError."""
    name, content = "given", camera
    if isinstance(camera, Path):
        name = camera.name
        try:
            content = json.loads(camera.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise _camera(name, "cannot be read as JSON") from error
    if not isinstance(content, Mapping):
        raise _camera(name, "is not a JSON object")
    missing = [key for key in ("width", "height", "k") if key not in content]
    if missing:
        raise _camera(name, f"lacks {', '.join(missing)}")
    try:
        distortion = tuple(float(d) for d in content.get("distortion") or ())
        return intrinsics_from_k(
            np.asarray(content["k"], np.float64), int(content["width"]), int(content["height"]), distortion
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise _camera(name, "holds something that is not a number") from error


def _decode(path: Path, flags: int) -> npt.NDArray[Any]:
    """An image file's pixels. Raises RequestError(IMAGE_UNREADABLE)."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except (OSError, ValueError) as error:
        raise _unreadable(path, "cannot be opened") from error
    try:
        pixels = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        raise _unreadable(path, "is not an image this program can read") from error
    if pixels is None:
        raise _unreadable(path, "is empty or not an image this program can read")
    return pixels


def _unreadable(path: Path, what: str) -> RequestError:
    return RequestError(ErrorCode.IMAGE_UNREADABLE, f"The file {path} {what}; check the path and the file.")


def _camera(name: str, what: str) -> RequestError:
    return RequestError(
        ErrorCode.CAMERA_INVALID, f'The camera file {name} {what}; it needs "width", "height" and "k" (9 numbers).'
    )
