"""The robot cell as ROS sees it: camera topics, the camera's place, a gripper that takes commands; and, for the scorer
alone, the truth.

Publishes image_raw, camera_info, depth/image_raw, depth/camera_info while the gripper is parked; camera_pose (latched:
a cell knows where its camera is); gripper/state. Subscribes gripper/command. Both are sensor_msgs/JointState with the
names x, y, z (of the tips, metres, in the cell's frame), yaw (radians), opening (metres); in the state also arrived (0
or 1) and commands (how many were taken).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from refseg_ros.nodes.running import run_until_told
from refseg_ros.nodes.sim_camera_node import truth_json
from refseg_ros.nodes.sim_camera_topics import WORLD, CameraTopics
from refseg_ros.pick.cell import Cell

OBJECTS = (4, 6)
TICK_S, TIME_A_TICK_S = 0.02, 0.08  # the simulation runs up to four times as fast as the clock
IMAGE_PERIOD_S = 0.25
PICTURES = 8  # a scene at the most


class CellNode(Node):
    """The parameter scene_seed shows another scene; pictures: folder for a picture whenever the gripper arrives."""

    def __init__(self) -> None:
        super().__init__("cell")
        any_seed = IntegerRange(from_value=0, to_value=2**31 - 1, step=1)
        self.declare_parameter("scene_seed", 0, ParameterDescriptor(description="Scene.", integer_range=[any_seed]))
        self.declare_parameter("pictures", "", ParameterDescriptor(description="Folder for pictures; empty: none."))
        self._cell = Cell()
        self._seed: int | None = None
        self._parked, self._arrived = True, True
        self._pictures = self._commands = 0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._truth = self.create_publisher(String, "~/truth", latched)
        self._held = self.create_publisher(String, "~/held", 10)
        self._camera_pose = self.create_publisher(PoseStamped, "camera_pose", latched)
        self._state = self.create_publisher(JointState, "gripper/state", 10)
        self._camera = CameraTopics(self)
        self.create_subscription(JointState, "gripper/command", self._on_command, 10)
        self.create_timer(TICK_S, self._tick)
        self.create_timer(IMAGE_PERIOD_S, self._publish_images)

    def close(self) -> None:
        """Free the renderer."""
        self._cell.close()

    def _show(self) -> None:
        seed: Any = self.get_parameter("scene_seed").value
        if seed == self._seed:
            return
        scene = self._cell.show(seed, OBJECTS)
        self._seed, self._parked, self._arrived, self._pictures = seed, True, True, 0
        pose: Any = PoseStamped()
        pose.header.frame_id = WORLD
        pose.header.stamp = self.get_clock().now().to_msg()
        place, turn = pose.pose.position, pose.pose.orientation
        place.x, place.y, place.z = map(float, scene.t_world_camera[:3, 3])
        turn.x, turn.y, turn.z, turn.w = map(float, Rotation.from_matrix(scene.t_world_camera[:3, :3]).as_quat())
        self._camera_pose.publish(pose)
        truth = json.loads(truth_json(scene))
        for told, o in zip(truth["objects"], scene.objects, strict=True):
            told["inside"] = o.inside
        self._truth.publish(String(data=json.dumps(truth)))
        self._picture()

    def _on_command(self, message: JointState) -> None:
        try:
            self._cell.command(dict(zip(message.name, message.position, strict=True)))
        except ValueError as error:
            self.get_logger().error(f"gripper/command: {error}")
            return
        self._parked = self._arrived = False
        self._commands += 1

    def _tick(self) -> None:
        self._show()
        if not self._parked:
            self._cell.step(TIME_A_TICK_S)
            self._held.publish(String(data=json.dumps({str(k): v for k, v in self._cell.held_s.items()})))
        pose = self._cell.pose
        state: Any = JointState(name=["x", "y", "z", "yaw", "opening", "arrived", "commands"])
        seconds, rest = divmod(pose.time_s, 1.0)
        state.header.frame_id = WORLD
        state.header.stamp.sec, state.header.stamp.nanosec = int(seconds), int(rest * 1e9)
        state.position = [pose.x, pose.y, pose.z, pose.yaw, pose.opening, float(pose.arrived)]
        state.position.append(float(self._commands))
        self._state.publish(state)
        if pose.arrived and not self._arrived:
            self._picture()
        self._arrived = self._arrived or pose.arrived

    def _picture(self) -> None:
        folder: Any = self.get_parameter("pictures").value
        if folder and self._pictures < PICTURES:
            path = Path(folder) / f"{self._seed}_{self._pictures}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = cv2.cvtColor(self._cell.picture(), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
            self._pictures += 1

    def _publish_images(self) -> None:
        """The camera, its noise another in each image; the arm would be in the picture, so not while it moves."""
        scene = self._cell.scene
        if scene is None or not self._parked:
            return
        self._camera.publish(scene)


def main(args: list[str] | None = None) -> int:
    """Run the cell until it is told to stop."""
    return run_until_told(CellNode, "cell", args)


if __name__ == "__main__":
    sys.exit(main())
