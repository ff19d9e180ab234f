"""cv_bridge and sensor_msgs_py stand-ins: sound ones are used, broken ones are not, and the bytes are the same."""

from __future__ import annotations

import sys
from array import array
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs the ROS 2 messages (make setup)")

from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from refseg_ros.nodes import clouds, distribution, images

CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
RNG = np.random.default_rng(0)


class SoundBridge:
    """Reads what cv_bridge reads, in the same way."""

    used = 0

    def imgmsg_to_cv2(self, message, desired_encoding):
        SoundBridge.used += 1
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        if desired_encoding == "passthrough":
            kind = {"16UC1": np.uint16, "32FC1": np.float32}[message.encoding]
            return rows[:, : message.width * np.dtype(kind).itemsize].copy().view(kind)
        count = CHANNELS[message.encoding]
        pixels = rows[:, : message.width * count].reshape(message.height, message.width, count)
        if count == 1:
            return np.repeat(pixels, 3, 2)
        return pixels[..., 2::-1] if message.encoding.startswith("bgr") else pixels[..., :3]


class ForgetsPadding(SoundBridge):
    def imgmsg_to_cv2(self, message, desired_encoding):
        whole = np.frombuffer(message.data, np.uint8)[: message.height * message.width * 3]
        return whole.reshape(message.height, message.width, 3)


class EightBitDepth(SoundBridge):
    def imgmsg_to_cv2(self, message, desired_encoding):
        found = super().imgmsg_to_cv2(message, desired_encoding)
        return found.astype(np.uint8) if desired_encoding == "passthrough" else found


class Breaks:
    def __init__(self):
        raise AttributeError("_ARRAY_API not found")


@pytest.fixture(autouse=True)
def fresh():
    for cached in (distribution.cv_bridge, distribution.create_cloud):
        cached.cache_clear()
    yield
    for cached in (distribution.cv_bridge, distribution.create_cloud):
        cached.cache_clear()


def install(monkeypatch, bridge):
    module = ModuleType("cv_bridge")
    module.CvBridge = bridge
    monkeypatch.setitem(sys.modules, "cv_bridge", module)


def padded(pixels, encoding):
    row = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.hstack([row, np.zeros((len(row), 5), np.uint8)])
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
    message.data = array("B", rows.tobytes())
    return message


@pytest.mark.parametrize("bridge", [ForgetsPadding, EightBitDepth, Breaks])
def test_a_broken_cv_bridge_is_left_alone(monkeypatch, bridge):
    install(monkeypatch, bridge)
    assert distribution.cv_bridge() is None


def test_no_cv_bridge_is_no_cv_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    assert distribution.cv_bridge() is None


@pytest.mark.parametrize("encoding", CHANNELS)
def test_with_and_without_a_sound_cv_bridge_colour_is_the_same(monkeypatch, encoding):
    message = padded(RNG.integers(0, 255, (6, 7, CHANNELS[encoding]), np.uint8), encoding)
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    without = images.color_from_message(message)
    distribution.cv_bridge.cache_clear()
    install(monkeypatch, SoundBridge)
    before = SoundBridge.used
    np.testing.assert_array_equal(images.color_from_message(message), without)
    assert SoundBridge.used > before + 2  # beyond its check


@pytest.mark.parametrize(("encoding", "kind"), [("16UC1", np.uint16), ("32FC1", np.float32)])
def test_with_and_without_a_sound_cv_bridge_depth_is_the_same(monkeypatch, encoding, kind):
    message = padded((RNG.random((6, 7)) * 5000).astype(kind), encoding)
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    without = images.depth_from_message(message)
    distribution.cv_bridge.cache_clear()
    install(monkeypatch, SoundBridge)
    np.testing.assert_array_equal(images.depth_from_message(message), without)


def sound_create(header, fields, points):
    flat = points.reshape(-1)
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    out = PointCloud2(header=header, fields=fields, height=height, width=width, point_step=points.dtype.itemsize)
    out.row_step = out.point_step * width
    out.data = array("B", flat.tobytes())
    return out


def forgetful_create(header, fields, points):
    return sound_create(header, fields, np.nan_to_num(points["x"]).astype(np.float32))


def install_clouds(monkeypatch, create):
    package, module = ModuleType("sensor_msgs_py"), ModuleType("sensor_msgs_py.point_cloud2")
    module.create_cloud, package.point_cloud2 = create, module
    monkeypatch.setitem(sys.modules, "sensor_msgs_py", package)
    monkeypatch.setitem(sys.modules, "sensor_msgs_py.point_cloud2", module)


def test_a_create_cloud_that_loses_bytes_is_left_alone(monkeypatch):
    install_clouds(monkeypatch, forgetful_create)
    assert distribution.create_cloud() is None


@pytest.mark.parametrize("height", [1, 3])
def test_with_and_without_a_sound_create_cloud_clouds_are_the_same(monkeypatch, height):
    records = np.zeros(12, clouds.XYZ_RGB_INSTANCE)
    for name in records.dtype.names:
        records[name] = RNG.integers(0, 2**24, 12)
    records["x"][3] = np.nan
    monkeypatch.setitem(sys.modules, "sensor_msgs_py", None)
    without = clouds.cloud(Header(frame_id="c"), records, height, dense=False)
    distribution.create_cloud.cache_clear()
    install_clouds(monkeypatch, sound_create)
    assert distribution.create_cloud() is not None
    assert clouds.cloud(Header(frame_id="c"), records, height, dense=False) == without
