"""The room of a scene: surfaces, lights, and where the camera stands."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.sim.pool import LIGHTS, ObjectPool
from refseg_ros.sim.scene import TABLE_HEIGHT
from refseg_ros.sim.style import SceneStyle

Floats = npt.NDArray[np.float64]
CLEARANCE_M = 0.1  # between the camera and any object
OPENGL = np.diag([1.0, -1.0, -1.0])  # OpenGL camera (y up, z back) to optical (y down, z forward), or back


def furnish(pool: ObjectPool, rng: np.random.Generator, surfaces: Sequence[str]) -> None:
    """Surfaces for table, floor and walls, and two lights with a slight tint."""
    model = pool.model
    for name in ("table", "floor"):
        model.geom_matid[model.geom(name).id] = model.material(surfaces[int(rng.integers(len(surfaces)))]).id
    wall = model.material(surfaces[int(rng.integers(len(surfaces)))]).id
    for index in range(4):
        model.geom_matid[model.geom(f"wall{index}").id] = wall
    tint = 1 + rng.uniform(-0.1, 0.1, 3)
    model.light_active[:] = np.arange(LIGHTS) < 2
    for light, (low, high), radius in ((0, (0.4, 0.8), 0.8), (1, (0.1, 0.4), 1.0)):
        _put_light(model, light, rng, radius)
        model.light_diffuse[light] = rng.uniform(low, high) * tint
    model.vis.headlight.ambient[:] = rng.uniform(0.2, 0.45)
    model.vis.headlight.diffuse[:] = rng.uniform(0.1, 0.35)


def _put_light(model: mujoco.MjModel, light: int, rng: np.random.Generator, radius: float) -> None:
    angle = rng.uniform(0, 2 * np.pi)
    place = np.array([np.cos(angle) * radius, np.sin(angle) * radius, rng.uniform(1.2, 2.2)])
    direction = np.array([0, 0, TABLE_HEIGHT]) - place
    model.light_pos[light], model.light_dir[light] = place, direction / np.linalg.norm(direction)


def vary(pool: ObjectPool, rng: np.random.Generator, style: SceneStyle) -> None:
    """Tinted surfaces and odd light, as often as the style has them. After furnish()."""
    model = pool.model
    used = {int(model.geom_matid[model.geom(name).id]) for name in ("table", "floor", "wall0")}
    for material in sorted(used):
        if rng.random() < style.surface_tint_share:
            model.mat_rgba[material, :3] = rng.uniform(0.45, 1.0) * (1 - rng.uniform(0, 0.35, 3))
            model.mat_texrepeat[material] = rng.uniform(0.7, 4.0)
            model.mat_reflectance[material] = 0.0
            model.mat_specular[material] = rng.uniform(0.0, 0.6)
    if rng.random() >= style.light_oddity:
        return
    mood = rng.choice(["harsh", "dim", "coloured", "many"])
    head = model.vis.headlight
    if mood == "harsh":
        model.light_diffuse[0] *= rng.uniform(0.8, 1.15) / max(float(model.light_diffuse[0].max()), 0.1)
        head.ambient[:], head.diffuse[:] = rng.uniform(0.06, 0.16), rng.uniform(0.02, 0.12)
    elif mood == "dim":
        faint = rng.uniform(0.3, 0.6)
        model.light_diffuse[:] *= faint
        head.ambient[:], head.diffuse[:] = head.ambient * faint, head.diffuse * faint
    elif mood == "coloured":  # warm or cold, never so much that a colour could be argued about
        warmth = rng.uniform(-0.16, 0.16)
        shift = np.array([1 + warmth, 1.0, 1 - warmth])
        model.light_diffuse[:] *= shift
        head.ambient[:], head.diffuse[:] = head.ambient * shift, head.diffuse * shift
    else:
        model.light_active[:] = 1
        for light in range(2, LIGHTS):
            _put_light(model, light, rng, rng.uniform(0.5, 1.4))
            model.light_diffuse[light] = rng.uniform(0.1, 0.35)
        head.ambient[:] *= 0.7


def aim(
    pool: ObjectPool, rng: np.random.Generator, style: SceneStyle, size: tuple[int, int], things: Floats
) -> tuple[Floats, Floats]:
    """Turn the camera to the table: K and the pose of its optical frame in the world.

    size: (width, height). things: (N, 4) centre and radius of what lies there, metres, which it keeps clear of.
    """
    for attempt in range(20):
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*style.elevation_deg))
        low, high = style.distance_m
        distance = rng.uniform(low + (high - low) * attempt / 40, high)  # farther away where there is no room
        target = np.array([0, 0, TABLE_HEIGHT + 0.03])
        if style.close_aim and len(things) and distance < 0.75:
            target[:2] = things[rng.integers(len(things)), :2]
        target = target + rng.uniform(-style.aim_m, style.aim_m, 3) * ([1, 1, 0.25] if style.close_aim else [1, 1, 1])
        flat = np.cos(elevation)
        back = np.array([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)])
        position = target + distance * back
        free = np.linalg.norm(things[:, :3] - position, axis=1) - things[:, 3] > CLEARANCE_M
        if not style.close_aim or (np.all(free) and position[2] > TABLE_HEIGHT + 0.06):
            break
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], 1) @ OPENGL
    pose[:3, 3] = position
    low, high = style.fovy_deg
    widest = np.degrees(2 * np.arctan(style.covers_m / distance))  # from afar a wide view shows little
    return _place_camera(pool.model, pose, rng.uniform(low, max(low, min(high, widest))), size), pose


def _place_camera(model: mujoco.MjModel, pose: Floats, fovy_deg: float, size: tuple[int, int]) -> Floats:
    look_from(model, pose)
    model.cam_fovy[0] = fovy_deg
    focal = size[1] / 2 / np.tan(np.radians(fovy_deg) / 2)
    # The middle of the picture, where pixel (0, 0) is the first one's centre (Intrinsics says so).
    return np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])


def look_from(model: mujoco.MjModel, pose: Floats) -> None:
    """Put the camera's optical frame at a 4 x 4 pose in the world."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, (pose[:3, :3] @ OPENGL).ravel())
    model.cam_pos[0], model.cam_quat[0] = pose[:3, 3], quaternion
