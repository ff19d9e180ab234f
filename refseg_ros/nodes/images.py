"""sensor_msgs images to arrays and back. Every encoding is named here; any other is refused by name.

cv_bridge does the reading where it is there and sound; elsewhere our own conversions, equal to the bit.
"""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.nodes import distribution

COLOR_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
}
YUV_TO_RGB = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}
# What compressedDepth puts before its PNG: a form, always the same; a and b of value = a / depth + b, 0 for none.
QUANTIZED_HEADER = np.dtype([("form", "<i4"), ("ab", "<f4", 2)])
DEPTH_TYPES: dict[str, np.dtype[Any]] = {"16UC1": np.dtype("u2"), "32FC1": np.dtype("f4")}


def _invalid(message: str) -> RequestError:
    return RequestError(ErrorCode.IMAGE_INVALID, message)


def _rows(message: Any, bytes_per_pixel: int) -> npt.NDArray[np.uint8]:
    """The pixel bytes without row padding: uint8 (H, W * bytes_per_pixel); a view where it can be."""
    width, height, step = int(message.width), int(message.height), int(message.step)
    row = width * bytes_per_pixel
    if width == 0 or height == 0:
        raise _invalid(f"The {message.encoding} image has size {width} x {height}; check the camera.")
    if step < row:
        raise _invalid(
            f"The image's step is {step}, but a row of {width} {message.encoding} pixels has {row} bytes; "
            "fix the driver."
        )
    data = np.frombuffer(message.data, np.uint8)
    if len(data) < step * height:
        raise _invalid(
            f"The image's data has {len(data)} bytes, but {height} rows of {step} need {step * height}; "
            "it is truncated."
        )
    return data[: step * height].reshape(height, step)[:, :row]


def color_from_message(message: Any) -> npt.NDArray[np.uint8]:
    """A sensor_msgs/Image as RGB uint8 (H, W, 3). Raises RequestError(IMAGE_ENCODING or IMAGE_INVALID)."""
    encoding, height, width = message.encoding, int(message.height), int(message.width)
    if encoding in YUV_TO_RGB:
        if width % 2:
            raise _invalid(f"A {encoding} image must have an even width, not {width}.")
        pairs = np.ascontiguousarray(_rows(message, 2)).reshape(height, width, 2)
        return np.asarray(cv2.cvtColor(pairs, YUV_TO_RGB[encoding]), np.uint8)
    if encoding not in COLOR_CHANNELS:
        known = ", ".join([*COLOR_CHANNELS, *YUV_TO_RGB])
        raise RequestError(
            ErrorCode.IMAGE_ENCODING, f"Colour encoding {encoding!r} is not supported; publish one of {known}."
        )
    channels = COLOR_CHANNELS[encoding]
    rows = _rows(message, channels)
    if (bridge := distribution.cv_bridge()) is not None:
        return np.ascontiguousarray(bridge.imgmsg_to_cv2(message, "rgb8"), np.uint8)
    pixels = np.ascontiguousarray(rows).reshape(height, width, channels)
    return pixels if encoding == "rgb8" else np.asarray(cv2.cvtColor(pixels, TO_RGB[encoding]), np.uint8)


def depth_from_message(message: Any) -> npt.NDArray[np.float32]:
    """A depth image as float32 (H, W) metres (REP-118: 16UC1 is millimetres, 0 = none; 32FC1 is metres).

    Raises RequestError(IMAGE_ENCODING or IMAGE_INVALID).
    """
    kind = DEPTH_TYPES.get(message.encoding)
    if kind is None:
        known = ", ".join(DEPTH_TYPES)
        raise RequestError(
            ErrorCode.IMAGE_ENCODING, f"Depth encoding {message.encoding!r} is not supported; publish one of {known}."
        )
    rows = _rows(message, kind.itemsize)
    if not message.is_bigendian and (bridge := distribution.cv_bridge()) is not None:
        return _metres(np.asarray(bridge.imgmsg_to_cv2(message, "passthrough")))
    return _metres(np.ascontiguousarray(rows).view(kind.newbyteorder(">" if message.is_bigendian else "<")))


def _metres(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if values.dtype.kind == "u":
        return values.astype(np.float32) * np.float32(0.001)
    return values.astype(np.float32)


def _decoded(data: npt.NDArray[np.uint8], form: str, flags: int) -> npt.NDArray[Any]:
    try:
        # A camera's pixels are where its K says, whatever an EXIF tag wants done for looking at them.
        image = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    except cv2.error:  # a header that promises more pixels than OpenCV will take
        image = None
    if image is None:
        raise RequestError(
            ErrorCode.IMAGE_UNREADABLE,
            f"The compressed image ({form!r}, {len(data)} bytes) is neither a whole JPEG nor a whole PNG.",
        )
    return image


def color_from_compressed(message: Any) -> npt.NDArray[np.uint8]:
    """A JPEG or PNG sensor_msgs/CompressedImage as RGB uint8 (H, W, 3). Raises RequestError(IMAGE_UNREADABLE)."""
    image = _decoded(np.frombuffer(message.data, np.uint8), message.format, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def depth_from_compressed(message: Any) -> npt.NDArray[np.float32]:
    """Compressed depth as float32 (H, W) metres, 0 = none: a 16-bit PNG of millimetres, or what image_transport's
    compressedDepth makes of 16UC1 or 32FC1. Raises RequestError(IMAGE_UNREADABLE, IMAGE_ENCODING)."""
    data = np.frombuffer(message.data, np.uint8)
    encoding, _, how = message.format.partition(";")
    inverse: npt.NDArray[np.float32] | None = None
    if how.split()[:1] == ["compressedDepth"]:
        if how.split()[1:] not in ([], ["png"]):
            raise RequestError(
                ErrorCode.IMAGE_ENCODING, f"Compressed depth {message.format!r} is not supported; publish it as PNG."
            )
        header, data = data[: QUANTIZED_HEADER.itemsize], data[QUANTIZED_HEADER.itemsize :]
        if encoding.strip() == "32FC1" and len(data):
            inverse = header.view(QUANTIZED_HEADER)["ab"][0]
    image = _decoded(data, message.format, cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise RequestError(
            ErrorCode.IMAGE_ENCODING, f"Compressed depth must be a 16-bit PNG of one channel, not {image.dtype}."
        )
    if inverse is None:
        return _metres(image)
    a, b = inverse
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(image > 0, a / (image.astype(np.float32) - b), np.float32(0))


def fill_image(message: Any, pixels: npt.NDArray[Any], encoding: str) -> Any:
    """Put (H, W[, C]) pixels into a sensor_msgs/Image and return it.

    The data goes in as an array.array: assigning bytes or an ndarray costs a hundred times more.
    """
    contiguous = np.ascontiguousarray(pixels)
    message.height, message.width = contiguous.shape[:2]
    message.encoding, message.is_bigendian = encoding, 0
    message.step = contiguous.strides[0]
    message.data = byte_array(contiguous)
    return message


def byte_array(values: npt.NDArray[Any]) -> array[int]:
    """The bytes of an array in the form that rclpy takes without copying each element."""
    data = array("B")
    contiguous = np.ascontiguousarray(values)
    if contiguous.size:  # memoryview cannot cast an empty array
        data.frombytes(memoryview(contiguous).cast("B"))  # type: ignore[arg-type]
    return data
