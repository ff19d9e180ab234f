"""Outputs in types of packages that a robot may have: each topic is there when its package is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from refseg_ros.adapters import gpd
from refseg_ros.adapters.moveit import SceneObjects
from refseg_ros.core.outcome import Verdict
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.nodes import clouds, detections
from refseg_ros.nodes.results import header_of

Maker = Callable[[Any, Segmentation, Frame], Any]


class OptionalOutputs:
    """types: topic -> message class, for the packages found at start. make(): the message, or None for nothing to say.

    State: what has been put into the planning scene. make() on one thread.
    """

    def __init__(self) -> None:
        scene = SceneObjects()
        wanted: dict[str, tuple[str, str, Maker]] = {
            "detections_2d": ("vision_msgs", "Detection2DArray", detections.detections_2d),
            "detections_3d": ("vision_msgs", "Detection3DArray", detections.detections_3d),
            "planning_scene": (
                "moveit_msgs",
                "PlanningScene",
                lambda types, result, frame: scene.scene(types, result, header_of(frame)),
            ),
            "gpd_cloud": ("gpd_ros", "CloudIndexed", gpd_cloud),
        }
        self.types: dict[str, Any] = {}
        self._makers: dict[str, tuple[Any, Maker]] = {}
        for topic, (package, name, make) in wanted.items():
            if importlib.util.find_spec(package) is not None:
                module = importlib.import_module(f"{package}.msg")
                self.types[topic] = getattr(module, name)
                self._makers[topic] = module, make

    def make(self, topic: str, result: Segmentation, frame: Frame) -> Any:
        """One of `types`, filled."""
        module, make = self._makers[topic]
        return make(module, result, frame)


def gpd_cloud(types: Any, result: Segmentation, frame: Frame) -> Any:
    """gpd_ros/CloudIndexed of what is FOUND; None when nothing of it has points: there is nothing to grasp."""
    found = {i for p in result.phrases if p.verdict is Verdict.FOUND for i in p.instances}
    ids = tuple(o.instance for o in result.objects if o.valid and o.instance in found)
    if not ids:
        return None
    indexed = gpd.indexed_cloud(frame, result, ids)
    records = np.zeros(len(indexed.points), clouds.XYZ_RGB)
    for axis, name in enumerate("xyz"):
        records[name] = indexed.points[:, axis]
    records["rgb"] = clouds.pack_rgb(indexed.colors)
    return gpd.message(types, indexed, clouds.cloud(header_of(frame), records))
