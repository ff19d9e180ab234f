"""What lasting ids add to an image of continuous mode, beside what lifting takes: `python bench/tracking.py`.

A camera swings around simulated tables with its noise on; every thing in view is an instance, with its true mask. Wall
and processor time of Tracker.update() and Lifter.lift() on the same images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from refseg_ros.core.report import write_json
from refseg_ros.sim.swing import swing

SIZES = ((640, 480), (1280, 720))


def figures(both: np.ndarray) -> dict[str, float]:
    """Of (wall, processor) milliseconds (N, 2)."""
    wall, processor = both.T
    return {
        "median": float(np.median(wall)), "p95": float(np.percentile(wall, 95)),
        "processor_median": float(np.median(processor)),
    }  # fmt: skip


def in_words(f: dict[str, float]) -> str:
    return f"{f['median']:.1f} ({f['p95']:.1f}); {f['processor_median']:.1f}"


def main(
    json: Annotated[Path, typer.Option(help="where the figures go")] = Path("out/bench/tracking.json"),
    seeds: Annotated[int, typer.Option(help="scenes a size")] = 3,
    frames: Annotated[int, typer.Option(help="images a scene")] = 40,
) -> None:
    """Run it, print the table, write the figures."""
    rows = []
    for size in SIZES:
        runs = [swing(seed, frames, missed=0.0, size=size) for seed in range(8, 8 + seeds)]
        track = np.concatenate([r.track_ms[1:] for r in runs])
        lift = np.concatenate([r.lift_ms[1:] for r in runs])
        rows.append(
            {
                "size": list(size),
                "instances": float(np.mean([np.mean(r.instances) for r in runs])),
                "track_ms": figures(track),
                "lift_ms": figures(lift),
                "ratio": float(np.median(track[:, 1] / lift[:, 1])),
                "switches": sum(r.switches for r in runs),
                "moved": sum(r.moved for r in runs),
                "camera_error_mm": 1e3 * max(r.camera_error_m for r in runs),
            }
        )
    table = Table(title="Lasting ids: milliseconds an image, median (95th percentile); processor time, ratio of that")
    for name in ("size", "instances", "tracking", "lifting", "ratio", "ids changed", "false moves", "camera error"):
        table.add_column(name)
    for r in rows:
        t, li = r["track_ms"], r["lift_ms"]
        table.add_row(
            "{} x {}".format(*r["size"]), f"{r['instances']:.1f}", in_words(t), in_words(li), f"{r['ratio']:.2f}",
            str(r["switches"]), str(r["moved"]),
            f"{r['camera_error_mm']:.0f} mm",
        )  # fmt: skip
    Console(width=120).print(table)
    write_json(json, rows)


if __name__ == "__main__":
    typer.run(main)
