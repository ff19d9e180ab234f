"""`refseg robustness`: how a model's figures fall as pictures and instructions get worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refseg_ros.cli.exits import say, wrong
from refseg_ros.cli.preflight import check_folder, check_models


def command(
    dataset: Annotated[Path, typer.Option(help="Folder with index.jsonl, as `refseg scenes` writes it.")],
    out: Annotated[Path, typer.Option(help="Folder for robustness.json, curves.png and levels.png.")],
    model: Annotated[str, typer.Option(help="Model name; `refseg models` lists them.")] = "compact",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Weights file; without it the model's own.")] = None,
    images: Annotated[int, typer.Option(min=1, help="How many images of the dataset.")] = 24,
    per_image: Annotated[int, typer.Option(min=1, help="How many instructions about each.")] = 10,
) -> None:
    """Noise, blur, dark, JPEG, missing depth, typos, word order, paraphrases: a curve for each."""
    from refseg_ros.core.outcome import RequestError
    from refseg_ros.core.report import write_json
    from refseg_ros.data.dataset import DatasetError, read_dataset
    from refseg_ros.evaluation.robustness import choose, curves, draw_curves, draw_levels

    try:
        samples = choose(read_dataset(dataset), images, per_image)
        if not samples:
            raise DatasetError(f"{dataset} holds no instruction that is its phrases alone, whose words can be changed.")
        check_models([model], device, weights)
        check_folder(out)
        from refseg_ros import models  # torch loads only when there is something to evaluate

        segmenter = models.load(model, device=device, weights=weights)
        try:
            rows = curves(segmenter.model, samples)
        finally:
            segmenter.close()
    except (DatasetError, RequestError) as error:
        raise wrong(getattr(error, "message", str(error))) from error
    report = {"dataset": dataset.name, "model": model, "count": len(samples), "curves": rows}
    write_json(out / "robustness.json", report)
    draw_curves(rows, model, out / "curves.png")
    draw_levels(samples[0], out / "levels.png")
    for name, levels in rows.items():
        falls = ", ".join(f"{r['level']}: {r['gIoU']:.3f}" for r in levels)
        print(f"{name:12} gIoU at {falls}")
    say(f"wrote robustness.json, curves.png and levels.png to {out}")
