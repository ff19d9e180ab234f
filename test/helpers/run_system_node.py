"""The real node with a system of random weights: `python -m helpers.run_system_node NAME --ros-args ...`."""

import sys

import torch

from refseg_ros.core.protocol import Thresholds
from refseg_ros.models.systems.assemble import assemble
from refseg_ros.models.systems.model import SystemModel
from refseg_ros.nodes.refseg_node import main

HEADS = {
    "qwen3vl_seg": {"width": 32, "layers": 1, "pixel_width": 16, "stem_width": 8},
    "gsva": {"width": 32, "feedforward": 32},
    "mllmseg": {"width": 32, "feedforward": 32},
    "mvp_lm": {"width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "queries": 5, "stuff_queries": 2},
}


def untrained(name: str) -> SystemModel:
    """Small enough for a test; what it answers means nothing."""
    torch.manual_seed(0)
    few = {"most": 2} if name == "qwen3vl_seg" else {}
    told = {"backbone": {"width": 32, "layers": 1, "heads": 2}, "head": HEADS[name], **few}
    return SystemModel(name, assemble(name, "compact", told), Thresholds())


if __name__ == "__main__":
    system = sys.argv.pop(1)
    sys.exit(main(model_factory=lambda values: untrained(system)))
