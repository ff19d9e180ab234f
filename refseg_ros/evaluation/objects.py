"""3-D objects against the simulator's truth: errors of centroid, box and plane, and whether what is stated covers them.

    python -m refseg_ros.evaluation.objects --scenes 100 --json out/objects.json

Two kinds of masks: the true ones with their outlines moved as a careful annotator's would be, and those of a model,
asked for each thing by its noun. Depth has the demo camera's faults.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from refseg_ros import models
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.pipeline import run
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import BoolArray, Frame, Instance, Object3D, Plane, crop_mask, intrinsics_from_k
from refseg_ros.core.uncertainty import Uncertainty
from refseg_ros.evaluation.broken_depth import fabricated
from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.sensor import SensorModel

FIRST_SEED = 9_000_000  # of no training or test scene, nor of those that the uncertainty was fitted on
CHI_SQUARE_95, NORMAL_95 = 7.815, 1.96  # three degrees of freedom; one, two-sided
LEAST_PX = 300
WHOLE = 0.97  # visible share from which a thing counts as fully visible
LEAST_IOU = 0.5  # below it a model's mask shows another thing


@dataclass(frozen=True)
class Truth:
    """A thing as it is. centroid: of its visible surface, optical frame; size: of the box with an upright axis and the
    least footprint, longer side, shorter side, height; metres. whole: fully visible, border included."""

    mask: BoolArray
    centroid: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]
    visible: float
    whole: bool
    noun: str


def truths(engine: SceneEngine, scene: Scene) -> list[Truth]:
    """Of every thing of the engine's last scene with LEAST_PX pixels in view."""
    found = []
    for item in scene.objects:
        if item.centroid_m is None or item.visible_px < LEAST_PX:
            continue
        corners = engine.pool.triangles(engine.pool.keys.index(item.key)).reshape(-1, 3)
        _, (a, b), _ = cv2.minAreaRect((corners[:, :2] * 1000).astype(np.float32))
        size = np.array([max(a, b) / 1000, min(a, b) / 1000, np.ptp(corners[:, 2])])
        mask = scene.instance_ids == item.id
        at_border = mask[[0, -1]].any() or mask[:, [0, -1]].any()
        whole = item.visible_fraction >= WHOLE and not at_border
        found.append(Truth(mask, np.array(item.centroid_m), size, item.visible_fraction, bool(whole), item.noun))
    return found


def table_plane(scene: Scene) -> Plane:
    """The table's top in the optical frame."""
    pose = scene.t_world_camera
    a, b, c = pose[2, :3].tolist()
    return Plane((a, b, c), float(pose[2, 3] - scene.table_height))


def camera_frame(scene: Scene, rng: np.random.Generator, sensor: SensorModel) -> Frame:
    """What the demo camera makes of a scene."""
    height, width = scene.depth.shape
    camera = intrinsics_from_k(scene.k, width, height)
    return Frame(sensor.color(scene.rgb, rng), sensor.depth(scene.depth, rng), camera)


def jittered(mask: BoolArray, rng: np.random.Generator, pixels: float) -> BoolArray:
    """A mask (H, W) whose outline wanders by `pixels` (standard deviation) and is half of that too wide or narrow."""
    inside = mask.astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    waves = cv2.GaussianBlur(rng.standard_normal(mask.shape, np.float32), (0, 0), 4 * pixels)
    return np.asarray(distance + waves * (pixels / waves.std()) + rng.normal(0, pixels / 2) > 0)


def asked(model: SegmentationModel, frame: Frame, known: list[Truth]) -> Iterator[tuple[BoolArray, Truth]]:
    """The model's mask of each thing whose noun is the only one of its kind in view, where it found that thing."""
    nouns = Counter(t.noun for t in known)
    encoded = model.encode(frame)
    for truth in known:
        if nouns[truth.noun] > 1:
            continue
        answer = run(model, frame, f"the {truth.noun}", encoded=encoded)
        for instance in answer.instances[:1]:
            mask = instance.full_mask(frame.size)
            if (mask & truth.mask).sum() / (mask | truth.mask).sum() >= LEAST_IOU:
                yield mask, truth


def compare(obj: Object3D, truth: Truth, table: Plane) -> dict[str, Any]:
    """One object's errors, metres and shares, and whether its stated 95 % regions hold the truth."""
    row: dict[str, Any] = {"valid": obj.valid, "whole": truth.whole, "visible": truth.visible, "noun": truth.noun}
    row |= {"occluded": obj.occluded, "truncated": obj.truncated, "plane": obj.plane is not None}
    if obj.centroid_m is None or obj.obb is None:
        return row
    assert obj.centroid_cov_m2 is not None and obj.size_std_m is not None
    off = np.array(obj.centroid_m) - truth.centroid
    off_size = np.array(obj.obb.size_m) - truth.size
    row["centroid_m"] = float(np.linalg.norm(off))
    row["centroid_held"] = bool(off @ np.linalg.solve(obj.centroid_cov_m2, off) < CHI_SQUARE_95)
    row["size"] = np.abs(off_size / truth.size).tolist()
    row["size_held"] = (np.abs(off_size) < NORMAL_95 * np.array(obj.size_std_m)).tolist()
    if obj.plane is not None:
        cosine = np.dot(obj.plane.normal, table.normal)
        row["plane_deg"] = float(np.degrees(np.arccos(min(1.0, cosine))))
        row["plane_m"] = float(abs(obj.plane.height(truth.centroid) - table.height(truth.centroid)))
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one kind of masks."""
    good = [r for r in rows if r["valid"]]
    whole = [r for r in good if r["whole"] and not r["occluded"]]

    def of(name: str, among: list[dict[str, Any]], scale: float = 1.0) -> npt.NDArray[np.float64]:
        return np.array([r[name] for r in among if name in r], np.float64) * scale

    centroid, size = of("centroid_m", good, 1e3), of("size", whole)
    hidden, clear = [r for r in good if r["visible"] < 0.9], [r for r in good if r["whole"]]
    return {
        "count": len(rows),
        "valid": len(good),
        "with_plane": int(sum(r["plane"] for r in good)),
        "centroid_mm": _levels(centroid),
        "centroid_held": round(float(of("centroid_held", good).mean()), 3),
        "whole": len(whole),
        "size_error": {name: _levels(size[:, i]) for i, name in enumerate(("long", "short", "height"))},
        "size_error_mean": _levels(size.mean(1)),
        "size_held": round(float(of("size_held", whole).mean()), 3),
        "size_held_by_side": of("size_held", whole).mean(0).round(3).tolist(),
        "plane_deg": _levels(of("plane_deg", good)),
        "plane_mm": _levels(of("plane_m", good, 1e3)),
        "occluded_said_below_90": round(float(np.mean([r["occluded"] for r in hidden])), 3) if hidden else None,
        "occluded_said_of_whole": round(float(np.mean([r["occluded"] for r in clear])), 3) if clear else None,
    }


def _levels(values: npt.NDArray[np.float64]) -> dict[str, float]:
    names = {"median": 50, "p90": 90, "p95": 95, "max": 100}
    return {name: round(float(np.percentile(values, level)), 4) for name, level in names.items()}


def measure(
    scenes: int, size: tuple[int, int], model_name: str, outline: float, first_seed: int, shift: int = 0
) -> dict[str, Any]:
    """Figures of both kinds of masks and of broken depth. outline: of the true masks, pixels at 640 columns; shift:
    pixels that the colour image, and so the masks, lie to the right of the depth image."""
    rows: dict[str, list[dict[str, Any]]] = {"true masks": [], "model": []}
    sensor, stated = SensorModel(), Uncertainty()
    lifters = {
        "true masks": Lifter(uncertainty=replace(stated, outline=outline / 640)),
        "model": Lifter(uncertainty=stated),
    }
    model = models.load(model_name).model if model_name else None
    last: tuple[Frame, list[Instance]] | None = None
    with SceneEngine(width=size[0], height=size[1]) as engine:
        for seed in track(range(first_seed, first_seed + scenes), description="scenes", transient=True):
            scene = engine.scene(seed, count=(4, 12), visibility=True)
            known, table, rng = truths(engine, scene), table_plane(scene), np.random.default_rng(seed)
            frame = camera_frame(scene, rng, sensor)
            if shift:
                known = [replace(t, mask=np.roll(t.mask, shift, 1)) for t in known]
                frame = replace(frame, rgb=np.roll(frame.rgb, shift, 1))
            shapes = {"true masks": [(jittered(t.mask, rng, outline * size[0] / 640), t) for t in known]}
            shapes["model"] = list(asked(model, frame, known)) if model is not None else []
            for kind, pairs in shapes.items():
                pairs = [(m, t) for m, t in pairs if m.any()]
                instances = [Instance(n, 0, 1.0, *crop_mask(m)) for n, (m, _) in enumerate(pairs, 1)]
                objects = lifters[kind].lift(frame, instances)
                rows[kind] += [compare(o, t, table) for o, (_, t) in zip(objects, pairs, strict=True)]
                last = (frame, instances) if instances else last
    assert last is not None
    out: dict[str, Any] = {"scenes": scenes, "size": list(size), "outline_px_at_640": outline, "shift_px": shift}
    out["model"] = model_name
    out["masks"] = {kind: summary(found) for kind, found in rows.items() if found}
    return out | {"broken_depth": fabricated(*last)}


def show(report: dict[str, Any]) -> None:
    """The figures beside their aims."""
    table = Table(title="3-D objects against the simulator's truth: median (95th percentile)")
    for head in ("masks", "objects", "centroid, mm", "held by 95 %", "long, short, height", "held by 95 %", "plane"):
        table.add_column(head)
    for kind, r in report["masks"].items():
        sides = ", ".join(f"{v['median']:.1%} ({v['p95']:.0%})" for v in r["size_error"].values())
        c, deg, mm = r["centroid_mm"], r["plane_deg"], r["plane_mm"]
        table.add_row(
            kind, f"{r['valid']} of {r['count']}", f"{c['median']:.1f} ({c['p95']:.1f})", f"{r['centroid_held']:.1%}",
            sides, f"{r['size_held']:.1%}", f"at most {mm['max']:.2f} mm, {deg['max']:.2f} degrees",
        )  # fmt: skip
    table.add_row("aim", "", "4 (12)", "92 to 98 %", "10 %", "92 to 98 %", "2 mm, 1 degree")
    Console(width=160).print(table)
    Console(width=160).print(f"broken depth: {report['broken_depth']}")


def main(
    scenes: Annotated[int, typer.Option(min=1)] = 100,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    model: Annotated[str, typer.Option(help="Model whose masks are measured too; empty: none.")] = "compact",
    width: Annotated[int, typer.Option(min=64)] = 640,
    height: Annotated[int, typer.Option(min=48)] = 480,
    outline: Annotated[float, typer.Option(min=0.01, help="Of the true masks: pixels at 640 columns.")] = 1.5,
    first_seed: Annotated[int, typer.Option()] = FIRST_SEED,
    shift: Annotated[int, typer.Option(help="Pixels that colour lies to the right of depth.")] = 0,
) -> None:
    """Measure and print the table."""
    report = measure(scenes, (width, height), model, outline, first_seed, shift)
    show(report)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
