"""`python -m refseg_ros.training.systems --config FILE`: trains a system, or goes on where it stopped.

On several GPUs: `accelerate launch --num_processes N -m refseg_ros.training.systems --config FILE`; each holds the
whole model and sees pictures of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def main(
    config: Annotated[Path, typer.Option(help="YAML file, see config/training/systems")],
    variant: Annotated[str, typer.Option(help="One of the file's variants; without it the file as it is.")] = "",
) -> None:
    """Train every stage that is not finished, then write the weights file and its card."""
    from refseg_ros.training.runs import ConfigError, check_installed

    try:
        check_installed()
        from refseg_ros.training.systems.train import train

        train(config, variant)
    except ConfigError as error:
        print(str(error), file=sys.stderr)
        raise typer.Exit(64) from error


if __name__ == "__main__":
    typer.run(main)
