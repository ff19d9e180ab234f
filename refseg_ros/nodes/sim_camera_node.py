"""A simulated RGB-D camera: colour, aligned depth, camera infos and TF, and the truth on a topic of its own."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import sys
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation
from std_msgs.msg import String

from refseg_ros.nodes.running import run_until_told
from refseg_ros.nodes.sim_camera_topics import FRAME, WORLD, CameraTopics
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions import expressions
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.stored import as_dict, encode_png


class SimCameraNode(Node):
    """Publishes one scene at a rate; the parameter scene_seed shows another. Each frame has sensor noise of its own."""

    def __init__(self) -> None:
        super().__init__("sim_camera")
        size = ParameterDescriptor(
            description="Image size, pixels.", read_only=True,
            integer_range=[IntegerRange(from_value=64, to_value=1920, step=1)],
        )  # fmt: skip
        width: Any = self.declare_parameter("width", 640, size).value
        height: Any = self.declare_parameter("height", 480, size).value
        rate: Any = self.declare_parameter(
            "rate_hz", 5.0,
            ParameterDescriptor(
                description="Frames a second.", read_only=True,
                floating_point_range=[FloatingPointRange(from_value=0.1, to_value=60.0, step=0.0)],
            ),
        ).value  # fmt: skip
        most = IntegerRange(from_value=0, to_value=2**31 - 1, step=1)
        self.declare_parameter(
            "scene_seed", 7, ParameterDescriptor(description="Which scene is in view.", integer_range=[most])
        )
        objects = IntegerRange(from_value=1, to_value=20, step=1)
        self.declare_parameter(
            "scene_objects", 10, ParameterDescriptor(description="Objects at the most.", integer_range=[objects])
        )
        self._engine = SceneEngine(width=width, height=height)
        self._scene: Scene | None = None
        self._shown: tuple[int, int] | None = None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._truth = self.create_publisher(String, "~/truth", latched)
        self._camera = CameraTopics(self)
        self._tf = None
        if importlib.util.find_spec("tf2_msgs") is None:
            self.get_logger().info("tf2_msgs is not installed: /tf_static is not published")
        else:
            self._tf_type = importlib.import_module("tf2_msgs.msg").TFMessage
            self._tf = self.create_publisher(self._tf_type, "/tf_static", latched)
        self.create_timer(1.0 / rate, self._publish)

    def _show(self) -> Scene:
        """The scene that the parameters ask for; rendered, and its truth announced, when they have changed."""
        seed = self.get_parameter("scene_seed").value
        most = self.get_parameter("scene_objects").value
        wanted = (seed, most)
        if self._scene is None or self._shown != wanted:
            # With exact visibility: nothing is asked for of which only a sliver shows.
            self._scene = self._engine.scene(seed, count=(max(1, most - 2), most), visibility=True)
            self._shown = wanted
            self._truth.publish(String(data=truth_json(self._scene)))
            if self._tf is not None:
                self._tf.publish(self._tf_type(transforms=[self._transform(self._scene)]))
            self.get_logger().info(f"scene {seed}: {len(self._scene.objects)} objects")
        return self._scene

    def _transform(self, scene: Scene) -> TransformStamped:
        out = TransformStamped(child_frame_id=FRAME)
        out.header.frame_id = WORLD
        out.header.stamp = self.get_clock().now().to_msg()
        pose: Any = out.transform
        x, y, z, w = Rotation.from_matrix(scene.t_world_camera[:3, :3]).as_quat()
        pose.rotation.x, pose.rotation.y, pose.rotation.z, pose.rotation.w = float(x), float(y), float(z), float(w)
        t = scene.t_world_camera[:3, 3]
        pose.translation.x, pose.translation.y, pose.translation.z = map(float, t)
        return out

    def _publish(self) -> None:
        self._camera.publish(self._show())

    def close(self) -> None:
        """Free the renderer."""
        self._engine.close()


def truth_json(scene: Scene) -> str:
    """What is true of a scene, for the scorer: objects, instance image (0 background, else id + 1), expressions."""
    return json.dumps(
        {
            "scene_seed": scene.seed,
            "objects": [
                {"id": o.id, "noun": o.noun, "category": o.category, "colours": o.colours, "centroid_m": o.centroid_m}
                for o in scene.objects
            ],
            "instance_png": base64.b64encode(encode_png((scene.instance_ids + 1).astype(np.uint8)).tobytes()).decode(),
            "expressions": [as_dict(e) for e in expressions(scene)],
        }
    )


def main(args: list[str] | None = None) -> int:
    """Run the camera until it is told to stop."""
    return run_until_told(SimCameraNode, "sim_camera", args)


if __name__ == "__main__":
    sys.exit(main())
