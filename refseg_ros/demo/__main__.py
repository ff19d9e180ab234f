"""Run the demo: `python -m refseg_ros.demo --out out/demo`."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import rclpy
import typer
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.table import Table

from refseg_ros.core.box_edges import box_corners
from refseg_ros.core.types import OrientedBox
from refseg_ros.demo.client import DemoClient, DemoTimeout, answer_of, colors_of, points_of
from refseg_ros.demo.page import jpeg_base64, summary, write_page
from refseg_ros.demo.processes import Processes
from refseg_ros.demo.requests import DemoRequest, choose_requests, missing_kinds
from refseg_ros.demo.score import Grade, report_entry, score
from refseg_ros.demo.truth import SceneTruth
from refseg_ros.demo.view3d import view
from refseg_ros.msg import SegmentationResult
from refseg_ros.nodes.dds import use_large_message_profile

COLOURS = {Grade.RIGHT: "green", Grade.UNDECIDED: "magenta", Grade.WRONG: "red"}


def describe_objects(result: SegmentationResult) -> tuple[list[str], list[tuple[int, npt.NDArray[np.float64]]]]:
    """The result's objects in words, and their boxes' corners (8, 3) by id, metres."""
    lines: list[str] = []
    boxes = []
    for o in result.objects:
        if not o.valid:
            lines.append(f"object {o.instance}: no 3-D, {o.reason}")
            continue
        c, s, q = o.centroid, o.size, o.pose.orientation
        lines.append(
            f"object {o.instance}: {c.x:+.3f} m right, {c.y:+.3f} m down, {c.z:.3f} m away; "
            f"box {100 * s.x:.1f} x {100 * s.y:.1f} x {100 * s.z:.1f} cm; depth on {100 * o.depth_coverage:.0f} %"
        )
        p = o.pose.position
        box = OrientedBox((p.x, p.y, p.z), (s.x, s.y, s.z), (q.x, q.y, q.z, q.w))
        boxes.append((o.instance, box_corners(box)))
    return lines, boxes


def up_of(result: SegmentationResult) -> tuple[float, float, float]:
    """Away from what the objects stand on, in the optical frame; the picture's own up where that is not known."""
    for o in result.objects:
        if o.has_plane:
            return o.plane_normal.x, o.plane_normal.y, o.plane_normal.z
    return 0.0, -1.0, 0.0


def scene_with_all_kinds(client: DemoClient, seed: int, spin: Any, console: Console) -> SceneTruth:
    """The first scene from `seed` on in which every kind of request can be asked (at most 12 are tried)."""
    best: SceneTruth | None = None
    for candidate in range(seed, seed + 12):
        truth = client.show_scene(candidate, spin)
        missing = missing_kinds(truth)
        if not missing:
            return truth
        console.print(f"  scene {candidate} cannot show: {', '.join(missing)}; trying the next")
        if best is None or len(missing) < len(missing_kinds(best)):
            best = truth
    assert best is not None
    return client.show_scene(best.seed, spin)


def run(out: Path, model: str, seed: int) -> int:
    """Start everything, ask, score, write. The exit code: 0 when every request was answered."""
    console = Console()
    if not console.is_terminal:  # a log has no width of its own, and the table needs some
        console.width = 120
    bag = out / "bag"
    shutil.rmtree(bag, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    environment = {
        "ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 100))),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    os.environ.update(environment)
    use_large_message_profile()
    rows: list[dict[str, Any]] = []
    with Processes(out, environment) as processes:
        console.print("[bold]1/3[/] starting camera, node and recorder (logs in", f"{out}/*.log)")
        camera = "refseg_ros.nodes.sim_camera_node"
        processes.start("camera", camera, ["--ros-args", "-p", f"scene_seed:={seed}"])
        processes.start("node", "refseg_ros.nodes.refseg_node", ["--ros-args", "-p", f"model:={model}"])
        processes.start("recorder", "refseg_ros.demo.recorder", [str(bag)])
        with rclpy.init():
            client = DemoClient()
            executor = SingleThreadedExecutor()
            executor.add_node(client)

            def spin() -> None:
                executor.spin_once(timeout_sec=0.02)
                if (dead := processes.dead()) is not None:
                    raise DemoTimeout(f"The {dead} process ended; {out}/{dead}.log says why.")

            try:
                with console.status("starting") as status:
                    client.wait_until_ready(spin, 240.0, lambda text: status.update(text))
                truth = scene_with_all_kinds(client, seed, spin, console)
                requests = choose_requests(truth, seed)
                console.print(f"[bold]2/3[/] scene {truth.seed}: {len(truth.names)} objects; {len(requests)} requests")
                used_model = model
                for number, request in enumerate(requests, 1):
                    with console.status(f"{number}/{len(requests)} {request.instruction or '(empty)'}"):
                        row, used_model = ask_and_score(client, request, truth, spin)
                    rows.append(row)
                    console.print(_line(number, row))
            except DemoTimeout as problem:
                console.print(f"[red]{problem}[/]")
                return 1
            frames = client.frames
    entries = [{k: v for k, v in r.items() if k not in ("picture", "view", "objects")} for r in rows]
    report = {"requests": entries, "model": used_model, "frames": frames, "scene_seed": truth.seed}
    (out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    write_page(out / "index.html", rows, used_model, frames)
    console.print(_table(rows))
    console.print(f"[bold]3/3[/] {summary(rows)}. Open {out}/index.html; figures in {out}/report.json;")
    console.print(f"    the run as a bag in {bag} (any rosbag2 or MCAP tool).")
    return 0


def ask_and_score(client: DemoClient, request: DemoRequest, truth: SceneTruth, spin: Any) -> tuple[dict[str, Any], str]:
    """One request: its row for the page, and the name of the model that answered."""
    began = time.perf_counter()
    result = client.ask(request.instruction, spin)
    latency_ms = 1000 * (time.perf_counter() - began)
    height, width = truth.instance_ids.shape
    answer = answer_of(result, (width, height), latency_ms)
    row = report_entry(request, answer, score(request, answer, truth))
    lines, boxes = describe_objects(result)
    row |= {"picture": jpeg_base64(client.overlay_of(result, spin)), "objects": lines, "view": None}
    if (cloud := client.scene_of(result, spin)) is not None and boxes:
        row["view"] = view(points_of(cloud), colors_of(cloud), boxes, up_of(result))
    return row, result.model


def _line(number: int, row: dict[str, Any]) -> str:
    mark = f"[{COLOURS[row['grade']]}]{row['grade']}[/]"
    said = f"{row['outcome']} (expected {row['expected']})" if row["outcome"] != row["expected"] else row["outcome"]
    return f"  {number:2d}. {row['instruction'] or '(empty)'}: {said}, {row['latency_ms']:.0f} ms, {mark}"


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="What was asked, and what the node said")
    for column in ("instruction", "outcome", "verdicts", "IoU", "3-D error", "latency", ""):
        table.add_column(column, justify="right" if column in ("IoU", "3-D error", "latency") else "left")
    for r in rows:
        table.add_row(
            r["instruction"] or "(empty)",
            r["outcome"],
            ", ".join(p["verdict"] for p in r["phrases"]) or (r["error"] or {}).get("code", ""),
            "" if r["iou"] is None else f"{r['iou']:.2f}",
            "" if r["centroid_error_mm"] is None else f"{r['centroid_error_mm']:.0f} mm",
            f"{r['latency_ms']:.0f} ms",
            r["grade"],
        )
    return table


def main(
    out: Annotated[Path, typer.Option(help="folder for the page, the report and the bag")] = Path("out/demo"),
    model: Annotated[str, typer.Option(help="model name")] = "compact",
    seed: Annotated[int, typer.Option(help="first scene that is tried")] = 7,
) -> None:
    """Ten instructions to a live simulated camera, over ROS 2, scored against the truth."""
    sys.exit(run(out, model, seed))


if __name__ == "__main__":
    typer.run(main)
