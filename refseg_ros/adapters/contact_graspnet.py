"""Contact-GraspNet's input: one .npz with depth, K, segmap and rgb (github.com/NVlabs/contact_graspnet, data.py).

It projects with K alone: images of a distorted camera have to be rectified first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.adapters.scene import camera_and_depth, labels
from refseg_ros.core.types import Frame, Segmentation

FILE = "contact_graspnet.npz"


def arrays(frame: Frame, segmentation: Segmentation) -> dict[str, npt.NDArray[Any]]:
    """depth float32 (H, W) metres, 0 = none; K float64 (3, 3); segmap int32 (H, W), the instance's id, 0 = none;
    rgb uint8 (H, W, 3) in the order blue, green, red, which the planner's reader turns around.

    Raises ValueError without depth and camera, or with a distorted one.
    """
    camera, depth = camera_and_depth(frame)
    if camera.distorted:
        raise ValueError("Contact-GraspNet knows no distortion: rectify the images and the camera info first")
    bgr = np.ascontiguousarray(frame.rgb[..., ::-1])
    return {"depth": depth, "K": camera.k, "segmap": labels(segmentation).astype(np.int32), "rgb": bgr}


def write(frame: Frame, segmentation: Segmentation, folder: Path) -> list[Path]:
    """contact_graspnet.npz in `folder`. Raises ValueError as arrays() does."""
    path = folder / FILE
    found: dict[str, Any] = arrays(frame, segmentation)
    np.savez_compressed(path, **found)
    return [path]
