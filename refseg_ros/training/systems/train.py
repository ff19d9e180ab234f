"""A training run from its file to its weights: builds what the file names, runs the stages, writes weights and card."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from refseg_ros.core.outcome import RequestError
from refseg_ros.data.dataset import DatasetError
from refseg_ros.models.backbones.compact_vlm import CompactVLM
from refseg_ros.models.systems.assemble import KINDS, assemble
from refseg_ros.models.systems.checkpoints import folder_of, hashes, pinned
from refseg_ros.models.systems.parts import part_of
from refseg_ros.models.systems.system import System
from refseg_ros.models.weights import save, sha256
from refseg_ros.training.loop import processes
from refseg_ros.training.runs import ConfigError
from refseg_ros.training.systems.batches import Batches, Source
from refseg_ros.training.systems.calibrating import fitted, judged, write_calibration
from refseg_ros.training.systems.claiming import check_work
from refseg_ros.training.systems.config import DataConfig, SystemTrainingConfig, read_config
from refseg_ros.training.systems.datasets import DatasetPictures
from refseg_ros.training.systems.facts import PictureSet
from refseg_ros.training.systems.loop import run
from refseg_ros.training.systems.scenes import RenderedScenes
from refseg_ros.training.systems.starting import take_over


def train(file: Path, variant: str = "") -> Path:
    """Train what a YAML file describes, or a variant of it; returns the weights file. Raises ConfigError, also for data
    and checkpoints."""
    config = read_config(file, variant)
    check_work(config)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    try:
        system = assemble(config.model, config.scale, config.options, config.checkpoints)
        if config.start is not None:
            take_over(system, config.start)
        sources = [Source(pictures(data, config, system), data.weight, data.tasks) for data in config.train]
        checked_on = pictures(config.validation, config, system)
    except (ValueError, DatasetError, RequestError) as error:
        raise ConfigError(str(error)) from error
    trained, checked = (Batches(system, s, config.mixture) for s in (sources, [Source(checked_on)]))
    precisions = {name: p.dtype for name, p in system.named_parameters()}
    together = processes()
    if together.is_main_process:
        for task in trained.lacking(config.stages):
            print(f"warning: no source under train has {task}, which the run would teach", file=sys.stderr)
    try:
        curve = run(config, system, trained, checked)
    except (DatasetError, RequestError) as error:
        raise ConfigError(f"{error} The same command then goes on from the last report.") from error
    together.wait_for_everyone()
    if together.is_main_process:
        export(config, system, curve)
        if config.calibration_pictures:
            calibrate(config, as_built(system, precisions), checked_on)
    return weights_of(config)


def weights_of(config: SystemTrainingConfig) -> Path:
    """Where a run leaves its weights."""
    return config.work / f"{config.model}.safetensors"


def as_built(system: System, precisions: Mapping[str, torch.dtype]) -> System:
    """The system as build() will give it: in its checkpoints' precision, where training holds what it trains in
    float32; and on the device that it is trained on, where every stage had been finished before."""
    for name, parameter in system.named_parameters():
        parameter.data = parameter.data.to(precisions[name])
    return system.to(processes().device).eval()


def calibrate(config: SystemTrainingConfig, system: System, checked: PictureSet) -> None:
    """Fit the thresholds and write them to the run's card. Raises ConfigError for too few pictures."""
    try:
        rows = list(judged(system, checked, config.calibration_pictures))
        write_calibration(weights_of(config), fitted(rows))
    except (DatasetError, RequestError) as error:
        raise ConfigError(f"calibration_pictures: {error}") from error
    except ValueError as error:
        raise ConfigError(f"calibration_pictures: {error}; give more pictures, or 0 for one half") from error


def pictures(data: DataConfig, config: SystemTrainingConfig, system: System) -> PictureSet:
    """The pictures a source names."""
    if data.dataset is not None:
        return DatasetPictures(data.dataset, data.most)
    assert data.scenes is not None
    if not isinstance(system.backbone, CompactVLM):
        raise ConfigError("data.scenes are for the compact scale; write a dataset (refseg scenes) for the full one")
    return RenderedScenes(data.scenes, config.features or config.work, system.backbone, data.most)


def export(config: SystemTrainingConfig, system: System, curve: list[dict[str, Any]]) -> None:
    """Write <work>/<system>.safetensors and its JSON card: every part that its checkpoints do not give as it is."""
    own = system.state_dict()
    parts = sorted(_exported(config, own))
    target = weights_of(config)
    tensors = {n: t.detach().contiguous().clone() for n, t in own.items() if part_of(n) in parts}
    save(tensors, target)
    card = {
        "name": config.model,
        "sha256": sha256(target),
        "scale": config.scale,
        "options": config.options,
        "parts": parts,
        "checkpoints": {name: _as_used(value) for name, value in config.checkpoints.items()},
        "parameters": sum(t.numel() for t in tensors.values()),
        "names": config.mixture.names,
        "calibration": {
            "shift": 0.0, "temperature": 1.0, "thresholds": {"accept": 0.5, "reject": 0.5, "instance": 0.5},
        },
        "trained": {"stages": [s.name for s in config.stages], "last": curve[-1] if curve else None},
    }
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _exported(config: SystemTrainingConfig, own: Iterable[str]) -> set[str]:
    """What was trained, what was taken over from another run, and what no checkpoint gives: at compact scale, all."""
    if config.scale == "compact":
        return {part_of(name) for name in own}
    taken = config.start.parts if config.start is not None else ()
    return {*KINDS[config.model].own, *taken, *(part for stage in config.stages for part in stage.rates)}


def _as_used(value: Any) -> dict[str, Any]:
    """A checkpoint as it was: its source, its revision and the hashes of its files."""
    pin = pinned(value)
    return {"source": pin.source, "revision": pin.revision, "sha256": hashes(folder_of(pin))}
