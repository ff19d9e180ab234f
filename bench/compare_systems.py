"""The systems beside one another: trains what is missing, one run after another on one core, evaluates, compares.

    python bench/compare_systems.py train --only compact_vlm,compact_vlm_boxes  # what others start from ...
    python bench/compare_systems.py ship                                        # ... put where they look for it
    python bench/compare_systems.py train --only gsva,lisa_like          # names of runs; without --only all of them
    python bench/compare_systems.py evaluate --test scenes/test          # every finished run, each once
    python bench/compare_systems.py report --test scenes/test            # times, three tables, a page and a sheet

Every step can be stopped and started again: a run resumes from its checkpoint, a finished one is left alone, and an
evaluation is made again only where weights, card or dataset have changed. Evaluations of one run with several
processes are not foreseen; different runs may go side by side. Times are CPU time of one thread, all models in turns.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from refseg_ros import models
from refseg_ros.core.instruction import Phrase
from refseg_ros.core.report import write_json
from refseg_ros.data.dataset import Sample, read_dataset
from refseg_ros.evaluation.comparison import (
    Entry,
    SideBySide,
    ablation_table,
    kinds_table,
    main_table,
    markdown,
    write_page,
    write_sheet,
)
from refseg_ros.evaluation.evaluate import evaluate
from refseg_ros.evaluation.speed import unheard
from refseg_ros.evaluation.system_words import word_list_model
from refseg_ros.evaluation.word_lists import evaluate_word_lists, read_panoptic
from refseg_ros.training.systems.config import read_config, variants_of
from refseg_ros.training.systems.starting import SHIPPED_START, halved

CONFIGS = Path("config/training/systems")
FIRST = ("compact_vlm", "compact_vlm_boxes")  # what the others start from, and no systems themselves
MAIN = ("box_decoder", "lisa_like", "qwen3vl_seg", "gsva", "mllmseg", "mvp_lm")
REFERENCE = "compact"  # the default model: evaluated, not trained here
SHOWN, KINDS = MAIN[2:], ("name", "pair", "half-absent", "absent-oov", "relation", "all-of")  # on the sheet
OUT = Path("out/comparison")
app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Run:
    """One training. of: the run that this is a variant of."""

    name: str
    file: Path
    variant: str = ""
    of: str = ""

    @property
    def weights(self) -> Path:
        """Where its weights are once it is finished."""
        config = read_config(self.file, self.variant)
        return config.work / f"{config.model}.safetensors"


def runs() -> dict[str, Run]:
    """All of them, in the order in which they are trained."""
    out = [Run(name, CONFIGS / f"{name}.yaml") for name in FIRST]
    files = {name: CONFIGS / f"{name}_compact.yaml" for name in MAIN}
    out += [Run(name, file) for name, file in files.items()]
    out += [Run(f"{name}-{v}", file, v, name) for name, file in files.items() for v in variants_of(file)]
    return {run.name: run for run in out}


def chosen(only: str) -> list[Run]:
    """The runs of a list of names. Raises typer.BadParameter for a wrong one."""
    known = runs()
    names = [n.strip() for n in only.split(",") if n.strip()] or list(known)
    wrong = [n for n in names if n not in known]
    if wrong:
        raise typer.BadParameter(f"there is no run {wrong[0]}; there are {', '.join(known)}")
    return [known[n] for n in names]


Only = Annotated[str, typer.Option(help="Names of runs, separated by commas; without it all of them.")]
Test = Annotated[Path, typer.Option(help="Dataset folder in the contract's form.")]
Limit = Annotated[int, typer.Option(min=0, help="Only the first so many instructions; 0: all.")]


@app.command()
def train(only: Only = "") -> None:
    """Train the runs one after another, each in a process of its own."""
    for run in chosen(only):
        print(f"== {run.name}", flush=True)
        told = ["--config", str(run.file), *(["--variant", run.variant] if run.variant else [])]
        code = subprocess.run(
            [sys.executable, "-m", "refseg_ros.training.systems", *told], env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        ).returncode  # fmt: skip
        if code:
            raise typer.Exit(code)


@app.command()
def ship() -> None:
    """Write what the systems start from, in half precision, to where the package has it."""
    halved(runs()[FIRST[-1]].weights, SHIPPED_START / f"{FIRST[0]}.safetensors")


@app.command("evaluate")
def evaluate_runs(test: Test, only: Only = "", limit: Limit = 0, out: Path = OUT) -> None:
    """Evaluate every finished run, and the default model (`compact`); write one JSON each."""
    import torch

    torch.set_num_threads(1)
    samples = read_dataset(test)[: limit or None]
    shown = SideBySide(samples)
    names = [n.strip() for n in only.split(",") if n.strip()]
    trained = [n for n in names if n != REFERENCE]
    found = chosen(",".join(trained)) if trained or not names else []
    wanted: list[Run | None] = [r for r in found if r.name not in FIRST]
    if not names or REFERENCE in names:
        wanted.append(None)
    for run in wanted:
        name = run.name if run else REFERENCE
        if run is not None and not run.weights.is_file():
            print(f"== {name}: not trained yet", flush=True)
            continue
        state = _state(run, test, len(samples))
        file = out / f"{name}.json"
        if file.is_file() and json.loads(file.read_text())["state"] == state:
            print(f"== {name}: already evaluated", flush=True)
            continue
        write_json(file, _evaluated(run, name, samples, test, limit, shown) | {"state": state})


def _state(run: Run | None, test: Path, count: int) -> str:
    """What an evaluation rests on, as one hash."""
    card = run.weights.with_suffix(".json").read_bytes() if run else b""
    return hashlib.sha256(card + (test / "index.jsonl").read_bytes() + str(count).encode()).hexdigest()


def _evaluated(
    run: Run | None, name: str, samples: list[Sample], test: Path, limit: int, shown: SideBySide
) -> dict[str, Any]:
    pictures: dict[int, dict[str, Any]] = {}
    segmenter = _loaded(run)
    asked = track(samples, description=f"{name}: {len(samples)} instructions")
    report = evaluate(segmenter.model, asked, watch=shown.watcher(pictures)).report()
    words = word_list_model(segmenter.model)
    if words is not None and (test / "panoptic.jsonl").is_file():
        report["word_lists"] = evaluate_word_lists(words, read_panoptic(test)[: limit or None])
    card = json.loads(_weights(run).with_suffix(".json").read_text())
    segmenter.close()
    return {"report": report, "pictures": pictures, "parameters": card.get("parameters")}


def _weights(run: Run | None) -> Path:
    weights = run.weights if run else models.base.REGISTRY[REFERENCE].weights
    assert weights is not None
    return weights


def _loaded(run: Run | None) -> models.base.Segmenter:
    if run is None:
        return models.load(REFERENCE)
    return models.load(read_config(run.file, run.variant).model, weights=run.weights)


@app.command()
def report(test: Test, limit: Limit = 0, rounds: int = 12, out: Path = OUT) -> None:
    """Time the models in turns, then write table.md, kinds.md, ablations.md, index.html and side_by_side.jpg."""
    import torch

    torch.set_num_threads(1)
    samples = read_dataset(test)[: limit or None]
    known: dict[str, Run | None] = {n: r for n, r in runs().items() if n not in FIRST} | {REFERENCE: None}
    found = {n: json.loads((out / f"{n}.json").read_text()) for n in known if (out / f"{n}.json").is_file()}
    if not found:
        raise typer.BadParameter(f"{out} holds no evaluation; run evaluate first")
    ms = timed({n: known[n] for n in found if "-" not in n}, samples, rounds)
    entries = []
    for name, row in found.items():
        run = known[name]
        about = read_config(run.file, run.variant).about if run else ""
        entries.append(Entry(
            name=name, report=row["report"], parameters=row["parameters"], about=about, of=run.of if run else "",
            ms=ms.get(name, {}),
        ))  # fmt: skip
    tables = [
        ("Test set", main_table(entries)), ("gIoU by kind of instruction", kinds_table(entries)),
        ("Ablations", ablation_table(entries)),
    ]  # fmt: skip
    for name, (_, table) in zip(("table", "kinds", "ablations"), tables, strict=True):
        (out / f"{name}.md").write_text(markdown(table), encoding="utf-8")
    pictures = {n: {int(k): v for k, v in row["pictures"].items()} for n, row in found.items() if "-" not in n}
    curves = {
        n: base64.b64encode((r.weights.parent / "curve.png").read_bytes()).decode()
        for n, r in runs().items() if (r.weights.parent / "curve.png").is_file()
    }  # fmt: skip
    write_page(out / "index.html", tables, SideBySide(samples), pictures, curves)
    sheet = {n: p for n, p in pictures.items() if n in SHOWN}
    if sheet:
        write_sheet(out / "side_by_side.jpg", SideBySide(samples), sheet, KINDS)
    print("\n".join(markdown(table) for _, table in tables) + f"\nwrote {out}/index.html")


def timed(shown: dict[str, Run | None], samples: list[Sample], rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU milliseconds of a frame with its first phrase, and of a further phrase, all models in turns."""
    loaded = {name: _loaded(run).model for name, run in shown.items()}
    frames = [s.read_frame() for s in {s.image: s for s in samples}.values()][:rounds]
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in loaded}
    texts = unheard()
    for turn in track(range(rounds + 1), description="times, in turns"):
        first, further = Phrase(next(texts)), Phrase(next(texts))
        for name, model in loaded.items():
            began = time.process_time()
            encoded = model.encode(frames[turn % len(frames)])
            model.decode(encoded, [first])
            then = time.process_time()
            model.decode(encoded, [further])
            if turn:  # the first round warms up
                spent[name].append((1e3 * (then - began), 1e3 * (time.process_time() - then)))
    medians = {name: np.median(rows, 0) for name, rows in spent.items()}
    return {name: {"first": float(m[0]), "further": float(m[1])} for name, m in medians.items()}


if __name__ == "__main__":
    app()
