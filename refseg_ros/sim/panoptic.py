"""Panoptic truth: every pixel's object, table, wall or floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.sim.pool import STUFF
from refseg_ros.sim.scene import Scene
from refseg_ros.sim.stored import StoredScene


def segments(scene: Scene | StoredScene) -> tuple[npt.NDArray[np.uint16], list[dict[str, Any]]]:
    """Panoptic truth: ids (H, W), 0 where nothing is, and {"id", "name", "stuff"} of each visible segment.

    An object's id is its number plus 1 and its name the noun; table, wall and floor come after the objects.
    Raises ValueError for a scene that was stored without them.
    """
    if scene.stuff_ids is None:
        raise ValueError("this scene holds no table, wall and floor: generate the scenes again")
    nouns = [o["noun"] if isinstance(o, dict) else o.noun for o in scene.objects]
    stuff = np.where(scene.stuff_ids >= 0, scene.stuff_ids + len(nouns) + 1, 0)
    ids = np.where(scene.instance_ids >= 0, scene.instance_ids + 1, stuff).astype(np.uint16)
    listed = [
        {"id": number, "name": name, "stuff": number > len(nouns)}
        for number, name in enumerate((*nouns, *STUFF), 1)
        if np.any(ids == number)
    ]
    return ids, listed
