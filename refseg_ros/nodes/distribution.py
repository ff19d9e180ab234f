"""cv_bridge and sensor_msgs_py, where the distribution's import cleanly and do what they should; else nothing.

numpy 2 breaks cv_bridge on many robots at import, and some builds of it misread depth or padded rows: each is tried
once on a small message, against bytes worked out by hand, before it is trusted with the camera's.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np
import numpy.typing as npt


@functools.cache
def cv_bridge() -> Any | None:
    """A CvBridge that reads padded colour and depth right, or None."""
    try:
        bridge = importlib.import_module("cv_bridge").CvBridge()
        return bridge if _reads_right(bridge) else None
    except Exception:  # noqa: BLE001  (a broken build raises anything at all; our own conversion then does the work)
        return None


def _reads_right(bridge: Any) -> bool:
    """bgr8 with padded rows, and 16UC1 beyond eight bits."""
    Image = importlib.import_module("sensor_msgs.msg").Image
    color = Image(height=2, width=2, encoding="bgr8", step=8, data=[1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0])
    depth = Image(height=1, width=2, encoding="16UC1", step=6, data=[0x34, 0x12, 0xFF, 0x00, 0, 0])
    rgb = np.asarray(bridge.imgmsg_to_cv2(color, "rgb8"))
    metres = np.asarray(bridge.imgmsg_to_cv2(depth, "passthrough"))
    return rgb.tolist() == [[[3, 2, 1], [6, 5, 4]], [[9, 8, 7], [12, 11, 10]]] and metres.tolist() == [[0x1234, 0xFF]]


@functools.cache
def create_cloud() -> Any | None:
    """sensor_msgs_py.point_cloud2.create_cloud if it keeps every byte of structured points, or None."""
    try:
        create = importlib.import_module("sensor_msgs_py.point_cloud2").create_cloud
        PointField = importlib.import_module("sensor_msgs.msg").PointField
        header = importlib.import_module("std_msgs.msg").Header()
        points: npt.NDArray[Any] = np.zeros(2, [("x", "<f4"), ("id", "<u4")])
        points["x"], points["id"] = (1.5, np.nan), (7, 2**32 - 1)
        fields = [
            PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
            PointField(name="id", offset=4, datatype=PointField.UINT32, count=1),
        ]
        cloud = create(header, fields, points)
        same = bytes(cloud.data) == points.tobytes() and (cloud.width, cloud.point_step) == (2, 8)
        return create if same else None
    except Exception:  # noqa: BLE001  (as above)
        return None
