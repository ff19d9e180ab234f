"""A Segmentation as the contract's JSON, and the files beside it: masks as PNG, objects as binary PLY.

The PLY is written here (little-endian, float x y z and uchar red green blue): the format needs a header and one array.
Raises OSError where a file cannot be written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import Object3D, Segmentation

SCHEMA = 1


def to_dict(segmentation: Segmentation, prefix: str = "") -> dict[str, Any]:
    """The result.json of the contract; prefix: put before the names of mask and point files."""
    objects = {o.instance: o for o in segmentation.objects}
    error = segmentation.error
    return {
        "schema": SCHEMA,
        "model": segmentation.model,
        "instruction": segmentation.instruction,
        "image_size": list(segmentation.image_size),
        "outcome": segmentation.outcome.name,
        "error": None if error is None else {"code": error.code.value, "message": error.message},
        "phrases": [
            {"text": p.text, "verdict": p.verdict.name, "score": round(p.score, 6), "instances": list(p.instances)}
            for p in segmentation.phrases
        ],
        "excluded": list(segmentation.excluded),
        "instances": [
            {
                "id": i.id,
                "phrase": i.phrase,
                "score": round(i.score, 6),
                "box_xyxy": list(i.box_xyxy),
                "area_px": i.area_px,
                "mask": f"{prefix}mask_{i.id}.png",
                "object": _object(objects.get(i.id), prefix),
            }
            for i in segmentation.instances
        ],
        "timings_ms": {name: round(ms, 3) for name, ms in segmentation.timings_ms.items()},
    }


def _object(o: Object3D | None, prefix: str) -> dict[str, Any] | None:
    if o is None:
        return None
    obb = None
    if o.obb is not None:
        obb = {
            "center_m": list(o.obb.center_m),
            "size_m": list(o.obb.size_m),
            "quaternion_xyzw": list(o.obb.quaternion_xyzw),
        }
    return {
        "valid": o.valid,
        "reason": o.reason,
        "frame": o.frame_id,
        "centroid_m": None if o.centroid_m is None else list(o.centroid_m),
        "obb": obb,
        "points": f"{prefix}object_{o.instance}.ply" if o.valid else None,
        "count": len(o.points),
        "depth_coverage": round(o.depth_coverage, 6),
        "centroid_cov_m2": None if o.centroid_cov_m2 is None else o.centroid_cov_m2.tolist(),
        "size_std_m": None if o.size_std_m is None else list(o.size_std_m),
        "plane": None if o.plane is None else {"normal": list(o.plane.normal), "offset_m": o.plane.offset_m},
        "bottom_m": o.bottom_m,
        "top_m": o.top_m,
        "occluded": o.occluded,
        "truncated": o.truncated,
        "back_inferred": o.back_inferred,
        "layer_depths_m": list(o.layer_depths_m),
    }


def write_files(segmentation: Segmentation, folder: Path, prefix: str = "") -> None:
    """The mask and point files that to_dict(segmentation, prefix) names, under `folder`."""
    for instance in segmentation.instances:
        mask = instance.full_mask(segmentation.image_size).astype(np.uint8) * 255
        write_png(folder / f"{prefix}mask_{instance.id}.png", mask)
    for o in segmentation.objects:
        if o.valid:
            write_bytes(folder / f"{prefix}object_{o.instance}.ply", ply(o.points, o.colors))


def ply(points: npt.NDArray[np.float32], colors: npt.NDArray[np.uint8]) -> bytes:
    """A binary little-endian PLY of points (N, 3), metres, and colors (N, 3)."""
    vertex = np.empty(len(points), np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))
    vertex["xyz"], vertex["rgb"] = points, colors
    properties = [f"property float {c}" for c in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *properties, "end_header", ""]
    return "\n".join(lines).encode("ascii") + vertex.tobytes()


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """A PNG of an 8-bit image (H, W) or RGB (H, W, 3)."""
    pixels = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise OSError(f"could not encode {path.name} as PNG")
    write_bytes(path, data.tobytes())


def write_json(path: Path, value: Any) -> None:
    """JSON text, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode("ascii"))


@contextmanager
def lines_of(path: Path) -> Iterator[list[str]]:
    """Inside, a list of lines; if there are any, they are the file when the block ends, however it ends: what is
    answered is answered."""
    lines: list[str] = []
    try:
        yield lines
    finally:
        if lines:
            write_bytes(path, "".join(f"{line}\n" for line in lines).encode("ascii"))


def write_bytes(path: Path, data: bytes) -> None:
    """A file, whole or not at all: written beside its place and moved there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # nobody asked for a part
    finally:
        with suppress(OSError):  # it is gone, or nothing can be removed where nothing can be written
            part.unlink()
