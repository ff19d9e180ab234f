"""`refseg scenes`: rendered scenes with truth, in the dataset form of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refseg_ros.cli.exits import say, writing, wrong

SPLITS = ("train", "val", "test")  # sim's, which loads slowly


def command(
    out: Annotated[Path, typer.Option(help="Folder for the dataset; made if need be.")],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many scenes; more come from another seed.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scenes.")] = 0,
    split: Annotated[str, typer.Option(help="train, val or test: their scenes never meet.")] = "train",
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
) -> None:
    """Render scenes with instructions and truth: images, depth, masks and index.jsonl."""
    if split not in SPLITS:
        raise wrong(f"--split must be one of {', '.join(SPLITS)}, not {split}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise wrong(f"{error.filename}: {error.strerror}; check the path.") from error

    from refseg_ros.sim.dataset import write_dataset  # the renderer loads only here

    try:
        with writing():
            lines = write_dataset(out, count, seed=seed, split=split, workers=workers)
    except ValueError as error:
        raise wrong(f"{error}.") from error
    except RuntimeError as error:  # assets or a renderer that is missing, in a sentence
        raise wrong(str(error)) from error
    say(f"wrote {count} scenes with {lines} instructions to {out}")
