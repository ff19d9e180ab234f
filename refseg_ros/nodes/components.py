"""What the node's parameters name: the model, its thresholds, the lifter."""

from __future__ import annotations

import dataclasses
from typing import Any

from refseg_ros.core.camera import RayGrid
from refseg_ros.core.lifting import Lifter, LiftingConfig
from refseg_ros.core.protocol import SegmentationModel, Thresholds

_THREADS: dict[str, int] = {}  # what torch began with


def load_model(values: dict[str, Any]) -> SegmentationModel:
    """The model that the parameters name. Raises RequestError."""
    from refseg_ros.models import load

    _set_threads(values["threads"])
    return load(values["model"], values["device"], values["weights"] or None).model


def _set_threads(threads: int) -> None:
    """How many threads torch has; 0: as many as it began with (OMP_NUM_THREADS, or the cores), also after another."""
    import torch

    _THREADS.setdefault("first", torch.get_num_threads())
    torch.set_num_threads(threads or _THREADS["first"])


def thresholds_of(values: dict[str, Any], own: Thresholds) -> Thresholds:
    """The model's own thresholds unless the parameters say otherwise."""
    accept, reject = values["accept_threshold"], values["reject_threshold"]
    accept = own.accept if accept < 0 else accept
    reject = min(own.reject, accept) if reject < 0 else reject
    accept, reject = min(max(accept, reject), 1.0), min(reject, 1.0)  # rclpy lets pass what is just out of range
    return dataclasses.replace(own, accept=accept, reject=reject)


def lifter_of(values: dict[str, Any], rays: RayGrid, device: str) -> Lifter:
    """The lifter. device: the model's, where torch tests the pixels if that is asked for."""
    config = LiftingConfig(min_depth_m=values["depth_min_m"], max_depth_m=values["depth_max_m"])
    if values["lift_on"] == "numpy":
        return Lifter(config, rays)
    from refseg_ros.models.lifting_torch import TorchLifter

    return TorchLifter(config, rays, device=device)
