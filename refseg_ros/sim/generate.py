"""Writes training files: raw renderings with truth, without sensor faults, which training adds each time anew.

    python -m refseg_ros.sim.generate FOLDER COUNT [SEED] [--size 640x480] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from refseg_ros.sim.card import Card
from refseg_ros.sim.splits import split_of
from refseg_ros.sim.stored import save_scene
from refseg_ros.sim.style import TRAINING, VARIED
from refseg_ros.sim.workers import rendered

if TYPE_CHECKING:  # as in sim.workers
    from refseg_ros.sim.engine import SceneEngine

OBJECTS = (4, 12)


def _generate_some(engine: SceneEngine, job: tuple[Path, list[int]]) -> int:
    from refseg_ros.sim.dye import dyed  # loads OpenGL, as the engine does

    out, seeds = job
    for seed in seeds:
        split = split_of(seed)
        scene = engine.scene(seed, count=OBJECTS, style=TRAINING if split == "train" else VARIED, split=split)
        if split != "test":
            scene = dyed(scene, np.random.default_rng((seed, 2)))
        save_scene(out / f"scene_{seed:07d}.npz", scene)
    return len(seeds)


def generate(
    out: Path, count: int, seed: int = 0, width: int = 320, height: int = 240, workers: int = 2, chunk: int = 20
) -> int:
    """Training files for seeds seed .. seed + count - 1; those already there are kept. Returns how many were made.

    The seed says the split too: validation scenes begin at splits.SPLIT_SEEDS["val"]. Writes the set's card. Raises as
    workers.rendered() does.
    """
    out.mkdir(parents=True, exist_ok=True)
    seeds = [s for s in range(seed, seed + count) if not (out / f"scene_{s:07d}.npz").exists()]
    jobs = [(out, seeds[i : i + chunk]) for i in range(0, len(seeds), chunk)]
    done = rendered(_generate_some, jobs, (width, height), workers, unknown=split_of(seed) == "train")
    made = sum(track(done, total=len(jobs), description=f"rendering {len(seeds)} scenes"))
    write_card(out, seed, (width, height))
    return made


def write_card(out: Path, first_seed: int, size: tuple[int, int]) -> None:
    """Count what a folder of training files holds."""
    card = Card({"split": split_of(first_seed), "first_seed": first_seed, "size": list(size)})
    for path in track(sorted(out.glob("scene_*.npz")), description="counting"):
        with np.load(path) as data:
            meta = json.loads(data["meta"].tobytes())
        card.add(meta["objects"], meta["expressions"])
    card.write(out)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0, help="of the first; 1000000 and on are validation")
    parser.add_argument("--size", type=_size, default="640x480")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.count < 1 or options.workers < 1:
        parser.error("count and --workers must be at least 1")
    width, height = options.size
    try:
        made = generate(options.folder, options.count, options.seed, width, height, options.workers)
    except RuntimeError as error:
        parser.exit(64, f"{error}\n")
    except OSError as error:
        parser.exit(64, f"{error.filename or options.folder}: {error.strerror}; check the path.\n")
    print(f"{made} scenes are new in {options.folder}")
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write width and height in pixels, as 640x480")
    return int(width), int(height)


if __name__ == "__main__":
    raise SystemExit(main())
