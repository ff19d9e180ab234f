"""Rigid transforms between frames, and objects in another frame. Metres; quaternions are (x, y, z, w)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from refseg_ros.core.boxes import quaternion
from refseg_ros.core.types import Object3D, OrientedBox, Plane

Matrix = npt.NDArray[np.float64]
TOLERANCE = 1e-4  # how far from orthonormal a rotation may be: what float32 and printed digits leave
_EYE = np.eye(3)


class NoTransform(Exception):
    """There is no transform between two frames; the message says why, without the frames and the stamp."""


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """p_target = rotation @ p_source + translation. rotation: (3, 3); translation: (3,) metres.

    Raises ValueError for numbers that are no rotation and translation.
    """

    rotation: Matrix
    translation: Matrix

    def __post_init__(self) -> None:
        r, t = np.asarray(self.rotation, np.float64), np.asarray(self.translation, np.float64)
        if r.shape != (3, 3) or t.shape != (3,):
            raise ValueError(f"a rotation is (3, 3) and a translation (3,), not {r.shape} and {t.shape}")
        if not np.isfinite(r).all() or not np.isfinite(t).all():
            raise ValueError("a rigid transform has finite numbers")
        if np.abs(r @ r.T - _EYE).max() > TOLERANCE or np.linalg.det(r) < 0:
            raise ValueError("the rotation is not orthonormal and right-handed")
        object.__setattr__(self, "rotation", r)
        object.__setattr__(self, "translation", t)

    def apply(self, points: npt.NDArray[np.floating]) -> Matrix:
        """Points (..., 3) of the source frame in the target frame."""
        moved: Matrix = np.asarray(points, np.float64) @ self.rotation.T + self.translation
        return moved

    def __matmul__(self, first: RigidTransform) -> RigidTransform:
        """The transform that does `first` and then this one."""
        return RigidTransform(self.rotation @ first.rotation, self.apply(first.translation))

    @property
    def inverse(self) -> RigidTransform:
        """From the target frame back to the source frame."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation)


def rotation_matrix(quaternion_xyzw: npt.ArrayLike) -> Matrix:
    """The rotation (3, 3) of a quaternion of any length but zero. Raises ValueError."""
    q = np.asarray(quaternion_xyzw, np.float64)
    length = float(np.linalg.norm(q))
    if q.shape != (4,) or not np.isfinite(length) or length < 1e-6:
        raise ValueError(f"{np.asarray(quaternion_xyzw).tolist()} is not a quaternion (x, y, z, w) of a rotation")
    x, y, z, w = (q / length).tolist()  # numpy's scalars would take five times as long below
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rigid_transform(translation: npt.ArrayLike, quaternion_xyzw: npt.ArrayLike) -> RigidTransform:
    """A transform from a translation (3,), metres, and a quaternion. Raises ValueError."""
    return RigidTransform(rotation_matrix(quaternion_xyzw), np.asarray(translation, np.float64))


def transform_object(obj: Object3D, transform: RigidTransform, frame_id: str) -> Object3D:
    """The same object in frame_id: points, centroid, box, plane and covariance move and turn, sizes and heights stay,
    and so do layer_depths_m, which the camera measured. An invalid one stays invalid."""
    if obj.centroid_m is None or obj.obb is None:
        return replace(obj, frame_id=frame_id)
    box = OrientedBox(
        _triple(transform.apply(np.array(obj.obb.center_m))),
        obj.obb.size_m,
        quaternion(transform.rotation @ rotation_matrix(obj.obb.quaternion_xyzw)),
    )
    cov = obj.centroid_cov_m2
    return replace(
        obj,
        frame_id=frame_id,
        centroid_m=_triple(transform.apply(np.array(obj.centroid_m))),
        obb=box,
        points=transform.apply(obj.points).astype(np.float32),
        centroid_cov_m2=None if cov is None else transform.rotation @ cov @ transform.rotation.T,
        plane=None if obj.plane is None else transform_plane(obj.plane, transform),
    )


def transform_plane(plane: Plane, transform: RigidTransform) -> Plane:
    """The same plane in the target frame."""
    normal = transform.rotation @ np.array(plane.normal)
    return Plane(_triple(normal), plane.offset_m - float(normal @ transform.translation))


def without_transform(obj: Object3D, reason: str, frame_id: str) -> Object3D:
    """The object when it cannot be had in frame_id: invalid for that reason, or for its own if it has one."""
    return Object3D(obj.instance, False, obj.reason or reason, frame_id, depth_coverage=obj.depth_coverage)


def _triple(values: Matrix) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
