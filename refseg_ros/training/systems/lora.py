"""Low-rank adapters through peft: put into a language model for a stage, merged into it at the stage's end."""

from __future__ import annotations

from typing import Any

from torch import nn

from refseg_ros.training.runs import ConfigError
from refseg_ros.training.systems.config import LoraConfig


def inject(decoder: nn.Module, config: LoraConfig) -> Any:
    """Adapters beside the decoder's layers, in place. Raises ConfigError without peft, and for unknown targets."""
    try:
        import peft
    except ImportError as error:
        raise ConfigError("a stage with lora needs peft: pip install -r requirements/train.txt") from error
    told = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets)
    )
    try:
        return peft.LoraModel(decoder, told, "default")
    except ValueError as error:
        raise ConfigError(f"lora.targets {config.targets} are not in the language model ({error})") from error


def merge(tuner: Any) -> None:
    """The adapters' work becomes the decoder's own weights, and the adapters go; nothing for None."""
    if tuner is not None:
        tuner.merge_and_unload()
