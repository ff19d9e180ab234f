"""`python -m refseg_ros.training instances|language|export --scenes DIR --work DIR`; each stage resumes."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Stage(str, Enum):
    """In the order they are run."""

    instances = "instances"
    language = "language"
    export = "export"


def main(
    stage: Annotated[Stage, typer.Argument(help="what to do")],
    scenes: Annotated[Path, typer.Option(help="folder with train/ and val/ scenes")],
    work: Annotated[Path, typer.Option(help="caches, checkpoints and curves")],
    minutes: Annotated[float, typer.Option(help="wall clock of this stage")] = 12.0,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    batch: Annotated[int, typer.Option(help="scenes or phrases in a step")] = 12,
    learning_rate: Annotated[float, typer.Option(help="peak of the schedule")] = 1e-3,
) -> None:
    """Train one stage of the compact model, or write its weights file and card."""
    import torch

    from refseg_ros.training import export, features, instances, language
    from refseg_ros.training.config import TrainingConfig

    config = TrainingConfig(scenes, work, minutes=minutes, threads=threads, batch=batch, learning_rate=learning_rate)
    torch.set_num_threads(threads)
    train = features.cached(scenes / "train", work, config.most_scenes)
    val = features.cached(scenes / "val", work, config.most_scenes)
    if stage is Stage.instances:
        instances.run(config, train, val)
    elif stage is Stage.language:
        language.run(config, train, val)
    else:
        export.run(config, val)


if __name__ == "__main__":
    typer.run(main)
