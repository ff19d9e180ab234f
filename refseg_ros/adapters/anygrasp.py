"""AnyGrasp's input: points and colours of the scene, and limits around each object, for its get_grasp(points, colors,
lims=...) (github.com/graspnet/anygrasp_sdk, grasp_detection/demo.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.adapters.scene import labels, points_of_pixels
from refseg_ros.core.types import Frame, Object3D, Segmentation

FILE = "anygrasp.npz"
MARGIN_M = 0.01


def cloud(frame: Frame, segmentation: Segmentation) -> dict[str, npt.NDArray[Any]]:
    """points float32 (N, 3) metres, optical frame; colors float32 (N, 3) 0..1; instance uint16 (N,), 0 = none.

    Raises ValueError without depth and camera.
    """
    points = points_of_pixels(frame).reshape(-1, 3)
    seen = np.isfinite(points).all(1)
    colors = frame.rgb.reshape(-1, 3)[seen].astype(np.float32) / np.float32(255)
    return {"points": points[seen], "colors": colors, "instance": labels(segmentation).ravel()[seen]}


def limits(obj: Object3D, margin_m: float = MARGIN_M) -> npt.NDArray[np.float64]:
    """lims (6,): xmin, xmax, ymin, ymax, zmin, zmax around a valid object, metres: grasps outside are not wanted."""
    low, high = obj.points.min(0) - margin_m, obj.points.max(0) + margin_m
    return np.stack([low, high], 1).astype(np.float64).ravel()


def write(frame: Frame, segmentation: Segmentation, folder: Path) -> list[Path]:
    """anygrasp.npz in `folder`: cloud(), and for the K objects with points ids (K,) and lims (K, 6)."""
    objects = [o for o in segmentation.objects if o.valid]
    path = folder / FILE
    found: dict[str, Any] = cloud(frame, segmentation)
    found["ids"] = np.array([o.instance for o in objects], np.uint32)
    found["lims"] = np.array([limits(o) for o in objects], np.float64).reshape(-1, 6)
    np.savez_compressed(path, **found)
    return [path]
