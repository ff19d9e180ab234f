"""Records the run into an MCAP bag that any rosbag2 tool reads, message definitions included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String

from refseg_ros.msg import InstanceArray, Object3DArray, RejectionArray, SegmentationResult
from refseg_ros.nodes.dds import use_large_message_profile
from refseg_ros.nodes.share import share_folder

# Topic, type, and at most one message kept every so many seconds (0: all): a bag of megabytes, not of gigabytes.
TOPICS: tuple[tuple[str, Any, float], ...] = (
    ("image_raw", Image, 2.0),
    ("camera_info", CameraInfo, 2.0),
    ("depth/image_raw", Image, 2.0),
    ("depth/camera_info", CameraInfo, 2.0),
    ("instruction", String, 0.0),
    ("refseg/result", SegmentationResult, 0.0),
    ("refseg/masks", InstanceArray, 0.0),
    ("refseg/rejections", RejectionArray, 0.0),
    ("refseg/objects", Object3DArray, 0.0),
    ("refseg/object_points", PointCloud2, 0.0),
    ("refseg/overlay/compressed", CompressedImage, 0.0),
)


def type_name(message_type: Any) -> str:
    """The ROS type name of a message class: package/msg/Name."""
    return f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"


def typestore() -> Any:
    """ROS 2 Kilted's types and this package's own, read from the installed .msg files."""
    store = get_typestore(Stores.ROS2_KILTED)
    added: dict[str, Any] = {}
    for path in sorted((share_folder() / "msg").glob("*.msg")):
        added |= get_types_from_msg(path.read_text(encoding="utf-8"), f"refseg_ros/msg/{path.stem}")
    store.register(added)
    return store


class Recorder(Node):
    """Writes the serialized messages as they come, stamped with the time of arrival."""

    def __init__(self, writer: Writer) -> None:
        super().__init__("refseg_demo_recorder")
        store = typestore()
        self._writer = writer
        self._last: dict[str, int] = {}
        for topic, message_type, period_s in TOPICS:
            connection = writer.add_connection(self.resolve_topic_name(topic), type_name(message_type), typestore=store)
            self.create_subscription(
                message_type, topic, self._write(connection, topic, period_s), qos_profile_sensor_data, raw=True
            )

    def _write(self, connection: Any, topic: str, period_s: float) -> Any:
        def on_message(serialized: bytes) -> None:
            now = self.get_clock().now().nanoseconds
            if now - self._last.get(topic, 0) >= period_s * 1e9:
                self._last[topic] = now
                self._writer.write(connection, now, serialized)

        return on_message


def record(folder: Path) -> None:
    """Record into `folder` (must not exist) until SIGINT or SIGTERM; the bag is closed properly."""
    use_large_message_profile()
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.open()
    try:
        with rclpy.init():
            executor = SingleThreadedExecutor()
            executor.add_node(Recorder(writer))
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the ordinary end of a recording
    finally:
        writer.close()


if __name__ == "__main__":
    import sys

    record(Path(sys.argv[1]))
