"""`refseg eval`: the evaluation protocol on a dataset folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from refseg_ros.cli.exits import say, wrong
from refseg_ros.cli.preflight import check_file, check_models

WORD_LISTS = ("mvp_lm",)
"""Models that answer word lists: they are asked those of panoptic.jsonl too, where the dataset has one."""


def word_lists(model: Any, dataset: Path, limit: int) -> dict[str, Any]:
    """PQ and mask AP over the dataset's whole vocabulary. limit: only the first so many pictures; 0: all."""
    from refseg_ros.evaluation.system_words import word_list_model
    from refseg_ros.evaluation.word_lists import evaluate_word_lists, read_panoptic

    asked = word_list_model(model)
    assert asked is not None
    return evaluate_word_lists(asked, read_panoptic(dataset)[: limit or None])


def command(
    dataset: Annotated[Path, typer.Option(help="Folder with index.jsonl, as `refseg scenes` writes it.")],
    json_file: Annotated[Path, typer.Option("--json", help="Write the figures here.")],
    model: Annotated[str, typer.Option(help="Model name; `refseg models` lists them.")] = "compact",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Weights file; without it the model's own.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many samples; 0: all.")] = 0,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave out the instructions that hold this word; can be repeated.")
    ] = None,
    min_pixels: Annotated[int, typer.Option(min=0, help="Smaller masks count as nothing (GRES: 50).")] = 0,
    page: Annotated[Path | None, typer.Option(help="Write a page of figures, successes and failures here.")] = None,
    baseline: Annotated[list[str] | None, typer.Option(help="One more model for the table; can be repeated.")] = None,
) -> None:
    """Answer every instruction of a dataset and score the answers; prints the table, writes the JSON."""
    from rich.progress import track

    from refseg_ros.core.outcome import RequestError
    from refseg_ros.core.report import write_json
    from refseg_ros.data.dataset import DatasetError, read_dataset
    from refseg_ros.evaluation.evaluate import Evaluation, evaluate
    from refseg_ros.evaluation.gallery import Gallery
    from refseg_ros.evaluation.table import cell, print_report

    names = list(dict.fromkeys((model, *(baseline or ()))))
    gallery = Gallery()
    results: dict[str, Evaluation] = {}
    figures: dict[str, dict[str, Any]] = {}

    def report() -> dict[str, Any]:
        """Of what is done so far."""
        head: dict[str, Any] = {"dataset": dataset.name, "model": model, "device": device, "cores": os.cpu_count()}
        if without:
            head["without"] = without
        others = {name: found for name, found in figures.items() if name != model}
        return head | figures[model] | ({"baselines": others} if others else {})

    def write() -> None:
        write_json(json_file, report())
        if page is not None:
            from refseg_ros.evaluation.page import write_page

            write_page(page, report(), gallery, results[model].everything.beliefs())

    try:
        avoided = list(without or ())
        said = [re.compile(rf"\b{re.escape(word)}(?:e?s)?\b", re.IGNORECASE) for word in avoided]
        every = [s for s in read_dataset(dataset) if not any(word.search(s.instruction) for word in said)]
        samples = every[: limit or None]
        if not samples:
            raise DatasetError(f"No instruction of {dataset} is without {', '.join(avoided)}; leave out fewer.")
        check_models(names, device, weights)
        for file in (json_file, *([page] if page else [])):
            check_file(file)
        from refseg_ros import models  # torch loads only when there is something to evaluate

        for name in names:
            own = name == model
            segmenter = models.load(name, device=device, weights=weights if own else None)
            result = results[name] = Evaluation(min_pixels)
            try:
                asked = track(samples, description=f"{name}: {len(samples)} instructions")
                evaluate(segmenter.model, asked, watch=gallery if own and page else None, into=result)
                figures[name] = result.report()
                if (dataset / "panoptic.jsonl").is_file() and name in WORD_LISTS:
                    figures[name]["word_lists"] = word_lists(segmenter.model, dataset, limit)
            except (DatasetError, KeyboardInterrupt) as error:  # what is answered is answered
                if result.everything.scores:
                    figures[name] = result.report() | {"stopped": str(error) or "interrupted"}
                raise
            finally:
                segmenter.close()
                if figures:
                    write()
    except (DatasetError, RequestError) as error:
        kept = f" {json_file} holds what was answered before." if figures else ""
        raise wrong(getattr(error, "message", str(error)) + kept) from error
    except OSError as error:
        if figures:
            print_report(report())
        raise wrong(f"{error.filename or json_file} cannot be written: {error.strerror}.") from error
    print_report(report())
    for name, found in figures.items():
        if words := found.get("word_lists"):
            stuff = cell(words["PQ_stuff"])
            say(f"{name}, word lists: PQ {cell(words['PQ'])} (stuff {stuff}), mask AP {cell(words['AP'])}")
    for file in (json_file, *([page] if page else [])):
        say(f"wrote {file}")
