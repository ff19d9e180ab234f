"""The simulated camera as a process: what a client of a real RGB-D camera would check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
pytest.importorskip("mujoco")

import rclpy
from helpers.robot import ENVIRONMENT, parameter
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from refseg_ros.demo.truth import read_truth
from refseg_ros.nodes.dds import use_large_message_profile
from refseg_ros.nodes.images import color_from_message, depth_from_message

SIZE = {"width": 320, "height": 240, "rate_hz": 5.0, "scene_seed": 11, "scene_objects": 5}


class Watcher:
    """Hears everything the camera says."""

    def __init__(self):
        self.node = rclpy.create_node("watcher")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.seen = {}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, qos in (
            (Image, "image_raw", qos_profile_sensor_data), (Image, "depth/image_raw", qos_profile_sensor_data),
            (CameraInfo, "camera_info", qos_profile_sensor_data), (String, "sim_camera/truth", latched),
        ):  # fmt: skip
            self.seen[topic] = []
            self.node.create_subscription(kind, topic, self.seen[topic].append, qos)
        self.set = self.node.create_client(SetParameters, "sim_camera/set_parameters")

    def until(self, condition, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        return condition()

    def change(self, name, value):
        future = self.set.call_async(SetParameters.Request(parameters=[parameter(name, value)]))
        assert self.until(future.done)
        return future.result().results[0]

    def moment(self):
        """Colour, depth and info of one stamp."""
        colors, depths, infos = (self.seen[t] for t in ("image_raw", "depth/image_raw", "camera_info"))

        def together():
            stamps = {(d.header.stamp.sec, d.header.stamp.nanosec): d for d in depths}
            known = {(i.header.stamp.sec, i.header.stamp.nanosec): i for i in infos}
            for color in reversed(colors):
                key = color.header.stamp.sec, color.header.stamp.nanosec
                if key in stamps and key in known:
                    return color, stamps[key], known[key]
            return None

        assert self.until(together)
        return together()

    def truth(self):
        assert self.until(lambda: self.seen["sim_camera/truth"])
        return read_truth(self.seen["sim_camera/truth"][-1].data)


@pytest.fixture(scope="module")
def watcher():
    os.environ.update(ENVIRONMENT)
    use_large_message_profile()
    arguments = [x for name, value in SIZE.items() for x in ("-p", f"{name}:={value}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "refseg_ros.nodes.sim_camera_node", "--ros-args", *arguments],
        env=os.environ | ENVIRONMENT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    rclpy.init()
    yield Watcher()
    rclpy.shutdown()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0, "the camera did not come down cleanly"


def test_colour_depth_and_info_come_on_one_stamp_and_agree_with_the_truth(watcher):
    color, depth, info = watcher.moment()
    rgb, metres = color_from_message(color), depth_from_message(depth)
    assert rgb.shape == (240, 320, 3) and metres.shape == (240, 320)
    assert (info.width, info.height) == (320, 240) and color.header.frame_id == info.header.frame_id
    truth = watcher.truth()
    assert truth.instance_ids.shape == (240, 320) and truth.names
    k = np.array(info.k).reshape(3, 3)
    assert (k[0, 2], k[1, 2]) == (159.5, 119.5)  # pixel (0, 0) is the first one's centre: test_pixels.py
    for number, centroid in truth.centroids_m.items():
        u, v, w = k @ np.array(centroid)
        rows, cols = np.nonzero(truth.instance_ids == number)
        if len(rows) < 200:
            continue
        assert cols.min() - 2 <= u / w <= cols.max() + 2 and rows.min() - 2 <= v / w <= rows.max() + 2
        seen = metres[rows, cols]
        assert abs(np.median(seen[seen > 0]) - centroid[2]) < 0.05


def test_depth_has_the_holes_of_a_real_sensor_and_colour_its_noise(watcher):
    first = watcher.moment()
    watcher.seen["image_raw"].clear()
    second = watcher.moment()
    assert not np.array_equal(color_from_message(first[0]), color_from_message(second[0]))
    holes = (depth_from_message(first[1]) == 0).mean()
    assert 0 < holes < 0.5


def test_a_scene_can_be_asked_for_and_is_the_same_again(watcher):
    before = watcher.truth()
    for seed in (12, 11):
        watcher.seen["sim_camera/truth"].clear()
        assert watcher.change("scene_seed", seed).successful
        assert watcher.until(lambda: watcher.seen["sim_camera/truth"])
    after = watcher.truth()
    assert after.seed == before.seed == 11 and np.array_equal(after.instance_ids, before.instance_ids)


@pytest.mark.parametrize(("name", "value"), [("scene_seed", -1), ("scene_objects", 99), ("width", 640)])
def test_what_cannot_be_is_refused_with_a_reason(watcher, name, value):
    result = watcher.change(name, value)
    assert not result.successful and result.reason
