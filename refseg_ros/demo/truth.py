"""The simulated camera's truth, as the scorer reads it. Nothing but the demo and the tests may subscribe to it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """instance_ids: int (H, W), -1 background; centroids_m: id -> (x, y, z) of the visible surface, optical frame.

    names: id -> what a person calls it; expressions: dicts with text, type, phrases, targets (ids per phrase), expect.
    """

    seed: int
    instance_ids: npt.NDArray[np.int32]
    centroids_m: dict[int, tuple[float, float, float]]
    names: dict[int, str]
    expressions: tuple[dict[str, Any], ...]

    def mask(self, ids: frozenset[int]) -> npt.NDArray[np.bool_]:
        """Union of the objects' visible pixels: bool (H, W)."""
        return np.isin(self.instance_ids, list(ids))


def read_truth(text: str) -> SceneTruth:
    """From the JSON on the truth topic. Pixel value in its PNG: 0 background, else object id + 1."""
    data = json.loads(text)
    png = np.frombuffer(base64.b64decode(data["instance_png"]), np.uint8)
    image = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("the truth topic's instance image cannot be read")
    objects = data["objects"]
    return SceneTruth(
        seed=int(data["scene_seed"]),
        instance_ids=image.astype(np.int32) - 1,
        centroids_m={int(o["id"]): tuple(o["centroid_m"]) for o in objects if o["centroid_m"]},
        names={int(o["id"]): str(o["noun"]) for o in objects},
        expressions=tuple(data["expressions"]),
    )
