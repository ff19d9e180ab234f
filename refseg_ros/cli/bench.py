"""`refseg bench`: what a model costs on this machine, measured in one run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from refseg_ros.cli.exits import say, writing, wrong

MOST_PICTURES = 8


def command(
    json_file: Annotated[Path, typer.Option("--json", help="Write the figures here.")],
    model: Annotated[str, typer.Option(help="Model name; `refseg models` lists them.")] = "compact",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Weights file; without it the model's own.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 20,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: as many as there are cores.")] = 0,
    dataset: Annotated[Path | None, typer.Option(help="Pictures of a dataset instead of drawn shapes.")] = None,
) -> None:
    """Time encoding, first and further phrases at 640 x 480 and 1280 x 720; prints the table, writes the JSON."""
    from refseg_ros.core.files import read_rgb
    from refseg_ros.core.outcome import RequestError
    from refseg_ros.core.report import write_json
    from refseg_ros.data.dataset import DatasetError, read_dataset
    from refseg_ros.evaluation.speed import drawn_table, high_water_mb, measure

    before = high_water_mb()
    try:
        if dataset is None:
            pictures = [drawn_table()]
        else:
            images = list(dict.fromkeys(s.image for s in read_dataset(dataset)))[:MOST_PICTURES]
            pictures = [read_rgb(image) for image in images]
        import torch

        from refseg_ros import models

        torch.set_num_threads(threads or os.cpu_count() or 1)
        segmenter = models.load(model, device=device, weights=weights)
    except (DatasetError, RequestError) as error:
        raise wrong(getattr(error, "message", str(error))) from error
    loaded = high_water_mb()
    try:
        figures = measure(segmenter.model, pictures, rounds)
    finally:
        segmenter.close()
    memory = {"before_loading": before, "loaded": loaded, "high_water": high_water_mb()}
    if torch.cuda.is_available():
        memory["cuda_high_water"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    report: dict[str, Any] = {
        "model": model, "device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "rounds": rounds, "pictures": "drawn" if dataset is None else dataset.name, **figures, "memory_mb": memory,
    }  # fmt: skip
    _show(report)
    with writing("--json"):
        write_json(json_file, report)
    say(f"wrote {json_file}")


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report['model']} on {report['device']}, {report['threads']} threads: ms, median (95 %)")
    table.add_column("size")
    names = list(next(iter(report["sizes"].values())))
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for size, times in report["sizes"].items():
        table.add_row(size, *(f"{times[n]['median']:.1f} ({times[n]['p95']:.1f})" for n in names))
    console = Console(width=120)
    console.print(table)
    console.print("ratios: " + ", ".join(f"{k.replace('_', ' ')} {v:.2f}" for k, v in report["ratios"].items()))
    console.print("memory, MB: " + ", ".join(f"{k.replace('_', ' ')} {v:.0f}" for k, v in report["memory_mb"].items()))
