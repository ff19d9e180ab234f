"""What training of the compact model begins with: nothing, or weights that are there, of its own form."""

from __future__ import annotations

import torch

from refseg_ros.models.compact.model import CompactHeads
from refseg_ros.models.weights import load_strictly, read_card
from refseg_ros.training.config import TrainingConfig


def starting_heads(config: TrainingConfig) -> CompactHeads:
    """New heads by config.seed, or those of config.start. Raises RequestError(MODEL_WEIGHTS) for weights that do not
    fit."""
    torch.manual_seed(config.seed)
    heads = CompactHeads()
    if config.start is not None:
        load_strictly(heads, config.start, read_card(config.start))
    return heads
