"""`refseg train`: training from a configuration file, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refseg_ros.cli.exits import wrong


def command(config: Annotated[Path, typer.Option(help="YAML file; config/training/ holds one a model.")]) -> None:
    """Train a model, or go on where it stopped: caches, checkpoints and curves go to the file's `work`."""
    from refseg_ros.training.runs import ConfigError, run_file

    try:
        run_file(config)
    except ConfigError as error:
        raise wrong(str(error)) from error
    except OSError as error:
        raise wrong(f"{error.filename or config}: {error.strerror}; what is done stays in work.") from error
