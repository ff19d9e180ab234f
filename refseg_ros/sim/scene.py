"""A scene and its objects: pictures, geometry and truth, rendered now or read from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TABLE_HEIGHT = 0.4


@dataclass(frozen=True)
class SceneObject:
    """One object in view or hidden. position in metres (body origin): world, and camera optical frame.

    centroid_m: mean of its visible surface in the optical frame, None when nothing of it is visible.
    inside: id of the object it lies in or on. visible_fraction: share of its outline in the picture that is seen, where
    the scene was asked for it; else 1 for whatever shows at all, 0 for what does not. paint: the one colour that it was
    painted or tinted with, or "". size_m: width, depth and height as it stands or lies, None where unknown.
    colour_told: whether its colours can be told in this light. dye: what its main colour was turned into, see sim.dye,
    or "".
    """

    id: int
    key: str
    noun: str
    category: str
    colours: tuple[str, ...]
    position_world: tuple[float, float, float]
    position_camera: tuple[float, float, float]
    centroid_m: tuple[float, float, float] | None
    visible_px: int
    inside: int | None
    visible_fraction: float
    paint: str = ""
    size_m: tuple[float, float, float] | None = None
    colour_told: bool = True
    dye: str = ""


@dataclass(frozen=True, eq=False)
class Scene:
    """rgb uint8 (H, W, 3); depth float32 (H, W) metres along the optical axis, 0 = none; instance_ids int16 (H, W),
    -1 background, else SceneObject.id; k 3 x 3, as Intrinsics counts pixels; t_world_camera 4 x 4
    (optical frame to world); table_height metres.
    stuff_ids int8 (H, W): index in pool.STUFF, -1 where an object or nothing is seen; None where nobody rendered it."""

    seed: int
    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.int16]
    k: npt.NDArray[np.float64]
    t_world_camera: npt.NDArray[np.float64]
    objects: tuple[SceneObject, ...]
    table_height: float = TABLE_HEIGHT
    stuff_ids: npt.NDArray[np.int8] | None = None
