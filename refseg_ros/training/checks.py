"""What a run of hours would otherwise fail on in its last minute, found before it starts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from refseg_ros.core.outcome import RequestError
from refseg_ros.training.kept import load, of_start
from refseg_ros.training.runs import ConfigError, RunConfig


def check_run(config: RunConfig, target: Path) -> None:
    """Nothing is made or changed. target: the weights file that will be written. Raises ConfigError for folders that
    cannot be written to, weights under start that cannot be begun with and checkpoints that cannot be gone on with."""
    _writable(config.work, "work")
    _writable(target.parent, "target")
    if target.is_dir():
        raise ConfigError(f"target: {target} is a folder; name a weights file in it.")
    for name in config.stages:
        if (checkpoint := config.work / f"{name}.pt").exists():
            state = load(checkpoint)
            if isinstance(state, dict) and state.get("start", of_start(config.start)) != of_start(config.start):
                raise ConfigError(
                    f"start: {checkpoint} was begun from something else; choose another work, or delete it."
                )
    if config.start is not None:
        from refseg_ros.training.starting import starting_heads

        try:
            starting_heads(config.stage(next(iter(config.stages))))
        except RequestError as error:
            raise ConfigError(f"start: {error.message}") from error


def _writable(folder: Path, field: str) -> None:
    """Whether a folder is there that can be written to, or can be made."""
    try:
        place = next(p for p in (folder, *folder.parents) if p.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        message = f"{field}: {folder} cannot be written to ({error.strerror}); choose another place."
        raise ConfigError(message) from error
