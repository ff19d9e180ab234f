"""The corners and edges of an oriented box, for whoever draws it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from refseg_ros.core.transform import rotation_matrix
from refseg_ros.core.types import OrientedBox

_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
# Pairs of corners that differ along one axis.
BOX_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))


def box_corners(box: OrientedBox) -> npt.NDArray[np.float64]:
    """The eight corners (8, 3), metres, in the box's frame of reference."""
    corners: npt.NDArray[np.float64] = (_CORNERS * box.size_m) @ rotation_matrix(box.quaternion_xyzw).T + box.center_m
    return corners
