"""Every input encoding, and every way an image message can be wrong."""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.nodes import images

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)


def message(pixels, encoding, padding=0, bigendian=False, **changes):
    """An object with sensor_msgs/Image's fields."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    fields = {
        "height": pixels.shape[0], "width": pixels.shape[1], "encoding": encoding,
        "step": rows.shape[1], "is_bigendian": int(bigendian), "data": rows.tobytes(),
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


COLOUR = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "rgba8": np.dstack([RGB, np.full(RGB.shape[:2], 9, np.uint8)]),
    "bgra8": np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 9, np.uint8)]),
}


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", COLOUR)
def test_colour_encodings_give_the_same_rgb(encoding, padding):
    np.testing.assert_array_equal(images.color_from_message(message(COLOUR[encoding], encoding, padding)), RGB)


@pytest.mark.parametrize("padding", [0, 3])
def test_mono8_is_grey(padding):
    grey = images.color_from_message(message(RGB[..., 0], "mono8", padding))
    np.testing.assert_array_equal(grey, np.repeat(RGB[..., :1], 3, 2))


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv")])
def test_yuv422_of_known_colours(encoding, order, padding):
    # BT.601 limited range: white is 235/128/128, black 16/128/128, red about 81/90/240.
    samples = {"white": (235, 128, 128), "black": (16, 128, 128), "red": (81, 90, 240)}
    expected = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (254, 0, 0)}
    for name, (y, u, v) in samples.items():
        pair = {"uyvy": [u, y, v, y], "yuyv": [y, u, y, v]}[order]
        pixels = np.tile(np.array(pair, np.uint8), (2, 2)).reshape(2, 4, 2)
        rgb = images.color_from_message(message(pixels, encoding, padding))
        assert rgb.shape == (2, 4, 3)
        assert np.abs(rgb.astype(int) - expected[name]).max() <= 2


@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
def test_16uc1_is_millimetres(bigendian, padding):
    millimetres = np.array([[0, 1, 1000], [65535, 500, 2]], ">u2" if bigendian else "<u2")
    metres = images.depth_from_message(message(millimetres, "16UC1", padding, bigendian))
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, [[0, 0.001, 1], [65.535, 0.5, 0.002]], rtol=1e-6)


@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 8])
def test_32fc1_is_metres_and_keeps_nan(bigendian, padding):
    values = np.array([[0, 1.5, np.nan], [np.inf, -1, 3]], ">f4" if bigendian else "<f4")
    metres = images.depth_from_message(message(values, "32FC1", padding, bigendian))
    np.testing.assert_array_equal(metres, values.astype(np.float32))


@pytest.mark.parametrize("encoding", ["mono16", "8UC1", "16SC1", "64FC1", "rgb8", "", "32fc1"])
def test_other_depth_encodings_are_refused_by_name(encoding):
    with pytest.raises(RequestError, match=repr(encoding)) as caught:
        images.depth_from_message(message(np.ones((2, 2), np.uint16), encoding))
    assert caught.value.code is ErrorCode.IMAGE_ENCODING


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "16UC1", "rgb16", "nv21", "", "RGB8"])
def test_other_colour_encodings_are_refused_by_name(encoding):
    with pytest.raises(RequestError, match=repr(encoding)) as caught:
        images.color_from_message(message(RGB, encoding))
    assert caught.value.code is ErrorCode.IMAGE_ENCODING


@pytest.mark.parametrize(
    "changes", [{"step": 23}, {"data": b""}, {"data": RGB.tobytes()[:-1]}, {"width": 0}, {"height": 0}, {"step": 0}]
)
def test_broken_messages_say_what_is_wrong(changes):
    with pytest.raises(RequestError) as caught:
        images.color_from_message(message(RGB, "rgb8", **changes))
    assert caught.value.code is ErrorCode.IMAGE_INVALID


def test_odd_width_yuv_is_refused():
    with pytest.raises(RequestError, match="even width"):
        images.color_from_message(message(np.zeros((2, 3, 2), np.uint8), "yuv422"))


def compressed(image, extension):
    return SimpleNamespace(format=extension[1:], data=cv2.imencode(extension, image)[1].tobytes())


def test_png_is_exact_and_jpeg_is_close():
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(images.color_from_compressed(compressed(smooth[..., ::-1], ".png")), smooth)
    jpeg = images.color_from_compressed(compressed(smooth[..., ::-1], ".jpg"))
    assert np.abs(jpeg.astype(int) - smooth).mean() < 8


def test_a_jpeg_that_says_it_is_turned_stays_where_the_camera_info_has_it():
    wide = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: a quarter
    tag = b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned
    data = wide[:2] + tag + wide[2:]
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (64, 48, 3), "the tag is not one"
    assert images.color_from_compressed(SimpleNamespace(format="jpeg", data=data)).shape == (48, 64, 3)


def test_compressed_depth():
    millimetres = RNG.integers(0, 5000, (5, 4), dtype=np.uint16)
    metres = images.depth_from_compressed(compressed(millimetres, ".png"))
    np.testing.assert_allclose(metres, millimetres / 1000, rtol=1e-6)
    with pytest.raises(RequestError, match="16-bit PNG"):
        images.depth_from_compressed(compressed(RGB, ".png"))


def compressed_depth(values, form, a=0.0, b=0.0):
    """As image_transport's compressedDepth sends it: twelve bytes of header, then a 16-bit PNG."""
    png = cv2.imencode(".png", np.asarray(values, np.uint16))[1].tobytes()
    return SimpleNamespace(format=form, data=struct.pack("<iff", 0, a, b) + png)


@pytest.mark.parametrize("form", ["16UC1; compressedDepth png", "16UC1; compressedDepth"])
def test_compressed_depth_of_millimetres(form):
    millimetres = RNG.integers(0, 5000, (5, 4))
    metres = images.depth_from_compressed(compressed_depth(millimetres, form))
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, millimetres / 1000, rtol=1e-6)


@pytest.mark.parametrize("form", ["32FC1; compressedDepth png", "32FC1; compressedDepth"])
def test_compressed_depth_of_metres_is_inverse_and_quantised(form):
    """With the package's defaults: 100 steps, 10 m at most."""
    a = 100.0 * 101.0
    b = 1.0 - a / 10.0
    metres = np.array([[0.3, 0.8, 2.0], [9.9, 0.0, 5.0]])
    with np.errstate(divide="ignore"):
        codes = np.where(metres > 0, np.round(a / metres + b), 0)
    found = images.depth_from_compressed(compressed_depth(codes, form, a, b))
    assert found.dtype == np.float32 and found[1, 1] == 0
    np.testing.assert_allclose(found, metres, rtol=0.006)


@pytest.mark.parametrize(
    ("form", "size", "code", "said"),
    [
        ("16UC1; compressedDepth rvl", 40, "IMAGE_ENCODING", "rvl.*publish it as PNG"),
        ("32FC1; compressedDepth png", 5, "IMAGE_UNREADABLE", "compressedDepth"),
        ("32FC1; compressedDepth png", 12, "IMAGE_UNREADABLE", "compressedDepth"),
        ("32FC1; compressedDepth png", 40, "IMAGE_UNREADABLE", "compressedDepth"),
        ("", 0, "IMAGE_UNREADABLE", "neither"),
    ],
)
def test_compressed_depth_that_cannot_be_read_says_so(form, size, code, said):
    with pytest.raises(RequestError, match=said) as caught:
        images.depth_from_compressed(SimpleNamespace(format=form, data=bytes(size)))
    assert caught.value.code.value == code


def vast_png():
    """A few bytes that promise ten thousand million pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out


@pytest.mark.parametrize("data", [b"", b"not an image", cv2.imencode(".png", RGB)[1].tobytes()[:20], vast_png()])
def test_unreadable_compressed_images(data):
    with pytest.raises(RequestError) as caught:
        images.color_from_compressed(SimpleNamespace(format="png", data=data))
    assert caught.value.code is ErrorCode.IMAGE_UNREADABLE


@pytest.mark.parametrize(("pixels", "encoding"), [(RGB, "rgb8"), (RGB[..., 0], "mono8")])
def test_writing_and_reading_agree(pixels, encoding):
    out = images.fill_image(SimpleNamespace(), pixels[:, ::-1], encoding)
    back = images.color_from_message(out)
    np.testing.assert_array_equal(back if encoding == "rgb8" else back[..., 0], pixels[:, ::-1])


def test_cv_bridge_agrees_where_it_imports():
    cv_bridge = pytest.importorskip("cv_bridge", reason="cv_bridge comes from a ROS distribution", exc_type=ImportError)
    Image = pytest.importorskip("sensor_msgs.msg").Image
    for encoding, pixels in COLOUR.items():
        out = images.fill_image(Image(), pixels, encoding)
        expected = cv_bridge.CvBridge().imgmsg_to_cv2(out, "rgb8")
        np.testing.assert_array_equal(images.color_from_message(out), expected)
