"""A camera and a client in the test's process, the node in another: the same Robot for every test over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from refseg_ros.action import Segment
from refseg_ros.msg import InstanceArray, Object3DArray, RejectionArray, SegmentationResult
from refseg_ros.nodes.images import fill_image
from refseg_ros.srv import SegmentOnce, SetInstruction

DOMAIN = str(101 + os.getpid() % 100)
ENVIRONMENT = {
    "ROS_DOMAIN_ID": DOMAIN,
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    "ROS_PYTHON_CHECK_FIELDS": "1",
}
FOUND, ABSENT, AMBIGUOUS, ERROR = (
    SegmentationResult.FOUND, SegmentationResult.ABSENT, SegmentationResult.AMBIGUOUS, SegmentationResult.ERROR
)  # fmt: skip


class Robot:
    """A camera and a client in this process; the node in another."""

    def __init__(self):
        self.node = rclpy.create_node("robot")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.process = None
        self.color = self.node.create_publisher(Image, "image_raw", 5)
        self.depth = self.node.create_publisher(Image, "depth/image_raw", 5)
        self.info = self.node.create_publisher(CameraInfo, "camera_info", 5)
        self.instruction = self.node.create_publisher(String, "instruction", 100)
        many = QoSProfile(depth=1000)  # of a burst of answers a client keeps no more than its depth
        self.action = ActionClient(
            self.node, Segment, "refseg/segment", goal_service_qos_profile=many, result_service_qos_profile=many
        )
        self.once = self._client(SegmentOnce, "segment_once")
        self.mode = self._client(SetInstruction, "set_instruction")
        self.change = self._client(ChangeState, "change_state")
        self.state = self._client(GetState, "get_state")
        self.set = self._client(SetParameters, "set_parameters")
        self.get = self._client(GetParameters, "get_parameters")
        self.seen = {}
        for kind, topic in (
            (SegmentationResult, "refseg/result"), (InstanceArray, "refseg/masks"), (Image, "refseg/label_mask"),
            (RejectionArray, "refseg/rejections"), (Object3DArray, "refseg/objects"), (Image, "refseg/overlay"),
            (PointCloud2, "refseg/object_points"), (PointCloud2, "refseg/scene_points"),
            (CompressedImage, "refseg/overlay/compressed"), (MarkerArray, "refseg/markers"),
            (DiagnosticArray, "/diagnostics"),
        ):  # fmt: skip
            self.seen[topic] = []
            self.node.create_subscription(kind, topic, self.seen[topic].append, QoSProfile(depth=200))
        self.reset()
        self.node.create_timer(0.1, self._publish)

    def reset(self):
        """A camera without faults."""
        self.spoil = lambda color, depth, info: (color, depth, info)

    def _client(self, kind, name):
        return self.node.create_client(kind, f"refseg/{name}", qos_profile=QoSProfile(depth=1000))

    def image(self):
        pixels = np.full((120, 160, 3), 90, np.uint8)
        pixels[20:50, 20:60] = (255, 0, 0)
        pixels[70:100, 20:60] = (0, 255, 0)
        pixels[70:100, 100:140] = (0, 255, 0)
        out = Image()
        out.header.frame_id = "camera_optical"
        out.header.stamp = self.node.get_clock().now().to_msg()
        return fill_image(out, pixels, "rgb8")

    def depth_of(self, color):
        millimetres = np.full((120, 160), 1000, np.uint16)
        millimetres[20:50, 20:60] = 600
        return fill_image(Image(header=color.header), millimetres, "16UC1")

    def info_of(self, color):
        k = [200.0, 0.0, 80.0, 0.0, 200.0, 60.0, 0.0, 0.0, 1.0]
        return CameraInfo(header=color.header, width=160, height=120, k=k, distortion_model="plumb_bob")

    def _publish(self):
        """One moment, through spoil(color, depth, info): it returns the three as they are sent, None for not at all."""
        color = self.image()
        sent = self.spoil(color, self.depth_of(color), self.info_of(color))
        for publisher, message in zip((self.color, self.depth, self.info), sent, strict=True):
            if message is not None:
                publisher.publish(message)

    def start(self, *parameters, remaps=(), seconds="0", program=("helpers.run_fake_node",), patience=30):
        """program: the module that is the node, and its words before ROS's; patience: seconds until it is there."""
        arguments = [x for p in parameters for x in ("-p", p)] + [x for r in remaps for x in ("-r", r)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *program, *(["--ros-args", *arguments] if arguments else [])],
            cwd=Path(__file__).parents[1],
            env=os.environ | ENVIRONMENT | {"FAKE_MODEL_SECONDS": seconds},
        )
        assert self.until(lambda: self.state.service_is_ready(), patience), "the node did not come up"

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            assert self.process.wait(20) == 0
            self.process = None
            # A goodbye that is lost leaves DDS's lease to run out: 20 s.
            assert self.until(lambda: not self.state.service_is_ready(), 40)

    def until(self, condition, seconds=20.0):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return condition()

    def spin(self, seconds):
        self.until(lambda: False, seconds)

    def call(self, client, request, seconds=20.0):
        future = client.call_async(request)
        assert self.until(future.done, seconds), "no answer"
        return future.result()

    def lifecycle_state(self):
        """The node's state; asked again where the answer went nowhere, as a first one may (see ready)."""
        answers = []

        def answered():
            future = self.state.call_async(GetState.Request())
            if self.until(future.done, 3):
                answers.append(future.result().current_state.id)
            return bool(answers)

        assert self.until(answered, 30), "no answer"
        return answers[-1]

    def ready(self):
        """Until both ways of asking are answered. Discovery has two directions: a server that is seen may not see us
        yet, and its first answer then goes nowhere; the camera's topics may come later still."""
        assert self.until(lambda: self.once.service_is_ready() and self.action.server_is_ready(), 20)
        answers = []

        def found():
            future = self.once.call_async(SegmentOnce.Request(instruction="the red thing"))
            if self.until(future.done, 3):
                answers.append(future.result().result)
            return bool(answers) and answers[-1].outcome == FOUND

        assert self.until(found, 20), answers[-1].error_message if answers else "no answer"

    def ask(self, instruction):
        return self.call(self.once, SegmentOnce.Request(instruction=instruction)).result

    def thing(self, instruction):
        """The first object of an answer; of one without objects, as an ERROR is, one that is neither valid nor not."""
        objects = self.ask(instruction).objects
        return objects[0] if objects else SimpleNamespace(valid=None, reason="", centroid=None)

    def send(self, goal, feedback=None):
        future = self.action.send_goal_async(goal, feedback_callback=feedback)
        assert self.until(future.done)
        return future.result()

    def result_of(self, handle, seconds=20.0):
        future = handle.get_result_async()
        assert self.until(future.done, seconds), "no result"
        return future.result()


def parameter(name, value):
    kinds = {
        bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
        int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
        float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
        str: (ParameterType.PARAMETER_STRING, "string_value"),
    }
    kind, field = kinds[type(value)]
    return Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
