"""What ROS costs: camera, node and client as three processes; the age of the picture when its answer arrives, less the
time that the model itself took.

    python bench/ros_latency.py --json out/bench/ros_latency.json

Two ways to ask. "camera": the client hears a depth image and calls ~/segment_once; time runs from the camera's stamp,
taken just before it publishes, to the answer, so that publish-to-receive of the pictures is in it. "goal": the picture
travels inside the goal of ~/segment; time runs from sending to the result. Everything else is in both: matching by
stamp, conversion, the queue, lifting to 3-D, building the answer, and its way back.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import rclpy
import typer
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from refseg_ros.action import Segment
from refseg_ros.demo.processes import Processes
from refseg_ros.demo.truth import SceneTruth, read_truth
from refseg_ros.nodes.dds import use_large_message_profile
from refseg_ros.nodes.frames import stamp_ns
from refseg_ros.nodes.outputs import TOPICS
from refseg_ros.srv import SegmentOnce

SIZES = ((640, 480), (1280, 720))
AIM_MS = {(640, 480): 15.0, (1280, 720): 30.0}
SCENE, RATE_HZ = 7, 2.0
WARM_UP = 5


@dataclass
class Samples:
    """Milliseconds, one entry a request. rest = total - model; transport: colour image, published to received here."""

    total: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    lift: list[float] = field(default_factory=list)
    transport: list[float] = field(default_factory=list)
    other_frame: int = 0

    def add(self, total_ms: float, result: Any) -> None:
        """Keep one answer's times."""
        timings = dict(zip(result.timing_names, result.timings, strict=True))
        self.total.append(total_ms)
        self.model.append(float(timings["model"]))
        self.lift.append(float(timings["lift"]))

    def row(self, size: tuple[int, int], way: str) -> dict[str, Any]:
        """Medians and 95th percentiles, in milliseconds."""
        rest = np.array(self.total) - np.array(self.model)
        spans = {"total": self.total, "model": self.model, "lift": self.lift, "rest": rest}
        if self.transport:
            spans["transport"] = self.transport
        out: dict[str, Any] = {"size": list(size), "way": way, "count": len(self.total)}
        out["other_frame"] = self.other_frame
        for name, values in spans.items():
            out[f"{name}_p50_ms"], out[f"{name}_p95_ms"] = (round(float(v), 2) for v in np.percentile(values, [50, 95]))
        out["aim_ms"] = AIM_MS.get(size)
        return out


class Client(Node):
    """Hears the camera, asks the node, and notes when each picture arrived."""

    def __init__(self) -> None:
        super().__init__("refseg_bench_client")
        self.color: Image | None = None
        self.depth: Image | None = None
        self.info: CameraInfo | None = None
        self.truth: SceneTruth | None = None
        self.color_age_ms = 0.0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(String, "sim_camera/truth", self._on_truth, latched)
        self.create_subscription(Image, "image_raw", self._on_color, qos_profile_sensor_data)
        self.create_subscription(Image, "depth/image_raw", self._on_depth, qos_profile_sensor_data)
        self.create_subscription(CameraInfo, "camera_info", self._on_info, qos_profile_sensor_data)
        self.once = self.create_client(SegmentOnce, "refseg/segment_once")
        self.action: Any = ActionClient(self, Segment, "refseg/segment")

    def _on_truth(self, message: String) -> None:
        self.truth = read_truth(message.data)

    def _on_color(self, message: Image) -> None:
        self.color_age_ms = (time.time_ns() - stamp_ns(message.header.stamp)) / 1e6
        self.color = message

    def _on_depth(self, message: Image) -> None:
        self.depth = message

    def _on_info(self, message: CameraInfo) -> None:
        self.info = message


class Bench:
    """One camera size: its processes, a client, and the two ways to ask."""

    def __init__(self, client: Client, spin: Callable[[], None]) -> None:
        self.client, self.spin = client, spin

    def until(self, ready: Callable[[], Any], what: str, seconds: float = 120.0) -> None:
        """Spin until something is so. Raises RuntimeError naming what did not come."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise RuntimeError(f"{what} did not come within {seconds:.0f} s")
            self.spin()

    def instruction(self) -> str:
        """Two things of the scene by name, so that there is something to find, lift and send."""
        assert self.client.truth is not None
        nouns = list(dict.fromkeys(self.client.truth.names.values()))
        return " and ".join(f"the {noun}" for noun in nouns[:2])

    def next_depth(self) -> Image:
        """The next depth image to arrive; its colour image has come before it."""
        old = self.client.depth
        self.until(lambda: self.client.depth is not old, "a depth image")
        assert self.client.depth is not None
        return self.client.depth

    def ask_about_camera(self, instruction: str, samples: Samples) -> None:
        """One request about the newest picture."""
        depth = self.next_depth()
        age = self.client.color_age_ms
        future = self.client.once.call_async(SegmentOnce.Request(instruction=instruction))
        self.until(future.done, "an answer")
        now = time.time_ns()
        result = future.result().result  # type: ignore[union-attr]
        if result.error_code:
            raise RuntimeError(result.error_message)
        samples.transport.append(age)
        if result.header.stamp != depth.header.stamp:  # the node took the picture before: its age says nothing of ROS
            samples.other_frame += 1
            return
        samples.add((now - stamp_ns(result.header.stamp)) / 1e6, result)

    def ask_with_goal(self, instruction: str, samples: Samples) -> None:
        """One request that brings its picture along."""
        depth = self.next_depth()
        goal = Segment.Goal(instruction=instruction, use_given_frame=True, image=self.client.color, depth=depth)
        goal.camera_info = self.client.info
        began = time.perf_counter()
        sent = self.client.action.send_goal_async(goal)
        self.until(sent.done, "the goal's acceptance")
        answer = sent.result().get_result_async()
        self.until(answer.done, "a result")
        total = (time.perf_counter() - began) * 1e3
        result = answer.result().result.result
        if result.error_code:
            raise RuntimeError(result.error_message)
        samples.add(total, result)


def measure(size: tuple[int, int], count: int, model: str, listen: bool) -> list[dict[str, Any]]:
    """Rows of one camera size. listen: this process also subscribes to everything the node publishes."""
    environment = {
        "ROS_DOMAIN_ID": str(random.SystemRandom().randrange(1, 100)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    os.environ.update(environment)
    use_large_message_profile()
    with tempfile.TemporaryDirectory() as logs, Processes(Path(logs), environment) as processes, rclpy.init():
        camera = {"width": size[0], "height": size[1], "rate_hz": RATE_HZ, "scene_seed": SCENE}
        arguments = [x for k, v in camera.items() for x in ("-p", f"{k}:={v}")]
        processes.start("camera", "refseg_ros.nodes.sim_camera_node", ["--ros-args", *arguments])
        processes.start("node", "refseg_ros.nodes.refseg_node", ["--ros-args", "-p", f"model:={model}"])
        client, executor = Client(), SingleThreadedExecutor()
        executor.add_node(client)
        listener = rclpy.create_node("refseg_bench_listener") if listen else None
        if listener is not None:
            for name, kind in TOPICS.items():
                listener.create_subscription(kind, f"refseg/{name}", lambda _: None, 10)
            executor.add_node(listener)

        def spin() -> None:
            executor.spin_once(timeout_sec=0.1)
            if (dead := processes.dead()) is not None:
                raise RuntimeError(f"the {dead} process ended: {(Path(logs) / f'{dead}.log').read_text()[-800:]}")

        bench = Bench(client, spin)
        bench.until(lambda: client.truth is not None and client.info is not None, "the camera")
        bench.until(lambda: client.once.service_is_ready() and client.action.server_is_ready(), "the node")
        instruction, rows = bench.instruction(), []
        heard = ", every output heard" if listen else ""
        for way, ask in (("camera", bench.ask_about_camera), ("goal", bench.ask_with_goal)):
            for _ in range(WARM_UP):
                ask(instruction, Samples())
            samples = Samples()
            for _ in track(range(count), description=f"{size[0]} x {size[1]}, {way}{heard}", transient=True):
                ask(instruction, samples)
            rows.append(samples.row(size, way + heard))
    return rows


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    count: Annotated[int, typer.Option(min=5, help="Requests per row.")] = 40,
    model: Annotated[str, typer.Option(help="Model name.")] = "compact",
) -> None:
    """Measure and print the table."""
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        rows += measure(size, count, model, listen=False)
        rows += measure(size, count, model, listen=True)
    table = Table(title="milliseconds, median (95th percentile); rest = from picture to answer, less the model")
    spans = "picture to client", "picture to answer", "model", "lifting", "rest", "aim"
    for head in ("size", "asked by", "requests", *spans):
        table.add_column(head)
    for r in rows:
        cells = [f"{r[f'{n}_p50_ms']:.1f} ({r[f'{n}_p95_ms']:.1f})" for n in ("total", "model", "lift", "rest")]
        sent = f"{r['transport_p50_ms']:.1f} ({r['transport_p95_ms']:.1f})" if "transport_p50_ms" in r else "-"
        table.add_row("{} x {}".format(*r["size"]), r["way"], str(r["count"]), sent, *cells, f"{r['aim_ms']:g}")
    Console(width=150).print(table)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps({"model": model, "cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
