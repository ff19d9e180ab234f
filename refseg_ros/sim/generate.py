"""Writes scenes: files for training (raw renderings) and datasets in the common form (sensor faults included)."""

from __future__ import annotations

import json
import multiprocessing
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions import Expression, expressions
from refseg_ros.sim.pool import STUFF
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import StoredScene, encode_png, save_scene

SPLIT_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
SPLIT_SIZE, SEED_SIZE = 1_000_000, 10_000
MAX_PER_TYPE = 2


def _generate_some(job: tuple[Path, list[int], int, int]) -> int:
    out, seeds, width, height = job
    with SceneEngine(width=width, height=height) as engine:
        for seed in seeds:
            save_scene(out / f"scene_{seed:07d}.npz", engine.scene(seed, count=(4, 12)))
    return len(seeds)


def generate(
    out: Path, count: int, seed: int = 0, width: int = 320, height: int = 240, workers: int = 2, chunk: int = 50
) -> int:
    """Training files for seeds seed .. seed + count - 1; those already there are kept. Returns how many were made."""
    out.mkdir(parents=True, exist_ok=True)
    seeds = [s for s in range(seed, seed + count) if not (out / f"scene_{s:07d}.npz").exists()]
    jobs = [(out, seeds[i : i + chunk], width, height) for i in range(0, len(seeds), chunk)]
    # Each process renders with an OpenGL context of its own, which a forked copy of ours would not be.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done = pool.imap_unordered(_generate_some, jobs)
        return sum(track(done, total=len(jobs), description=f"rendering {len(seeds)} scenes"))


def scene_seeds(count: int, seed: int, split: str) -> range:
    """The engine's seeds for one dataset: no two splits ever share one, whatever their seeds.

    Raises ValueError for a split other than train, val, test, and for a count above 10,000.
    """
    if split not in SPLIT_SEEDS:
        raise ValueError(f"split must be one of {', '.join(SPLIT_SEEDS)}, not {split!r}")
    if not 0 <= count <= SEED_SIZE or seed < 0:
        raise ValueError(f"count must be 0 to {SEED_SIZE} and seed at least 0, not {count} and {seed}")
    block, within = divmod(seed, SPLIT_SIZE // SEED_SIZE)
    first = block * SPLIT_SIZE * len(SPLIT_SEEDS) + SPLIT_SEEDS[split] + within * SEED_SIZE
    return range(first, first + count)


def write_dataset(
    out: Path, count: int, seed: int = 0, split: str = "train", size: tuple[int, int] = (640, 480)
) -> int:
    """A dataset folder as the contract describes it; returns the number of (image, instruction) lines.

    Raises ValueError as scene_seeds() does.
    """
    seeds = scene_seeds(count, seed, split)
    for folder in ("rgb", "depth", "mask", "panoptic"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    sensor, lines, panoptic = SensorModel(), [], []
    with SceneEngine(width=size[0], height=size[1]) as engine:
        for number, scene_seed in enumerate(track(seeds, description=f"rendering {count} scenes")):
            scene = engine.scene(scene_seed, count=(4, 12), visibility=True)
            rng = np.random.default_rng(scene_seed)
            name = f"{number:04d}"
            depth_mm = np.round(sensor.depth(scene.depth, rng) * 1000).astype(np.uint16)
            (out / "rgb" / f"{name}.png").write_bytes(encode_png(sensor.color(scene.rgb, rng)).tobytes())
            (out / "depth" / f"{name}.png").write_bytes(encode_png(depth_mm).tobytes())
            for o in scene.objects:
                if o.visible_px:
                    mask = ((scene.instance_ids == o.id) * 255).astype(np.uint8)
                    (out / "mask" / f"{name}_{o.id}.png").write_bytes(encode_png(mask).tobytes())
            ids, listed = segments(scene)
            (out / "panoptic" / f"{name}.png").write_bytes(encode_png(ids).tobytes())
            row = {"image": f"rgb/{name}.png", "panoptic": f"panoptic/{name}.png", "segments": listed}
            panoptic.append(json.dumps(row))
            for expression in expressions(scene, random.Random(scene_seed), MAX_PER_TYPE):
                lines.append(json.dumps(_line(name, scene, expression)))
    for file, rows in (("index.jsonl", lines), ("panoptic.jsonl", panoptic)):
        (out / file).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(lines)


def segments(scene: Scene | StoredScene) -> tuple[npt.NDArray[np.uint16], list[dict[str, Any]]]:
    """Panoptic truth: ids (H, W), 0 where nothing is, and {"id", "name", "stuff"} of each visible segment.

    An object's id is its number plus 1 and its name the noun; table, wall and floor come after the objects.
    Raises ValueError for a scene that was stored without them.
    """
    if scene.stuff_ids is None:
        raise ValueError("this scene holds no table, wall and floor: generate the scenes again")
    nouns = [o["noun"] if isinstance(o, dict) else o.noun for o in scene.objects]
    stuff = np.where(scene.stuff_ids >= 0, scene.stuff_ids + len(nouns) + 1, 0)
    ids = np.where(scene.instance_ids >= 0, scene.instance_ids + 1, stuff).astype(np.uint16)
    listed = [
        {"id": number, "name": name, "stuff": number > len(nouns)}
        for number, name in enumerate((*nouns, *STUFF), 1)
        if np.any(ids == number)
    ]
    return ids, listed


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


if __name__ == "__main__":
    import sys

    generate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
