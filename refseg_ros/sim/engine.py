"""Makes scenes: objects dropped on a table, looked at by a camera, with exact depth, masks and poses."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.sim import assets
from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.pool import Extend, ObjectPool, multiply
from refseg_ros.sim.scene import TABLE_HEIGHT, Scene, SceneObject

HALF_TURN = 2**-0.5
SETTLE_STEPS = 250
TABLE_RADIUS = 0.33
FAR_M = 6.0
OUTLINE_GRID = 200
OPENGL = np.diag([1.0, -1.0, -1.0])  # OpenGL camera (y up, z back) to optical (y down, z forward), or back
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class _Placed:
    index: int
    xy: tuple[float, float]
    radius: float
    height: float


@dataclass(frozen=True)
class _Shown:
    """What scene() made: for look()."""

    seed: int
    placed: list[_Placed]
    inside: dict[int, int]
    k: npt.NDArray[np.float64]
    t_world_camera: npt.NDArray[np.float64]


class SceneEngine:
    """Repeatable scenes: the same seed, keys and size give the same scene. Use as a context, or call close().

    extend: adds bodies to the world, a gripper for one.

    Raises assets.AssetsMissing when no object is installed.
    """

    def __init__(
        self, keys: Sequence[str] | None = None, width: int = 640, height: int = 480, extend: Extend | None = None
    ) -> None:
        folder = assets.prepare()
        self.width, self.height = width, height
        self._pool = ObjectPool(sorted(assets.sources()) if keys is None else keys, folder, width, height, extend)
        self._shown: _Shown | None = None
        self._material_colours = self._pool.model.mat_rgba.copy()
        # Registered after mujoco's own hook, so run before it: then there still is a display to free things on.
        pool_of = weakref.ref(self._pool)
        self._at_exit = lambda: pool.close() if (pool := pool_of()) else None
        atexit.register(self._at_exit)

    @property
    def pool(self) -> ObjectPool:
        """The physics behind the scenes, for a program that acts in them."""
        return self._pool

    def close(self) -> None:
        """Free the renderer; more than once does no harm. At the program's end it is done in any case."""
        atexit.unregister(self._at_exit)
        self._pool.close()

    def __enter__(self) -> SceneEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scene(self, seed: int, count: tuple[int, int] = (4, 10), visibility: bool = False) -> Scene:
        """A scene of count[0] to count[1] objects, settled by physics and rendered without sensor faults.

        visibility: work out SceneObject.visible_fraction (tens of milliseconds). Raises ValueError for a bad count.
        """
        if not 1 <= count[0] <= count[1]:
            raise ValueError(f"count must be (lowest, highest) with 1 <= lowest <= highest, not {count}")
        rng = np.random.default_rng(seed)
        pool = self._pool
        wanted = min(int(rng.integers(count[0], count[1] + 1)), len(pool.keys))
        picked = [int(i) for i in rng.choice(len(pool.keys), wanted, replace=False)]
        mujoco.mj_resetData(pool.model, pool.data)
        pool.activate(picked)
        placed, inside = self._place(rng, picked)
        pool.activate([p.index for p in placed])
        for _ in range(SETTLE_STEPS):
            mujoco.mj_step(pool.model, pool.data)
        self._furnish(rng)
        k, t_world_camera = self._aim(rng)
        mujoco.mj_forward(pool.model, pool.data)
        inside = {index: host for index, host in inside.items() if self._still_inside(index, host)}
        self._shown = _Shown(seed, placed, inside, k, t_world_camera)
        return self.look(visibility=visibility)

    def look(self, t_world_camera: npt.NDArray[np.float64] | None = None, visibility: bool = False) -> Scene:
        """The scene of the last scene(), as its objects lie now, and from another place if one is given.

        Raises RuntimeError before the first scene().
        """
        shown, pool = self._shown, self._pool
        if shown is None:
            raise RuntimeError("there is no scene to look at yet; call scene() first")
        if t_world_camera is not None:
            shown = self._shown = replace(shown, t_world_camera=t_world_camera)
            quaternion = np.zeros(4)
            mujoco.mju_mat2Quat(quaternion, (t_world_camera[:3, :3] @ OPENGL).ravel())
            pool.model.cam_pos[0], pool.model.cam_quat[0] = t_world_camera[:3, 3], quaternion
        mujoco.mj_forward(pool.model, pool.data)
        rgb, depth, geoms = self._render()
        indices = pool.object_of_geom[geoms]
        placed, pose = shown.placed, shown.t_world_camera
        objects = self._describe(placed, shown.inside, depth, indices, shown.k, pose, visibility)
        ids = np.full(len(pool.keys) + 1, -1, np.int16)
        for position, p in enumerate(placed):
            ids[p.index] = position
        stuff = pool.stuff_of_geom[geoms]
        return Scene(shown.seed, rgb, depth, ids[indices], shown.k, pose, objects, stuff_ids=stuff)

    def _pose(self, rng: np.random.Generator, key: str) -> npt.NDArray[np.float64]:
        """A quaternion a thing of this kind may lie or stand in."""
        entry = CATALOGUE[key]
        turn = rng.uniform(0, 2 * np.pi)
        standing, as_is = [HALF_TURN, HALF_TURN, 0, 0], [1.0, 0, 0, 0]
        base: list[float] = standing if entry.upright_y else as_is
        if entry.upright_y and rng.random() < (0.8 if entry.category == "box" else 0.2):
            base = as_is  # boxes mostly lie flat, bottles and cartons now and then
        if entry.category == "book" and rng.random() < 0.8:
            base = [HALF_TURN, 0, HALF_TURN, 0]
        return multiply([np.cos(turn / 2), 0, 0, np.sin(turn / 2)], base)

    def _place(self, rng: np.random.Generator, picked: list[int]) -> tuple[list[_Placed], dict[int, int]]:
        """Free places on the table; small things may go into containers. Those without a place are left out."""
        pool = self._pool
        placed: list[_Placed] = []
        inside: dict[int, int] = {}
        for index in sorted(picked, key=lambda i: not CATALOGUE[pool.keys[i]].holds):
            key = pool.keys[index]
            entry = CATALOGUE[key]
            quaternion = self._pose(rng, key)
            low, high = pool.extent(index, quaternion)
            radius = float(np.hypot(*(high - low)[:2])) / 2 * 0.8
            centre = (low + high)[:2] / 2
            free = [p for p in placed if CATALOGUE[pool.keys[p.index]].holds and p.index not in inside.values()]
            small = max((high - low)[:2]) < 0.11 and not entry.holds
            if small and free and rng.random() < 0.3:
                host = free[int(rng.integers(len(free)))]
                xy, z = host.xy, TABLE_HEIGHT + host.height + 0.01
                inside[index] = host.index
            else:
                spot = self._free_spot(rng, placed, radius)
                if spot is None:
                    continue
                xy, z = spot, TABLE_HEIGHT + 0.004
            height = 0.02 if entry.holds == "on" else float((high - low)[2])
            placed.append(_Placed(index, xy, radius, height))
            at = pool.qpos[index]
            pool.data.qpos[at : at + 3] = [xy[0] - centre[0], xy[1] - centre[1], z - low[2]]
            pool.data.qpos[at + 3 : at + 7] = quaternion
        return placed, inside

    @staticmethod
    def _free_spot(rng: np.random.Generator, placed: list[_Placed], radius: float) -> tuple[float, float] | None:
        for _ in range(60):
            x, y = rng.uniform(-TABLE_RADIUS, TABLE_RADIUS, 2)
            if all(np.hypot(x - p.xy[0], y - p.xy[1]) > radius + p.radius for p in placed):
                return float(x), float(y)
        return None

    def _still_inside(self, index: int, host: int) -> bool:
        """Whether the physics left a thing where it was put: its centre above the host's footprint."""
        pool = self._pool
        where, turned = [], []
        for i in (index, host):
            low, high = pool.extent(i, pool.data.xquat[pool.body[i]])
            where.append(pool.data.xpos[pool.body[i]] + (low + high) / 2)
            turned.append((high - low) / 2)
        return bool(np.all(np.abs(where[0] - where[1])[:2] < turned[1][:2]) and where[0][2] > TABLE_HEIGHT)

    def _furnish(self, rng: np.random.Generator) -> None:
        """Surfaces, lights and their tints."""
        model, surfaces = self._pool.model, self._pool.surfaces
        for name in ("table", "floor"):
            model.geom_matid[model.geom(name).id] = model.material(surfaces[rng.integers(len(surfaces))]).id
        wall = model.material(surfaces[rng.integers(len(surfaces))]).id
        for index in range(4):
            model.geom_matid[model.geom(f"wall{index}").id] = wall
        model.mat_rgba[:] = self._material_colours
        tint = 1 + rng.uniform(-0.1, 0.1, 3)
        for light, (low, high), radius in ((0, (0.4, 0.8), 0.8), (1, (0.1, 0.4), 1.0)):
            angle = rng.uniform(0, 2 * np.pi)
            place = np.array([np.cos(angle) * radius, np.sin(angle) * radius, rng.uniform(1.2, 2.2)])
            direction = np.array([0, 0, TABLE_HEIGHT]) - place
            model.light_pos[light], model.light_dir[light] = place, direction / np.linalg.norm(direction)
            model.light_diffuse[light] = rng.uniform(low, high) * tint
        model.vis.headlight.ambient[:] = rng.uniform(0.2, 0.45)
        model.vis.headlight.diffuse[:] = rng.uniform(0.1, 0.35)

    def _aim(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Turn the camera to the table: K and the pose of its optical frame in the world."""
        model = self._pool.model
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 65))
        distance = rng.uniform(0.7, 1.1)
        target = np.array([0, 0, TABLE_HEIGHT + 0.03]) + rng.uniform(-0.06, 0.06, 3)
        back = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        position = target + distance * back
        right = np.cross([0, 0, 1], back)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(back, right), back], 1)
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, axes.ravel())
        model.cam_pos[0], model.cam_quat[0], model.cam_fovy[0] = position, quaternion, rng.uniform(42, 58)
        focal = self.height / 2 / np.tan(np.radians(model.cam_fovy[0]) / 2)
        k = np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1]])
        pose = np.eye(4)
        pose[:3, :3] = axes @ OPENGL
        pose[:3, 3] = position
        return k, pose

    def _render(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Colour, metric depth, and the model's geom by pixel (-1 none)."""
        pool, renderer = self._pool, self._pool.renderer
        renderer.update_scene(pool.data, "camera", pool.options)
        rgb = renderer.render().copy()
        renderer.enable_depth_rendering()
        depth = renderer.render().copy()
        renderer.disable_depth_rendering()
        renderer.enable_segmentation_rendering()
        segments = renderer.render()
        geom = np.where(segments[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), segments[..., 0], -1)
        renderer.disable_segmentation_rendering()
        depth[depth > FAR_M] = 0
        return rgb, depth.astype(np.float32), geom

    def _describe(
        self, placed: list[_Placed], inside: dict[int, int], depth: npt.NDArray, indices: npt.NDArray,
        k: npt.NDArray, pose: npt.NDArray, visibility: bool,
    ) -> tuple[SceneObject, ...]:
        pool = self._pool
        id_of = {p.index: position for position, p in enumerate(placed)}
        to_camera = np.linalg.inv(pose)
        objects = []
        for position, p in enumerate(placed):
            key = pool.keys[p.index]
            entry = CATALOGUE[key]
            world = pool.data.xpos[pool.body[p.index]]
            camera = to_camera[:3, :3] @ world + to_camera[:3, 3]
            rows, cols = np.nonzero(indices == p.index)
            z = depth[rows, cols]
            centroid = None
            if len(z):
                x, y = (cols + 0.5 - k[0, 2]) / k[0, 0] * z, (rows + 0.5 - k[1, 2]) / k[1, 1] * z
                centroid = (float(x.mean()), float(y.mean()), float(z.mean()))
            share = float(len(z) > 0)
            if len(z) and visibility:
                share = min(1.0, len(z) / max(self._outline_px(p.index, k, to_camera), len(z)))
            host = inside.get(p.index)
            objects.append(
                SceneObject(
                    position, key, entry.noun, entry.category, entry.colours,
                    (float(world[0]), float(world[1]), float(world[2])),
                    (float(camera[0]), float(camera[1]), float(camera[2])),
                    centroid, len(z), None if host is None else id_of.get(host), share,
                )
            )
        return tuple(objects)

    def _outline_px(self, index: int, k: npt.NDArray, to_camera: npt.NDArray) -> float:
        """Pixels an object would cover if nothing hid it and the picture had no edges.

        Its triangles are drawn on a grid of its own: at most OUTLINE_GRID cells along the longer side.
        """
        pool = self._pool
        triangles = pool.triangles(index) @ to_camera[:3, :3].T + to_camera[:3, 3]
        triangles = triangles[np.all(triangles[..., 2] > 0.05, axis=1)]
        if not len(triangles):
            return 0.0
        pixels = triangles[..., :2] / triangles[..., 2:] * k[0, 0]
        low, high = pixels.min((0, 1)), pixels.max((0, 1))
        scale = min(2.0, OUTLINE_GRID / max(float((high - low).max()), 1.0))
        points = np.round((pixels - low) * scale * 16).astype(np.int32)  # 4 bits below the pixel
        width, height = (np.ceil((high - low) * scale).astype(int) + 1).tolist()
        canvas = np.zeros((height, width), np.uint8)
        for triangle in points:
            cv2.fillConvexPoly(canvas, triangle, 1, shift=4)
        # Filling marks every cell an edge touches, about half a cell too much all around the outline.
        outline = cv2.countNonZero(canvas) - cv2.countNonZero(canvas - cv2.erode(canvas, CROSS, borderValue=0)) / 2
        return outline / scale**2
