"""Shapes without a name: blocks, cylinders, spheres, prisms and flasks, beside the objects to be told from."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

SHAPES = ("shape:block",) * 3 + ("shape:cylinder",) * 3 + ("shape:sphere",) * 2 + ("shape:prism",) * 4
# Things with a label that nobody knows, for training: parcels and drums are blocks and cylinders.
UNKNOWN = ("shape:parcel",) * 8 + ("shape:drum",) * 7 + ("shape:flask",) * 7
_PRIMITIVES = {
    "shape:block": mujoco.mjtGeom.mjGEOM_BOX,
    "shape:parcel": mujoco.mjtGeom.mjGEOM_BOX,
    "shape:cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "shape:drum": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "shape:sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}
AROUND, FLASK_AROUND = 48, 20


def add_shape(spec: mujoco.MjSpec, body: mujoco.MjsBody, key: str, number: int) -> None:
    """One geom on a body: a primitive whose size resize() changes, or an extrusion or a flask that keeps its form."""
    settings = {"density": 400, "friction": [1, 0.05, 0.02], "condim": 6, "rgba": [0.5, 0.5, 0.5, 1]}
    if key in _PRIMITIVES:
        body.add_geom(type=_PRIMITIVES[key], size=[0.03, 0.03, 0.03], **settings)
        return
    rng = np.random.default_rng(number)
    if key == "shape:flask":
        vertices, faces = flask(rng)
        spec.add_mesh(name=f"flask{number}", uservert=vertices.ravel().tolist(), userface=faces.ravel().tolist())
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"flask{number}", **settings)
        return
    corners = rng.integers(3, 8)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) + np.linspace(0, 2 * np.pi, corners)
    outline = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.025, 0.06, (corners, 1))
    height = rng.uniform(0.015, 0.07)
    points = np.concatenate([np.c_[outline, np.full(corners, z)] for z in (-height, height)])
    spec.add_mesh(name=f"prism{number}", uservert=points.ravel().tolist())
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"prism{number}", **settings)


def flask(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(V, 3) vertices in metres and (F, 3) faces, outwards, of something turned: body, shoulder, neck and cap, round or
    pressed flat."""
    body, height = rng.uniform(0.02, 0.04), rng.uniform(0.08, 0.2)
    neck, cap = rng.uniform(0.25, 0.95, 2)
    shoulder = rng.uniform(0.4, 0.8)
    foot, waist, top = rng.uniform(0.7, 1.05, 3)
    radii = body * np.array([foot, 1, waist, neck, neck, cap, cap * top])
    levels = height * np.array([0, 0.04, shoulder, min(shoulder + 0.12, 0.86), 0.88, 0.885, 1])
    turn = np.linspace(0, 2 * np.pi, FLASK_AROUND, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn) * rng.choice([1, rng.uniform(0.45, 0.9)])], 1)
    rings = [np.c_[ring * r, np.full(FLASK_AROUND, z - height / 2)] for r, z in zip(radii, levels, strict=True)]
    ends = [[0, 0, -height / 2], [0, 0, height / 2]]
    below, above = len(rings) * FLASK_AROUND, len(rings) * FLASK_AROUND + 1
    here = np.arange(FLASK_AROUND)
    there = (here + 1) % FLASK_AROUND
    faces = [np.stack([np.full_like(here, below), there, here], 1)]
    for low in range(0, below - FLASK_AROUND, FLASK_AROUND):
        high = low + FLASK_AROUND
        faces.append(np.stack([low + here, low + there, high + there], 1))
        faces.append(np.stack([low + here, high + there, high + here], 1))
    last = below - FLASK_AROUND
    faces.append(np.stack([np.full_like(here, above), last + here, last + there], 1))
    return np.concatenate([*rings, ends]), np.concatenate(faces)


def resize(model: mujoco.MjModel, geom: int, rng: np.random.Generator) -> None:
    """A new size for a primitive; a mesh stays as it is."""
    kind = int(model.geom_type[geom])
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        half = rng.uniform(0.012, 0.06, 3)
        model.geom_size[geom], around = half, half
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        radius, half_height = rng.uniform(0.015, 0.045), rng.uniform(0.01, 0.07)
        model.geom_size[geom], around = [radius, half_height, 0], np.array([radius, radius, half_height])
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        radius = rng.uniform(0.015, 0.045)
        model.geom_size[geom], around = [radius, 0, 0], np.full(3, radius)
    else:
        return
    model.geom_rbound[geom] = np.linalg.norm(around)
    model.geom_aabb[geom] = [0, 0, 0, *around]
    model.bvh_aabb[model.body_bvhadr[model.geom_bodyid[geom]]] = [0, 0, 0, *around]


def surface_points(model: mujoco.MjModel, geom: int) -> npt.NDArray[np.float64]:
    """(V, 3) points on a geom's surface in its own frame, metres, that span its outline."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        return np.asarray(model.mesh_vert[start : start + model.mesh_vertnum[mesh]], np.float64)
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * size
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        ring = np.stack([np.cos(turn) * size[0], np.sin(turn) * size[0]], 1)
        return np.concatenate([np.c_[ring, np.full(AROUND, z)] for z in (-size[1], size[1])])
    tilt = np.linspace(0, np.pi, AROUND // 2)
    grid = [np.outer(np.sin(tilt), np.cos(turn)), np.outer(np.sin(tilt), np.sin(turn))]
    return np.stack([*grid, np.repeat(np.cos(tilt)[:, None], AROUND, 1)], -1).reshape(-1, 3) * size[0]


def hull_triangles(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(T, 3, 3) triangles of the points' convex hull."""
    return np.asarray(points[ConvexHull(points, qhull_options="QJ").simplices])
