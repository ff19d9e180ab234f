"""What a scene costs: rendering, expressions, sensor, files; one process, one run.

    python bench/scenes.py [--count 40]

CPU milliseconds a scene (the process's own time, software OpenGL's threads included) and wall time; on a machine with
other work compare the rows, not the figures of two runs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from refseg_ros.sim.engine import SceneEngine
from refseg_ros.sim.expressions import expressions
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import save_scene
from refseg_ros.sim.style import CALM, VARIED


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    count = parser.parse_args().count
    spent: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        spent.setdefault(name, []).append((time.process_time() - cpu, time.perf_counter() - wall))
        return result

    with SceneEngine() as engine, tempfile.TemporaryDirectory() as scratch:
        engine.scene(0)
        for seed in range(count):
            rng = np.random.default_rng(seed)
            sensor = SensorModel.drawn(rng)
            timed("scene, calm", lambda s=seed: engine.scene(s, (4, 12), style=CALM))
            scene = timed("scene, varied", lambda s=seed: engine.scene(s, (4, 12), style=VARIED, split="train"))
            assert isinstance(scene, Scene)
            drawn = engine.pool.renderer
            timed("  its colour pass", drawn.color)
            timed("  its pass of depth and identity", drawn.depth_and_geoms)
            timed("expressions, as read back", lambda s=scene: expressions(s, random.Random(s.seed), 40))
            timed("expressions", lambda s=scene: expressions(s, random.Random(s.seed), 40, heard=False))
            timed("file (PNG, expressions)", lambda s=scene: save_scene(Path(scratch) / "scene_0.npz", s))
            timed("sensor, colour", lambda s=scene, m=sensor, r=rng: m.color(s.rgb, r))
            timed("sensor, depth", lambda s=scene, m=sensor, r=rng: m.depth(s.depth, r))
    print(f"{'640 x 480, ms a scene':34}{'CPU':>8}{'wall':>8}")
    for name, times in spent.items():
        cpu, wall = 1000 * np.median(np.array(times), axis=0)
        print(f"{name:34}{cpu:8.1f}{wall:8.1f}")


if __name__ == "__main__":
    main()
