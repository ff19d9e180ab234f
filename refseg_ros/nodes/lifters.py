"""The lifter that the node's parameters name."""

from __future__ import annotations

from typing import Any

from refseg_ros.core.camera import RayGrid
from refseg_ros.core.lifting import Lifter, LiftingConfig


def lifter_of(values: dict[str, Any], rays: RayGrid, device: str) -> Lifter:
    """values: the parameters; device: the model's, where torch tests the pixels if that is asked for."""
    config = LiftingConfig(min_depth_m=values["depth_min_m"], max_depth_m=values["depth_max_m"])
    if values["lift_on"] == "numpy":
        return Lifter(config, rays)
    from refseg_ros.models.lifting_torch import TorchLifter

    return TorchLifter(config, rays, device=device)
