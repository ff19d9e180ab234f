"""Writes scenes: files for training (raw renderings) and datasets in the common form (sensor faults included)."""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from refseg_ros.sim.engine import Scene, SceneEngine
from refseg_ros.sim.expressions import Expression, expressions
from refseg_ros.sim.pool import STUFF
from refseg_ros.sim.sensor import SensorModel

SPLIT_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
SPLIT_SIZE, SEED_SIZE = 1_000_000, 10_000
MAX_PER_TYPE = 2
MAX_STORED_PER_TYPE = 40


@dataclass(frozen=True, eq=False)
class StoredScene:
    """A scene read back: arrays as in Scene (stuff_ids None in older files), objects and expressions as dicts."""

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.int16]
    k: npt.NDArray[np.float64]
    objects: list[dict[str, Any]]
    expressions: list[dict[str, Any]]
    stuff_ids: npt.NDArray[np.int8] | None = None


def encode_png(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A PNG file as bytes; colour images are RGB."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    ok, data = cv2.imencode(".png", bgr)
    if not ok:
        raise ValueError(f"cannot encode a {image.dtype} {image.shape} image as PNG")
    return data.ravel()


def as_dict(expression: Expression) -> dict[str, Any]:
    """JSON form: targets as sorted lists."""
    return asdict(expression) | {"targets": [sorted(t) for t in expression.targets]}


def save_scene(path: Path, scene: Scene) -> None:
    """Write one training file, whole or not at all."""
    said = choose(scene, np.random.default_rng(scene.seed), MAX_STORED_PER_TYPE)
    meta = {"objects": [asdict(o) for o in scene.objects], "expressions": [as_dict(e) for e in said]}
    buffer = io.BytesIO()
    stuff: dict[str, Any] = {}
    if scene.stuff_ids is not None:
        stuff["stuff"] = encode_png((scene.stuff_ids + 1).astype(np.uint8))
    np.savez(
        buffer,
        rgb=encode_png(scene.rgb),
        depth=encode_png(np.round(scene.depth * 1000).astype(np.uint16)),
        ids=encode_png((scene.instance_ids + 1).astype(np.uint8)),
        k=scene.k,
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        **stuff,
    )
    partial = path.with_suffix(".partial")
    partial.write_bytes(buffer.getvalue())
    partial.rename(path)


def load_scene(path: Path) -> StoredScene:
    """Read a file that save_scene() wrote."""
    with np.load(path) as data:
        meta = json.loads(data["meta"].tobytes())
        bgr = cv2.imdecode(data["rgb"], cv2.IMREAD_COLOR)
        depth = cv2.imdecode(data["depth"], cv2.IMREAD_UNCHANGED)
        ids = cv2.imdecode(data["ids"], cv2.IMREAD_UNCHANGED)
        stuff = cv2.imdecode(data["stuff"], cv2.IMREAD_UNCHANGED) if "stuff" in data else None
        k = data["k"]
    if bgr is None or depth is None or ids is None:
        raise ValueError(f"{path} is damaged: delete it and generate the scenes again")
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    metres = np.asarray(depth, np.float32) / np.float32(1000)
    stuff_ids = None if stuff is None else stuff.astype(np.int8) - np.int8(1)
    return StoredScene(rgb, metres, ids.astype(np.int16) - 1, k, meta["objects"], meta["expressions"], stuff_ids)


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


def choose(scene: Scene, rng: np.random.Generator, most: int = MAX_PER_TYPE) -> Iterator[Expression]:
    """At most `most` expressions of each type."""
    said = expressions(scene)
    for kind in sorted({e.type for e in said}):
        of_kind = [e for e in said if e.type == kind]
        for index in rng.permutation(len(of_kind))[:most]:
            yield of_kind[index]


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
            for expression in choose(scene, rng):
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
    return line | ({"expect": expression.expect} if expression.expect else {})


if __name__ == "__main__":
    import sys

    generate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
