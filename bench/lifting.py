"""Lifting ten instances at 1280 x 720: milliseconds by stage, beside the plain Open3D recipe in the same run, and the
errors of both against the simulator's truth.

    python bench/lifting.py --json out/bench/lifting.json

The plain recipe, for each object: the masked depth to points, statistical outliers removed (20 neighbours, 2 standard
deviations), mean, oriented bounding box. Both see the same frames and masks: the demo camera's depth, true masks whose
outlines wander by three pixels (1.5 at 640 columns). Wall time is what a request waits; CPU time, of all threads, is
what comparisons on a shared machine should go by, and its 5th percentile is nearest to what an idle one would show.
open3d-cpu (requirements/bench.txt) is needed here and nowhere else.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from refseg_ros.core import lifting
from refseg_ros.core.boxes import Upright
from refseg_ros.core.types import Frame, Instance, crop_mask
from refseg_ros.evaluation.objects import FIRST_SEED, Truth, camera_frame, jittered, truths
from refseg_ros.models.lifting_torch import TorchLifter
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.sensor import SensorModel

SIZE, OBJECTS = (1280, 720), 10
AIM_MS, AIM_RATIO = 10.0, 5.0
Found = tuple[np.ndarray, np.ndarray]  # centroid and sizes of one object, metres
Step = tuple[str, Callable[[], Any]]


class Clock:
    """Wall and CPU milliseconds by name, one entry a call."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.wall[name].append((time.perf_counter() - wall) * 1e3)
        self.cpu[name].append((time.process_time() - cpu) * 1e3)
        return result

    def row(self, name: str) -> dict[str, float]:
        """Median and 95th percentile of the wall time, median and 5th percentile of the CPU time."""
        wall, cpu = np.percentile(self.wall[name], [50, 95]), np.percentile(self.cpu[name], [50, 5])
        values = dict(zip(("wall_p50_ms", "wall_p95_ms", "cpu_ms", "cpu_p5_ms"), (*wall, *cpu), strict=True))
        return {key: round(float(value), 2) for key, value in values.items()}


def by_stage(lifter: lifting.Lifter, frame: Frame, instances: Sequence[Instance], clock: Clock) -> None:
    """The stages of Lifter.lift(), one after the other, each timed."""
    assert frame.depth is not None
    config = clock("noise", lambda: lifter.frame_config(frame))
    parts = clock("surfaces", lambda: [lifting.find_part(frame, i, config) for i in instances])
    plane = clock("plane", lambda: lifter.find_plane(frame, parts, config))
    upright = None if plane is None else Upright.of(plane)
    clock("objects", lambda: [lifter.build_object(frame, p, upright, config) for p in parts])


def plain_open3d(frame: Frame, instances: Sequence[Instance]) -> list[Found]:
    """The usual recipe."""
    import open3d as o3d

    depth, camera = frame.depth, frame.intrinsics
    assert depth is not None and camera is not None
    pinhole = o3d.camera.PinholeCameraIntrinsic(*frame.size, camera.fx, camera.fy, camera.cx, camera.cy)
    found = []
    for instance in instances:
        masked = np.where(instance.full_mask(frame.size), depth, np.float32(0))
        cloud = o3d.geometry.PointCloud.create_from_depth_image(
            o3d.geometry.Image(masked), pinhole, depth_scale=1.0, depth_trunc=10.0
        )
        cloud, _ = cloud.remove_statistical_outlier(nb_neighbors=20, std_ratio=2.0)
        box = cloud.get_oriented_bounding_box()
        found.append((np.asarray(cloud.get_center()), np.asarray(box.extent)))
    return found


def scenes(count: int) -> Iterator[tuple[Frame, list[Instance], list[Truth]]]:
    """Frames with OBJECTS things or more; the largest OBJECTS of each."""
    sensor, made, seed = SensorModel(), 0, FIRST_SEED + 500_000
    with SceneEngine(width=SIZE[0], height=SIZE[1]) as engine:
        while made < count:
            seed += 1
            scene = engine.scene(seed, count=(OBJECTS + 2, OBJECTS + 4), visibility=True)
            known = sorted(truths(engine, scene), key=lambda t: -int(t.mask.sum()))[:OBJECTS]
            if len(known) < OBJECTS:
                continue
            made, rng = made + 1, np.random.default_rng(seed)
            masks = [jittered(t.mask, rng, 1.5 * SIZE[0] / 640) for t in known]
            instances = [Instance(n, 0, 1.0, *crop_mask(m)) for n, m in enumerate(masks, 1)]
            yield camera_frame(scene, rng, sensor), instances, known


def errors(found: Sequence[Found], known: Sequence[Truth]) -> tuple[list[float], list[float]]:
    """Centroid errors, mm, and, of fully visible things, the mean relative error of the three sizes, both sorted."""
    centroid = [float(np.linalg.norm(c - t.centroid)) * 1e3 for (c, _), t in zip(found, known, strict=True)]
    size = [
        float(np.mean(np.abs(np.sort(s) / np.sort(t.size) - 1)))
        for (_, s), t in zip(found, known, strict=True)
        if t.whole
    ]
    return centroid, size


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Scenes.")] = 12,
    repeats: Annotated[int, typer.Option(min=1, help="Of ours, a scene; the recipe runs once.")] = 5,
) -> None:
    """Measure and print the table."""
    if importlib.util.find_spec("open3d") is None:
        raise typer.BadParameter("the comparison needs Open3D: pip install -r requirements/bench.txt")
    clock, lifter, torch_lifter = Clock(), lifting.Lifter(), TorchLifter()
    centroid: dict[str, list[float]] = defaultdict(list)
    size: dict[str, list[float]] = defaultdict(list)
    pixels = []
    for frame, instances, known in track(scenes(count), total=count, description="scenes", transient=True):
        lifter.lift(frame, instances)  # the rays of this camera, once
        torch_lifter.lift(frame, instances)
        for _ in range(repeats):
            objects = clock("ours", lambda f=frame, i=instances: lifter.lift(f, i))
            clock("ours, torch on the CPU", lambda f=frame, i=instances: torch_lifter.lift(f, i))
            by_stage(lifter, frame, instances, clock)
        plain = clock("plain Open3D", lambda f=frame, i=instances: plain_open3d(f, i))
        ours = [(np.array(o.centroid_m), np.array(o.obb.size_m)) for o in objects]
        for name, found in (("ours", ours), ("plain Open3D", plain)):
            c, s = errors(found, known)
            centroid[name] += c
            size[name] += s
        pixels.append(sum(i.area_px for i in instances))
    rows = {name: clock.row(name) for name in clock.wall}
    for name in centroid:
        rows[name] |= {
            "centroid_mm": [round(float(v), 2) for v in np.percentile(centroid[name], [50, 95])],
            "size_error": [round(float(v), 4) for v in np.percentile(size[name], [50, 95])],
        }
    ratio = {k: round(rows["plain Open3D"][k] / rows["ours"][k], 1) for k in ("wall_p50_ms", "cpu_ms")}
    title = (
        f"{OBJECTS} instances, {SIZE[0]} x {SIZE[1]}, {int(np.median(pixels))} mask pixels; median (95th percentile)"
    )
    table = Table(title=title)
    for head in ("", "wall, ms", "CPU, ms (5th percentile)", "centroid, mm", "sizes"):
        table.add_column(head)
    stages = ("noise", "surfaces", "plane", "objects")
    for name in ("ours", *stages, "ours, torch on the CPU", "plain Open3D"):
        r = rows[name]
        c, s = r.get("centroid_mm"), r.get("size_error")
        cells = [f"{r['wall_p50_ms']:.2f} ({r['wall_p95_ms']:.2f})", f"{r['cpu_ms']:.2f} ({r['cpu_p5_ms']:.2f})"]
        cells += [f"{c[0]:.1f} ({c[1]:.1f})", f"{s[0]:.1%} ({s[1]:.0%})"] if c and s else []
        table.add_row(f"  {name}" if name in stages else name, *cells)
    console = Console(width=120)
    console.print(table)
    console.print(f"aim: {AIM_MS:g} ms or less, {AIM_RATIO:g} x faster; measured {ratio} x")
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        out = {"cores": os.cpu_count(), "scenes": count, "rows": rows, "ratio": ratio}
        json_file.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
