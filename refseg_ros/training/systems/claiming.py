"""A work folder belongs to one run: what shapes its model and its state is written there, and another is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refseg_ros.training.runs import ConfigError
from refseg_ros.training.systems.config import SystemTrainingConfig

FILE = "run.json"


def check_work(config: SystemTrainingConfig) -> None:
    """Raises ConfigError where the work folder holds what another configuration has trained."""
    told = _shaping(config)
    other = [name for name, value in _written(config.work).items() if name in told and told[name] != value]
    if other and _begun(config.work):
        was, now = (json.dumps(v[other[0]]) for v in (_written(config.work), told))
        raise ConfigError(
            f"work: {config.work} holds a run with another {other[0]} ({was}, not {now}); choose another work folder, "
            "or remove that one to begin anew"
        )


def claim(config: SystemTrainingConfig) -> None:
    """Write down whose the work folder is, beside stages that a file does not name any more."""
    config.work.mkdir(parents=True, exist_ok=True)
    known = _written(config.work) if _begun(config.work) else {}
    partial = config.work / f"{FILE}.partial"
    partial.write_text(json.dumps(known | _shaping(config), indent=1) + "\n", encoding="utf-8")
    partial.replace(config.work / FILE)


def _shaping(config: SystemTrainingConfig) -> dict[str, Any]:
    """By field. Steps, minutes, rates, data and the weights of losses may change while a run goes on."""
    start = None if config.start is None else [str(config.start.work), *sorted(config.start.parts)]
    shaping: dict[str, Any] = {
        "model": config.model, "scale": config.scale, "checkpoints": config.checkpoints, "start": start,
        "options": {name: value for name, value in config.options.items() if name != "weights"},
    }  # fmt: skip
    for stage in config.stages:
        lora = None if stage.lora is None else asdict(stage.lora)
        frozen = {"frozen": sorted(stage.frozen)} if stage.frozen else {}
        shaping[f"stages.{stage.name}"] = {"trained": sorted(stage.rates), "lora": lora, **frozen}
    return json.loads(json.dumps(shaping))  # type: ignore[no-any-return]


def _written(work: Path) -> dict[str, Any]:
    path = work / FILE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"work: {path} cannot be read ({error}); choose another work folder") from error


def _begun(work: Path) -> bool:
    """Whether anything has been trained there."""
    return any(work.glob("*.done")) or any(work.glob("state_*"))
