"""`refseg train --config FILE`: which model is trained, and how, from a YAML file that is checked before it starts.

Every trainer is named by the file's field `model` and takes the other fields; it resumes where it stopped.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from refseg_ros.training.config import TrainingConfig


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the field, the value and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """minutes: wall clock, what a checkpoint has spent included; 0 leaves the stage as it is."""

    minutes: float
    batch: int
    learning_rate: float

    def __post_init__(self) -> None:
        if self.minutes < 0 or self.batch < 1 or not 0 < self.learning_rate < 1:
            raise ConfigError(
                f"a stage needs minutes >= 0, batch >= 1 and learning_rate in (0, 1), not {self.minutes}, {self.batch} "
                f"and {self.learning_rate}"
            )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """scenes: folder with train/ and val/; work: caches, checkpoints and curves; target: the weights file, without it
    the model's own; stages: by name; most_scenes: of each split; workers: processes that prepare pictures, besides;
    start: weights of the model that training goes on from, without it from nothing."""

    scenes: Path
    work: Path
    stages: Mapping[str, StageConfig]
    target: Path | None = None
    threads: int = 2
    seed: int = 0
    most_scenes: int = 5000
    depth_dropout: float = 0.25
    workers: int = 0
    start: Path | None = None

    def __post_init__(self) -> None:
        if self.threads < 1 or self.most_scenes < 1:
            raise ConfigError(f"threads and most_scenes must be at least 1, not {self.threads} and {self.most_scenes}")
        if self.start is not None and not self.start.is_file():
            raise ConfigError(f"start: there is no weights file {self.start}.")
        for name, stage in self.stages.items():
            if not (stage.minutes or self.start or (self.work / f"{name}.pt").is_file()):
                raise ConfigError(
                    f"stages.{name}: 0 minutes leave a stage as it is; name weights under start, or give it minutes."
                )

    def stage(self, name: str) -> TrainingConfig:
        """What one stage is told. Raises ConfigError for scenes that are not there."""
        of_stage = self.stages[name]
        try:
            return TrainingConfig(
                self.scenes, self.work, minutes=of_stage.minutes, batch=of_stage.batch, seed=self.seed,
                learning_rate=of_stage.learning_rate, depth_dropout=self.depth_dropout, threads=self.threads,
                most_scenes=self.most_scenes, workers=self.workers, start=self.start,
            )  # fmt: skip
        except ValueError as error:
            raise ConfigError(str(error)) from error


@dataclass(frozen=True)
class Trainer:
    """stages: the names that a configuration has to have; run: trains and writes the weights; validation: the fewest
    scenes that scenes/val must hold for what comes at the end; starts: whether it can go on from given weights."""

    stages: tuple[str, ...]
    run: Callable[[RunConfig], None] = field(repr=False)
    validation: int = 1
    starts: bool = False


def _compact(config: RunConfig) -> None:
    from refseg_ros.models.compact import SHIPPED
    from refseg_ros.training import export, instances, language
    from refseg_ros.training.beside import together
    from refseg_ros.training.loop import processes

    config.work.mkdir(parents=True, exist_ok=True)
    together(config.threads, instances.run, config.stage("instances"), language.read, config.stage("reading"))
    language.run(config.stage("language"))
    if processes().is_main_process:
        export.run(config.stage("language"), config.target or SHIPPED)


def _single_mask(config: RunConfig) -> None:
    from refseg_ros.models.base import SINGLE_MASK_WEIGHTS
    from refseg_ros.training import single_mask

    single_mask.run(config.stage("masks"), config.target or SINGLE_MASK_WEIGHTS)


TRAINERS: Mapping[str, Trainer] = MappingProxyType(
    {
        # A false accept rate of 2 % can be promised from 49 images with an absent phrase on.
        "compact": Trainer(("instances", "reading", "language"), _compact, validation=60, starts=True),
        "single-mask": Trainer(("masks",), _single_mask),
    }
)


SYSTEMS = ("qwen3vl_seg", "gsva", "mllmseg", "mvp_lm", "lisa_like", "box_decoder")
"""Models whose files are read by refseg_ros.training.systems: they have stages of their own."""


def check_installed() -> None:
    """Raises ConfigError where what every training needs is not installed."""
    if importlib.util.find_spec("accelerate") is None:
        raise ConfigError("training needs accelerate: pip install -r requirements/train.txt")


def read_yaml(path: Path) -> dict[str, Any]:
    """The fields of a configuration file. Raises ConfigError."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); config/training/ holds examples.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold fields with values, beginning with model.")
    return content


def run_config(content: Mapping[str, Any], trainer: Trainer) -> RunConfig:
    """The checked configuration of a trainer of this file. Raises ConfigError naming the field."""
    values = dict(content)
    stages = values.pop("stages", None)
    if not isinstance(stages, Mapping) or set(stages) != set(trainer.stages):
        names = ", ".join(trainer.stages)
        raise ConfigError(f"stages must name {names}, each with minutes, batch and learning_rate, not {stages!r}.")
    built = {name: _build(StageConfig, fields_of, f"stages.{name}") for name, fields_of in stages.items()}
    return _build(RunConfig, values | {"stages": built}, "the configuration")


def _build(kind: type[Any], content: Any, where: str) -> Any:
    """A dataclass of a mapping, each value of its field's type."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where} must hold fields with values, not {content!r}.")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(str(k) for k in content if k not in known):
        raise ConfigError(f"{where} has no field {unknown[0]!r}; there are: {', '.join(known)}.")
    missing = [n for n, f in known.items() if n not in content and f.default is MISSING]
    if missing:
        raise ConfigError(f"{where} lacks the field {missing[0]!r}.")
    return kind(**{name: _typed(value, str(known[name].type), f"{where}: {name}") for name, value in content.items()})


def _typed(value: Any, kind: str, where: str) -> Any:
    if kind.startswith("Path") and isinstance(value, str):
        return Path(value)
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind.startswith("Mapping"):
        return value
    raise ConfigError(f"{where} must be of type {kind.split(' ')[0]}, not {value!r}.")


def run_file(path: Path) -> None:
    """Train what a file says. Raises ConfigError, before anything has started where it can be known."""
    content = read_yaml(path)
    name = content.pop("model", None)
    check_installed()
    if name in SYSTEMS:
        from refseg_ros.training.systems.train import train

        train(path)
        return
    if name not in TRAINERS:
        raise ConfigError(f"model must be one of {', '.join((*TRAINERS, *SYSTEMS))}, not {name!r}.")
    trainer = TRAINERS[name]
    config = run_config(content, trainer)
    if config.start is not None and not trainer.starts:
        raise ConfigError(f"start: {name} is always trained from nothing; leave the field out.")
    for stage in trainer.stages:
        config.stage(stage)
    for split, least in (("train", 1), ("val", trainer.validation)):
        count = sum(1 for _ in (config.scenes / split).glob("scene_*.npz"))
        if count < least:
            raise ConfigError(
                f"scenes: {config.scenes / split} holds {count} scene_*.npz, and {least} are needed; make them first."
            )

    import torch

    from refseg_ros.models.base import REGISTRY
    from refseg_ros.sim.stored import DamagedScene
    from refseg_ros.training.checks import check_run

    check_run(config, config.target or REGISTRY[name].weights or Path())
    torch.set_num_threads(config.threads)
    try:
        trainer.run(config)
    except DamagedScene as error:
        raise ConfigError(str(error)) from error
