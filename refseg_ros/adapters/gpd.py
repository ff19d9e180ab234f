"""GPD's input: a cloud, where the camera was, and on which points to look for grasps: gpd_ros/CloudIndexed with its
CloudSources (github.com/atenpas/gpd_ros, msg)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.adapters.scene import labels, points_of_pixels
from refseg_ros.core.types import Frame, Segmentation

MARGIN_M = 0.15  # what a gripper reaches around an object; the rest would only make the message slow


@dataclass(frozen=True, eq=False)
class IndexedCloud:
    """points float32 (N, 3) metres, optical frame, colors uint8 (N, 3); indices int64 (M,): the points that belong to
    what was asked for. One camera, at view_point."""

    points: npt.NDArray[np.float32]
    colors: npt.NDArray[np.uint8]
    indices: npt.NDArray[np.int64]
    view_point: tuple[float, float, float] = (0.0, 0.0, 0.0)


def indexed_cloud(frame: Frame, segmentation: Segmentation, ids: tuple[int, ...]) -> IndexedCloud:
    """The objects `ids` and what is around them, MARGIN_M to each side. Raises ValueError without depth and camera,
    or when none of them has a point."""
    points = points_of_pixels(frame).reshape(-1, 3)
    chosen = [o.points for o in segmentation.objects if o.valid and o.instance in ids]
    if not chosen:
        raise ValueError(f"none of the objects {list(ids)} has points; there is nothing to grasp")
    wanted = np.concatenate(chosen)
    low, high = wanted.min(0) - MARGIN_M, wanted.max(0) + MARGIN_M
    near = np.flatnonzero(((points >= low) & (points <= high)).all(1))  # False for NaN
    on_object = np.isin(labels(segmentation).ravel()[near], ids)
    colors = frame.rgb.reshape(-1, 3)[near]
    return IndexedCloud(points[near], colors, np.flatnonzero(on_object).astype(np.int64))


def message(types: Any, cloud: IndexedCloud, cloud_message: Any) -> Any:
    """A gpd_ros/CloudIndexed. types: the module gpd_ros.msg; cloud_message: cloud's points as a PointCloud2."""
    Int64 = importlib.import_module("std_msgs.msg").Int64
    Point = importlib.import_module("geometry_msgs.msg").Point
    out = types.CloudIndexed()
    x, y, z = cloud.view_point
    out.cloud_sources.cloud = cloud_message
    out.cloud_sources.camera_source = [Int64(data=0)] * len(cloud.points)
    out.cloud_sources.view_points = [Point(x=x, y=y, z=z)]
    out.indices = [Int64(data=int(i)) for i in cloud.indices]
    return out
