"""The topics of a simulated RGB-D camera: colour, aligned depth and both camera infos, with a sensor's noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from refseg_ros.nodes.images import fill_image
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.sensor import SensorModel

FRAME, WORLD = "camera_color_optical_frame", "world"


class CameraTopics:
    """image_raw, depth/image_raw, camera_info and depth/camera_info of a node. Each image has noise of its own."""

    def __init__(self, node: Node) -> None:
        self._clock, self._sensor, self._images = node.get_clock(), SensorModel(), 0
        self._color = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        self._depth = node.create_publisher(Image, "depth/image_raw", qos_profile_sensor_data)
        self._infos = [
            node.create_publisher(CameraInfo, name, qos_profile_sensor_data)
            for name in ("camera_info", "depth/camera_info")
        ]

    def publish(self, scene: Scene) -> None:
        """One image of a scene."""
        self._images += 1
        rng = np.random.default_rng((scene.seed, self._images))
        pixels = self._sensor.color(scene.rgb, rng)
        millimetres = np.round(self._sensor.depth(scene.depth, rng) * 1000).astype(np.uint16)
        color = Image()
        color.header.frame_id = FRAME
        # After the noise is made: its cost is this process's own, not a delay that a real sensor has.
        color.header.stamp = self._clock.now().to_msg()
        depth = Image(header=color.header)
        fill_image(color, pixels, "rgb8")
        fill_image(depth, millimetres, "16UC1")
        for publisher in self._infos:
            publisher.publish(camera_info(scene, color.header))
        self._color.publish(color)
        self._depth.publish(depth)


def camera_info(scene: Scene, header: Any) -> CameraInfo:
    """The pinhole of a scene, without distortion."""
    height, width = scene.depth.shape
    info = CameraInfo(header=header, width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = scene.k.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack([scene.k, np.zeros((3, 1))]).ravel().tolist()
    return info
