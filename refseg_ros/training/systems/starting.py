"""What a run starts from: another run's weights, or those that come with the package, taken over part by part."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from refseg_ros.core.outcome import RequestError
from refseg_ros.models.backbones.compact_vlm import CompactVLM
from refseg_ros.models.systems.parts import part_of
from refseg_ros.models.systems.system import System
from refseg_ros.models.weights import read_card, save, sha256
from refseg_ros.training.runs import ConfigError
from refseg_ros.training.systems.config import SHIPPED, StartConfig
from refseg_ros.training.systems.growing import grown

SHIPPED_START = Path(__file__).parents[2] / "models" / "systems" / "weights"


def take_over(system: System, start: StartConfig) -> None:
    """Another run's weights, part by part. Raises ConfigError for a run that is not finished, whose weights are not
    those of its card, or that does not fit."""
    file = finished(SHIPPED_START if str(start.work) == SHIPPED else start.work)
    tensors = _checked(file)
    given = {n: t for n, t in tensors.items() if part_of(n) in start.parts}
    own = system.state_dict()
    if isinstance(system.backbone, CompactVLM):
        given = grown(system.backbone, own, tensors) | given
    fitting = {n: t for n, t in given.items() if n in own and own[n].shape == t.shape}
    needed = [n for n in own if part_of(n) in set(start.parts) - {"head"}]
    lacking = [n for n in needed if n not in fitting]
    if lacking or ("head" in start.parts and not any(part_of(n) == "head" for n in fitting)):
        what = lacking[0] if lacking else "any tensor of the head"
        raise ConfigError(f"start.work: {file} has no {what} that fits; train both with the same options.backbone")
    system.load_state_dict(fitting, strict=False)


def finished(work: Path) -> Path:
    """The weights file of a finished run. Raises ConfigError where there is none."""
    files = sorted(work.glob("*.safetensors"))
    if len(files) != 1:
        raise ConfigError(
            f"start.work: {work} holds no finished run; train it first: refseg train --config "
            f"config/training/systems/{work.name}.yaml (or the file whose work that is)"
        )
    return files[0]


def halved(file: Path, target: Path) -> None:
    """A run's weights and card again, in half precision, as `target`: what the package ships. Raises ConfigError."""
    tensors = {n: t.half() if t.is_floating_point() else t for n, t in _checked(file).items()}
    save(tensors, target)
    card = read_card(file) | {"sha256": sha256(target), "precision": "half"}
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _checked(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, in full precision, if they are those that its card describes."""
    try:
        card = read_card(file)
    except RequestError as error:
        raise ConfigError(f"start.work: {error}") from error
    if sha256(file) != card["sha256"]:
        raise ConfigError(f"start.work: {file} is not the file that its card describes; train or install it again")
    return {n: t.to(torch.float32) if t.is_floating_point() else t for n, t in load_file(file).items()}
