"""Writes datasets in the common form, sensor faults included: in shards, by several processes, to be gone on with."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from refseg_ros.sim.card import Card
from refseg_ros.sim.expressions import Expression, expressions
from refseg_ros.sim.holdout import fit_for_training, retyped
from refseg_ros.sim.plainly import told
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.splits import scene_seeds
from refseg_ros.sim.stored import as_dict, encode_png
from refseg_ros.sim.style import VARIED
from refseg_ros.sim.workers import rendered

if TYPE_CHECKING:  # as in sim.workers
    from refseg_ros.sim.engine import SceneEngine

MAX_PER_TYPE, DRAWN_PER_TYPE = 2, 20
SHARD = 10
OBJECTS = (4, 12)
Job = tuple[Path, str, list[tuple[int, int]]]


def write_dataset(
    out: Path, count: int, seed: int = 0, split: str = "train", size: tuple[int, int] = (640, 480), workers: int = 2
) -> int:
    """A dataset folder as the contract describes it; returns the number of (image, instruction) lines.

    Shards that are complete are kept, so the same call goes on after an interruption, and does nothing when all is
    there; a larger count adds scenes to those that are there. Raises ValueError as scene_seeds() does, and for a folder
    that holds another dataset; else as workers.rendered() does.
    """
    seeds = scene_seeds(count, seed, split)
    settings = {"split": split, "seed": seed, "count": count, "size": list(size), "first_seed": seeds.start}
    shards = out / "shards"
    _claim(out, settings)
    for folder in ("rgb", "depth", "mask", "panoptic", "shards"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    numbered = list(enumerate(seeds))
    parts = [numbered[i : i + SHARD] for i in range(0, len(numbered), SHARD)]
    jobs: list[Job] = [(shards / f"{n:04d}.json", split, part) for n, part in enumerate(parts)]
    todo = [job for job in jobs if not job[0].exists()]
    done = rendered(_write_shard, todo, size, workers)
    for _ in track(done, total=len(todo), description=f"rendering {sum(len(j[2]) for j in todo)} scenes"):
        pass
    card, lines = Card(settings), 0
    with (out / "index.jsonl.partial").open("w") as index, (out / "panoptic.jsonl.partial").open("w") as panoptic:
        for job in jobs:
            for scene in json.loads(job[0].read_text(encoding="utf-8")):
                card.add(scene["objects"], scene["said"])
                index.writelines(json.dumps(line) + "\n" for line in scene["lines"])
                panoptic.write(json.dumps(scene["panoptic"]) + "\n")
                lines += len(scene["lines"])
    card.write(out)
    for name in ("index.jsonl", "panoptic.jsonl"):
        (out / f"{name}.partial").replace(out / name)
    return lines


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Say what the folder is for. Raises ValueError where it is for something else, or for more scenes."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "settings.json"
    if path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        count = held.get("count", 0)
        if held | {"count": settings["count"]} != settings or count > settings["count"]:
            raise ValueError(
                f"{out} holds another dataset ({path.name}: {count} scenes of {held.get('split')}, seed "
                f"{held.get('seed')}); choose an empty folder"
            )
        if count < settings["count"] and count % SHARD:  # its last shard is too short
            (out / "shards" / f"{count // SHARD:04d}.json").unlink(missing_ok=True)
    path.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _write_shard(engine: SceneEngine, job: Job) -> Path:
    path, split, numbered = job
    out = path.parent.parent
    scenes = [_write_scene(out, f"{n:04d}", engine, seed, split) for n, seed in numbered]
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(scenes), encoding="utf-8")
    partial.replace(path)
    return path


def _write_scene(out: Path, name: str, engine: SceneEngine, seed: int, split: str) -> dict[str, Any]:
    from refseg_ros.sim.panoptic import segments  # loads OpenGL, as the engine does

    scene = engine.scene(seed, count=OBJECTS, visibility=True, style=VARIED, split=split)
    rng = np.random.default_rng((seed, 2))
    sensor = SensorModel.drawn(rng)
    depth_mm = np.round(sensor.depth(scene.depth, rng) * 1000).astype(np.uint16)
    shown = sensor.color(scene.rgb, rng)
    scene = as_shown(scene, shown)
    (out / "rgb" / f"{name}.png").write_bytes(encode_png(shown).tobytes())
    (out / "depth" / f"{name}.png").write_bytes(encode_png(depth_mm).tobytes())
    for o in scene.objects:
        if o.visible_px:
            mask = ((scene.instance_ids == o.id) * 255).astype(np.uint8)
            (out / "mask" / f"{name}_{o.id}.png").write_bytes(encode_png(mask).tobytes())
    ids, listed = segments(scene)
    (out / "panoptic" / f"{name}.png").write_bytes(encode_png(ids).tobytes())
    said = chosen(scene, split)
    return {
        "objects": [asdict(o) for o in scene.objects],
        "said": [as_dict(e) for e in said],
        "lines": [_line(name, scene, e) for e in said],
        "panoptic": {"image": f"rgb/{name}.png", "panoptic": f"panoptic/{name}.png", "segments": listed},
    }


def as_shown(scene: Scene, shown: npt.NDArray[np.uint8]) -> Scene:
    """The scene, its colours told only where they can be told in the sensor's picture (H, W, 3), too."""
    objects = tuple(
        replace(o, colour_told=o.colour_told and told(shown[scene.instance_ids == o.id], o.colours, bool(o.paint)))
        for o in scene.objects
    )
    return replace(scene, objects=objects)


def chosen(scene: Scene, split: str) -> list[Expression]:
    """At most MAX_PER_TYPE expressions of each type; in the test split what is held out has types of its own."""
    made: Counter[str] = Counter()
    out = []
    for e in expressions(scene, random.Random(scene.seed), DRAWN_PER_TYPE):
        if split == "test":
            e = retyped(e, scene)
        elif not fit_for_training(e, scene):
            continue
        if made[e.type] < MAX_PER_TYPE:
            made[e.type] += 1
            out.append(e)
    return out


def _line(name: str, scene: Scene, expression: Expression) -> dict[str, Any]:
    height, width = scene.depth.shape
    line: dict[str, Any] = {
        "image": f"rgb/{name}.png",
        "depth": f"depth/{name}.png",
        "camera": {"width": width, "height": height, "k": scene.k.ravel().tolist()},
        "instruction": expression.text,
        "type": expression.type,
        "phrases": list(expression.phrases),
        "targets": [
            {
                "phrase": phrase,
                "mask": f"mask/{name}_{i}.png",
                "centroid_m": scene.objects[i].centroid_m,
                "visible": round(scene.objects[i].visible_fraction, 3),
            }
            for phrase, ids in enumerate(expression.targets)
            for i in sorted(ids)
        ],
    }
    more = {"expect": expression.expect, "excluded": list(expression.excluded)}
    return line | {k: v for k, v in more.items() if v}
