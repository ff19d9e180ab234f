"""Points to sensor_msgs/PointCloud2."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import PointCloud2, PointField

from refseg_ros.core.camera import RayGrid, project
from refseg_ros.core.types import Frame, Intrinsics
from refseg_ros.nodes import distribution
from refseg_ros.nodes.images import byte_array

XYZ_RGB = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
XYZ_RGB_INSTANCE = np.dtype([*XYZ_RGB.descr, ("instance", "<u4")])
XYZ_RGB_INSTANCE_INDEX = np.dtype([*XYZ_RGB_INSTANCE.descr, ("index", "<u4")])
FIELD_TYPES = {"<f4": PointField.FLOAT32, "<u4": PointField.UINT32}


def pack_rgb(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """uint8 (N, 3) RGB as 0x00RRGGBB, the layout viewers expect in a field named rgb."""
    c = colors.astype(np.uint32)
    return np.asarray((c[..., 0] << 16) | (c[..., 1] << 8) | c[..., 2], np.uint32)


def cloud(header: Any, records: npt.NDArray[Any], height: int = 1, dense: bool = True) -> PointCloud2:
    """A cloud of structured records; height > 1 for an organised one (records in row order)."""
    kind, fields = records.dtype, []
    for name in kind.names or ():
        sub, offset = kind.fields[name][:2]  # type: ignore[index]
        # A packed colour is declared as float32: that is what RViz and PCL look for.
        datatype = PointField.FLOAT32 if name == "rgb" else FIELD_TYPES[sub.str]
        fields.append(PointField(name=name, offset=int(offset), datatype=datatype, count=1))
    if len(records) and (create := distribution.create_cloud()) is not None:
        declared = records.view([(f.name, "<f4" if f.name == "rgb" else kind[f.name]) for f in fields])
        message = create(header, fields, declared.reshape(height, -1) if height > 1 else declared)
        message.is_dense = dense
        return message
    message = PointCloud2(header=header, fields=fields, height=height, width=len(records) // height if height else 0)
    message.point_step = kind.itemsize
    message.row_step = kind.itemsize * message.width
    message.is_dense = dense
    message.data = byte_array(records.view(np.uint8) if len(records) else np.zeros(0, np.uint8))
    return message


def object_records(
    points: npt.NDArray[np.float32], colors: npt.NDArray[np.uint8], instance: int, kind: Any = XYZ_RGB_INSTANCE
) -> npt.NDArray[Any]:
    """Points of one object with colour and its instance id, as records of `kind`."""
    records = np.zeros(len(points), kind)
    for axis, name in enumerate("xyz"):
        records[name] = points[:, axis]
    records["rgb"] = pack_rgb(colors) if len(colors) == len(points) else 0
    records["instance"] = instance
    return records


def labelled_records(
    points: npt.NDArray[np.float32], colors: npt.NDArray[np.uint8], instance: int, camera: Intrinsics
) -> npt.NDArray[Any]:
    """object_records() with, in index, the point of the organised scene cloud that each one is: row * width + column.

    Each point was lifted from one pixel of this camera, so projecting it gives that pixel.
    """
    records = object_records(points, colors, instance, XYZ_RGB_INSTANCE_INDEX)
    columns, rows = np.rint(project(points, camera)).astype(np.int64).T
    records["index"] = rows.clip(0, camera.height - 1) * camera.width + columns.clip(0, camera.width - 1)
    return records


def scene_cloud(header: Any, frame: Frame, rays: RayGrid) -> PointCloud2 | None:
    """The whole view, organised as the image is (NaN where there is no depth); None without depth or intrinsics."""
    if frame.depth is None or frame.intrinsics is None or frame.depth.shape != frame.rgb.shape[:2]:
        return None
    depth = np.where(np.isfinite(frame.depth) & (frame.depth > 0), frame.depth, np.nan)
    grid = rays.rays(frame.intrinsics)
    records = np.zeros(depth.size, XYZ_RGB)
    records["x"] = (grid[..., 0] * depth).ravel()
    records["y"] = (grid[..., 1] * depth).ravel()
    records["z"] = depth.ravel()
    records["rgb"] = pack_rgb(frame.rgb.reshape(-1, 3))
    return cloud(header, records, height=depth.shape[0], dense=False)
