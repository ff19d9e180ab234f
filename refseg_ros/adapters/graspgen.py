"""GraspGen's scene files: JSON with object_info and scene_info (github.com/NVlabs/GraspGen, demo_scene_pc.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from refseg_ros.adapters.scene import points_of_pixels
from refseg_ros.core.types import Frame, Object3D, Segmentation


def scene(frame: Frame, segmentation: Segmentation, obj: Object3D) -> dict[str, Any]:
    """One object in its scene, optical frame, metres.

    object_info: pc (N, 3), pc_color (N, 3) 0..255. scene_info: full_pc (1, M, 3), img_color (1, M, 3) and obj_mask
    (1, M), 1 on the object; the M points are the pixels with depth, row by row. grasp_info: empty, for the planner's
    own answer. Raises ValueError without depth and camera, and for an object that has no points.
    """
    if not obj.valid:
        raise ValueError(f"object {obj.instance} has no points: {obj.reason}")
    points = points_of_pixels(frame).reshape(-1, 3)
    seen = np.isfinite(points).all(1)
    instance = next(i for i in segmentation.instances if i.id == obj.instance)
    mask = instance.full_mask(segmentation.image_size).ravel()[seen]
    return {
        "object_info": {"pc": obj.points.tolist(), "pc_color": obj.colors.tolist()},
        "scene_info": {
            "full_pc": [points[seen].round(5).tolist()],
            "img_color": [frame.rgb.reshape(-1, 3)[seen].tolist()],
            "obj_mask": [mask.astype(int).tolist()],
        },
        "grasp_info": {"grasp_poses": [], "grasp_conf": []},
    }


def write(frame: Frame, segmentation: Segmentation, folder: Path) -> list[Path]:
    """graspgen_<id>.json in `folder` for every object with points. Raises ValueError as scene() does."""
    points_of_pixels(frame)  # says what is missing even when there is no object
    paths = []
    for obj in (o for o in segmentation.objects if o.valid):
        paths.append(folder / f"graspgen_{obj.instance}.json")
        paths[-1].write_text(json.dumps(scene(frame, segmentation, obj)), encoding="ascii")
    return paths
