"""What a training run of a system is told: read from a YAML file, checked on creation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from refseg_ros.models.systems.parts import PARTS
from refseg_ros.training.runs import SYSTEMS, ConfigError, read_yaml
from refseg_ros.training.systems.mixture import TASKS, MixtureConfig

SCALES = ("compact", "full")
SHIPPED = "shipped"  # as a start's work: the weights that come with the package


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters in the language model, merged into it when the stage ends."""

    rank: int
    alpha: int
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise ConfigError("lora needs rank >= 1, alpha >= 1, dropout in [0, 1) and at least one of targets")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """steps: of the optimizer; minutes: of processor time, each process's (0: steps alone), so that a busy machine
    trains as much, and the stage ends with whichever are spent first; rates: learning rate of each part that is
    trained (PARTS); frozen: names of parameters in those parts that stay as they are; schedule: "cosine", "linear"
    or "constant" after warm_up steps; pictures, conversations: pictures of one process in a batch and conversations
    about each; accumulate: batches in a step; clip: of the gradient's norm; teach: "answers"; "words", see
    aligning.WordAlignment; "masks", see drawing.MaskDrawing; text: "choices" or "all", see step.Step; looking:
    weight of where words look (CompactVLM); head_losses False: the text alone teaches; mixture: None for the run's;
    in a file, what differs."""

    name: str
    steps: int
    rates: Mapping[str, float]
    frozen: tuple[str, ...] = ()
    minutes: float = 0.0
    lora: LoraConfig | None = None
    schedule: str = "cosine"
    warm_up: int = 100
    pictures: int = 4
    conversations: int = 4
    accumulate: int = 1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    text: str = "choices"
    text_weight: float = 1.0
    looking: float = 1.0
    head_losses: bool = True
    gradient_checkpointing: bool = False
    teach: str = "answers"
    mixture: MixtureConfig | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "pictures", "conversations", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigError(f"stage {self.name}: {name} must be at least 1, not {getattr(self, name)}")
        if self.minutes < 0:
            raise ConfigError(f"stage {self.name}: minutes must be at least 0, not {self.minutes}")
        words = [f"{p}: {r!r}" for p, r in self.rates.items() if type(r) not in (int, float)]
        if words:
            raise ConfigError(f"stage {self.name}: rates.{words[0]} is no number; YAML reads 1.0e-5, not 1e-5")
        wrong = [p for p in self.rates if p not in PARTS]
        if wrong or not self.rates or min(self.rates.values()) <= 0:
            raise ConfigError(f"stage {self.name}: rates are positive, of {', '.join(PARTS)}, not {dict(self.rates)}")
        if not isinstance(self.frozen, tuple) or not all(isinstance(name, str) for name in self.frozen):
            raise ConfigError(f"stage {self.name}: frozen must be a list of parameters' names, not {self.frozen!r}")
        if self.schedule not in ("cosine", "linear", "constant"):
            raise ConfigError(f"stage {self.name}: schedule must be cosine, linear or constant, not {self.schedule!r}")
        if self.text not in ("choices", "all"):
            raise ConfigError(f"stage {self.name}: text must be choices or all, not {self.text!r}")
        if self.teach not in ("answers", "words", "masks"):
            raise ConfigError(f"stage {self.name}: teach must be answers, words or masks, not {self.teach!r}")
        if self.gradient_checkpointing and self.conversations != 1:
            raise ConfigError(f"stage {self.name}: gradient_checkpointing needs conversations: 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """One source of pictures. scenes: a folder of rendered training files, or dataset: one in the contract's form;

    most: pictures of it that are used; weight: how often it is drawn beside the other sources; tasks: what it is asked,
    of mixture.TASKS.
    """

    scenes: Path | None = None
    dataset: Path | None = None
    most: int = 1_000_000
    weight: float = 1.0
    tasks: tuple[str, ...] = TASKS

    def __post_init__(self) -> None:
        if (self.scenes is None) == (self.dataset is None):
            raise ConfigError("a source of data needs either scenes or dataset")
        if self.most < 1 or self.weight <= 0:
            raise ConfigError("data.most must be at least 1 and data.weight above 0")
        if not self.tasks or not isinstance(self.tasks, tuple) or not set(self.tasks) <= set(TASKS):
            raise ConfigError(f"data.tasks must be a list of some of {', '.join(TASKS)}, not {self.tasks!r}")


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """A finished run that this one starts from. work: its folder, or `shipped`: what comes with the package, at compact
    scale; parts: which of its weights are taken (PARTS). The language model's parts must be there whole; of the head,
    what has the same name and shape there."""

    work: Path
    parts: tuple[str, ...] = ("language", "words", "connector")

    def __post_init__(self) -> None:
        wrong = [p for p in self.parts if p not in PARTS]
        if wrong or not self.parts:
            raise ConfigError(f"start.parts must be of {', '.join(PARTS)}, not {self.parts}")


@dataclass(frozen=True, kw_only=True)
class SystemTrainingConfig:
    """model: one of SYSTEMS; scale: "compact" (CompactVLM) or "full" (transformers' models, from `checkpoints`).

    options: of the system (its switches and its head's fields); checkpoints: for the full scale, a folder or a hub name
    for each model it is built of; start: another run whose weights are taken over; work: caches, checkpoints, curves;
    about: what a variant changes, for tables; precision: "no", "bf16" or "fp16"; report: seconds
    between checkpoints; features: where vision features of scenes are kept, for several runs (work by default);
    validation_pictures: pictures of the validation source that are looked at for each report; calibration_pictures: on
    which thresholds are fitted in the end, with free-running answers; 0 leaves them at one half.
    """

    model: str
    work: Path
    train: tuple[DataConfig, ...]
    validation: DataConfig
    stages: tuple[StageConfig, ...]
    scale: str = "compact"
    options: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Mapping[str, Any] = field(default_factory=dict)
    start: StartConfig | None = None
    about: str = ""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    seed: int = 0
    threads: int = 2
    precision: str = "no"
    report: float = 120.0
    features: Path | None = None
    validation_pictures: int = 32
    calibration_pictures: int = 0

    def __post_init__(self) -> None:
        if self.model not in SYSTEMS:
            raise ConfigError(f"model must be one of {', '.join(SYSTEMS)}, not {self.model!r}")
        if self.scale not in SCALES:
            raise ConfigError(f"scale must be compact or full, not {self.scale!r}")
        if not self.train or not self.stages:
            raise ConfigError("train and stages must have at least one entry each")
        if len({s.name for s in self.stages}) != len(self.stages):
            raise ConfigError("the stages must have names of their own")
        if self.precision not in ("no", "bf16", "fp16"):
            raise ConfigError(f"precision must be no, bf16 or fp16, not {self.precision!r}")
        if self.calibration_pictures < 0:
            raise ConfigError(f"calibration_pictures must be at least 0, not {self.calibration_pictures}")
        if self.threads < 1 or self.report <= 0 or self.validation_pictures < 1:
            raise ConfigError("threads and validation_pictures must be at least 1, report above 0")


def read_config(path: Path, variant: str = "") -> SystemTrainingConfig:
    """A YAML file as a configuration. Raises ConfigError naming the field; paths are relative to the working folder.

    variant: one of the file's `variants`: fields that are laid over the file's own (mappings are merged, all else is
    replaced). Its work folder is the file's with the variant's name behind it. `variant_minutes`, where a file has it,
    are the minutes of each stage of a variant.
    """
    content = read_yaml(path)
    variants = _mapping(content.pop("variants", None) or {}, "variants")
    minutes = content.pop("variant_minutes", None)
    if variant:
        if variant not in variants:
            raise ConfigError(f"{path} has no variant {variant!r}; it has {', '.join(variants) or 'none'}")
        content = _laid_over(content, _mapping(variants[variant], f"variant {variant}"))
        content["work"] = f"{content.get('work')}-{variant}"
        if minutes is not None:
            content["stages"] = [_mapping(s, "stages") | {"minutes": minutes} for s in content.get("stages") or ()]
    content["train"] = tuple(_data(row) for row in content.get("train") or ())
    mixture = _mapping(content.get("mixture") or {}, "mixture")
    content["stages"] = tuple(_stage(row, mixture) for row in content.get("stages") or ())
    if "validation" in content:
        content["validation"] = _data(content["validation"])
    if "mixture" in content:
        content["mixture"] = _made(MixtureConfig, content["mixture"], "mixture")
    if content.get("start") is not None:
        start = dict(_mapping(content["start"], "start"))
        if "parts" in start:
            start["parts"] = tuple(start["parts"])
        if "work" in start:
            start["work"] = Path(start["work"])
        content["start"] = _made(StartConfig, start, "start")
    for name in ("work", "features"):
        if content.get(name):
            content[name] = Path(content[name])
    return _made(SystemTrainingConfig, content, "the file")


def variants_of(path: Path) -> tuple[str, ...]:
    """The names of a file's variants. Raises ConfigError."""
    return tuple(_mapping(read_yaml(path).get("variants") or {}, "variants"))


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = _laid_over(out[name], value) if both else value
    return out


_PLAIN = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}


def _data(row: Any) -> DataConfig:
    values = dict(_mapping(row, "data"))
    values |= {k: Path(values[k]) for k in ("scenes", "dataset") if values.get(k)}
    if isinstance(values.get("tasks"), list):
        values["tasks"] = tuple(values["tasks"])
    return _made(DataConfig, values, "data")


def _stage(row: Any, mixture: Mapping[str, Any]) -> StageConfig:
    values = dict(_mapping(row, "stages"))
    if "mixture" in values:
        own = _mapping(values["mixture"], "stages.mixture")
        values["mixture"] = _made(MixtureConfig, {**mixture, **own}, "stages.mixture")
    if isinstance(values.get("lora"), dict):
        lora = dict(values["lora"])
        if "targets" in lora:
            lora["targets"] = tuple(lora["targets"])
        values["lora"] = _made(LoraConfig, lora, "lora")
    for name in ("betas", "frozen"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    return _made(StageConfig, values, f"stage {values.get('name', '?')}")


def _mapping(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ConfigError(f"{where} must hold fields with values, not {row!r}")
    return row


def _made(kind: type[Any], values: Any, where: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(_mapping(values, where)) - set(known))
    if unknown:
        raise ConfigError(f"{where} has no field {unknown[0]!r}; it has {', '.join(known)}")
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in values]
    if missing:
        raise ConfigError(f"{where} needs the field {missing[0]!r}")
    for name, value in values.items():
        wanted = _PLAIN.get(str(known[name].type))
        if wanted and type(value) not in wanted:
            raise ConfigError(f"{where}: {name} must be of type {known[name].type}, not {value!r}")
    try:
        return kind(**values)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error
