"""Run it: `python -m refseg_ros.pick --out out/pick --scenes 50`."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import rclpy
import typer
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console

from refseg_ros.demo.processes import Processes
from refseg_ros.nodes.dds import use_large_message_profile
from refseg_ros.pick.page import write_page
from refseg_ros.pick.picker import Picker
from refseg_ros.pick.scorer import Scorer
from refseg_ros.pick.tasks import Task, choose

FIRST_SEED = 2_920_000  # among those of the test split; chosen before any of these scenes had been played
ACCEPT = 0.75  # three to one: who acts needs to be surer than who answers
HELD_S = 1.0


def run(out: Path, scenes: int, model: str, seed: int, accept: float, every_word: bool) -> int:
    """Start cell and node, pick, score, write. The exit code: 0 when every scene was played."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    environment = {
        "ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID", str(random.SystemRandom().randrange(1, 100))),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    os.environ.update(environment)
    use_large_message_profile()
    rows: list[dict[str, Any]] = []
    with Processes(out, environment) as processes:
        cell = ["--ros-args", "-p", f"scene_seed:={seed}", "-p", f"pictures:={out / 'pictures'}"]
        processes.start("cell", "refseg_ros.pick.cell_node", cell)
        node = ["--ros-args", "-p", f"model:={model}", "-p", f"accept_threshold:={accept}"]
        processes.start("node", "refseg_ros.nodes.refseg_node", node)
        with rclpy.init():
            picker, scorer = Picker(), Scorer()
            executor = SingleThreadedExecutor()
            executor.add_node(picker)
            executor.add_node(scorer)

            def spin() -> None:
                executor.spin_once(timeout_sec=0.02)
                if (dead := processes.dead()) is not None:
                    raise TimeoutError(f"the {dead} process ended; {out}/{dead}.log says why")

            try:
                scorer.wait(lambda: picker.ready() and scorer.truth is not None, 240.0, spin, "cell and node")
                for number in range(scenes):
                    seed, task = _next_scene(scorer, number, seed, every_word, spin)
                    rows.append(_play(picker, scorer, task, seed, spin))
                    console.print(_line(number, rows[-1]))
                    seed += 1
            except TimeoutError as problem:
                console.print(f"[red]{problem}[/]")
    report = summary(rows) | {"model": model, "accept_threshold": accept, "every_word": every_word, "rows": rows}
    (out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    write_page(out / "index.html", report, out)
    console.print({k: v for k, v in report.items() if k != "rows"})
    console.print(f"Figures in {out}/report.json, pictures in {out}/index.html.")
    return 0 if len(rows) == scenes else 1


def _next_scene(scorer: Scorer, number: int, seed: int, every_word: bool, spin: Any) -> tuple[int, Task]:
    """The first scene from `seed` on that has a task for this number."""
    for candidate in range(seed, seed + 200):
        truth = scorer.show(candidate, spin)
        if (task := choose(truth, number, every_word)) is not None:
            scorer.settle(spin)
            return candidate, task
    raise TimeoutError(f"no scene from {seed} on has anything of the kind that is wanted")


def _play(picker: Picker, scorer: Scorer, task: Task, seed: int, spin: Any) -> dict[str, Any]:
    began = time.monotonic()
    attempt = picker.pick(task.instruction, spin)
    held = {o for o, seconds in scorer.held.items() if seconds >= HELD_S} if attempt.picked else set()
    right = task.target is not None and task.target in held and held - {task.target} <= task.along
    assert scorer.truth is not None
    names = {o["id"]: o["noun"] for o in scorer.truth["objects"]}
    return {
        "seed": seed,
        "kind": task.kind,
        "instruction": task.instruction,
        "target": None if task.target is None else names[task.target],
        "outcomes": list(attempt.outcomes),
        "beliefs": list(attempt.beliefs),
        "picked": attempt.picked,
        "code": attempt.code,
        "reason": attempt.reason,
        "held": [names[o] for o in sorted(held)],
        "right": right if task.kind == "pick" else not attempt.picked,
        "width_mm": None if attempt.grasp is None else round(1e3 * attempt.grasp.width, 1),
        "seconds": round(time.monotonic() - began, 2),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the report. found: the node said FOUND on every image, and the thing was there to be picked."""
    picks = [r for r in rows if r["kind"] == "pick"]
    refusals = [r for r in rows if r["kind"] != "pick"]
    found = [r for r in picks if r["outcomes"] and set(r["outcomes"]) == {"FOUND"}]
    return {
        "scenes": len(rows),
        "found": len(found),
        "picked_right": sum(r["picked"] and r["right"] for r in found),
        "refused_right": sum(not r["picked"] for r in refusals),
        "picked_when_it_should_not": sum(r["picked"] for r in refusals),
        "picked_although_refused_by_the_node": sum(
            r["picked"] for r in rows if any(o != "FOUND" for o in r["outcomes"])
        ),
        "asked_to_pick": len(picks),
        "asked_for_what_is_absent_or_ambiguous": len(refusals),
        "not_picked_although_found": dict(Counter(r["code"] for r in found if not r["picked"])),
        "picked_wrong_or_dropped": sum(r["picked"] and not r["right"] for r in found),
        "refused_although_there": dict(Counter(r["code"] for r in picks if r not in found)),
    }


def _line(number: int, row: dict[str, Any]) -> str:
    mark = "[green]right[/]" if row["right"] else "[red]wrong[/]"
    did = f"holds {', '.join(row['held']) or 'nothing'}" if row["picked"] else f"refused: {row['code']} {row['reason']}"
    return f"{number + 1:3d}. {row['kind']:9s} {row['instruction']}: {did} ({row['seconds']:.0f} s) {mark}"


def main(
    out: Annotated[Path, typer.Option(help="folder for report and pictures; emptied first")] = Path("out/pick"),
    scenes: Annotated[int, typer.Option(help="how many")] = 50,
    model: Annotated[str, typer.Option(help="model name")] = "compact",
    seed: Annotated[int, typer.Option(help="first scene that is tried")] = FIRST_SEED,
    accept: Annotated[float, typer.Option(help="the node's accept_threshold; negative: the model's own")] = ACCEPT,
    every_word: Annotated[bool, typer.Option(help="instructions with materials, sizes and patterns as well")] = False,
) -> None:
    """A simulated gripper picks what instructions name, over ROS 2, and refuses what is absent or ambiguous."""
    sys.exit(run(out, scenes, model, seed, accept, every_word))


if __name__ == "__main__":
    typer.run(main)
