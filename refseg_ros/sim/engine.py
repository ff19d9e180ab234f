"""Makes scenes: objects dropped on a table, looked at by a camera, with exact depth, masks and poses."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.sim import assets, holdout, room
from refseg_ros.sim.expressions.appearance import appearance
from refseg_ros.sim.outline import outline_px
from refseg_ros.sim.paint import PAINTS, apply_paint, drawn_paint
from refseg_ros.sim.placing import Placed, arrange, size_as_it_lies, still_inside
from refseg_ros.sim.plainly import told
from refseg_ros.sim.pool import Extend, ObjectPool
from refseg_ros.sim.scene import Scene, SceneObject
from refseg_ros.sim.settling import settle
from refseg_ros.sim.shapes import SHAPES, UNKNOWN
from refseg_ros.sim.splits import SPLIT_SEEDS
from refseg_ros.sim.style import CALM, SceneStyle

MOST_TRIES = 10
FAR_M = 6.0
TEST_SHARE, TEST_SURFACE_SHARE = 0.5, 0.25  # of test scenes with something held out, and with such a surface
MOST_ALIKE = 5
SHAPE_PAINT_SHARE = 0.6


@dataclass(frozen=True)
class _Shown:
    """What scene() made: for look()."""

    seed: int
    placed: list[Placed]
    inside: dict[int, int]
    k: npt.NDArray[np.float64]
    t_world_camera: npt.NDArray[np.float64]
    paints: dict[int, str] = field(default_factory=dict)


class SceneEngine:
    """Repeatable scenes: the same seed, keys and size give the same scene. Use as a context, or call close().

    extend: adds bodies to the world, a gripper for one. unknown: has things with a label nobody knows (style.unknown)
    and surfaces from sim.patterns; apart, since a scene is the same to the last bit only in the same world.

    Raises assets.AssetsMissing when no object is installed.
    """

    def __init__(
        self, keys: Sequence[str] | None = None, width: int = 640, height: int = 480, extend: Extend | None = None,
        unknown: bool = False,
    ) -> None:
        folder = assets.prepare()
        self.width, self.height = width, height
        named = sorted(assets.sources()) if keys is None else list(keys)
        self._pool = ObjectPool([*named, *SHAPES, *(UNKNOWN * unknown)], folder, width, height, extend)
        self._named = len(named)
        self._shown: _Shown | None = None
        # Registered after mujoco's own hook, so run before it: then there still is a display to free things on.
        pool_of = weakref.ref(self._pool)
        self._at_exit = lambda: pool.close() if (pool := pool_of()) else None
        atexit.register(self._at_exit)

    @property
    def pool(self) -> ObjectPool:
        """The physics behind the scenes, for a program that acts in them."""
        return self._pool

    @property
    def shown_indices(self) -> tuple[int, ...]:
        """The pool's index of each object of the last scene(), by SceneObject.id."""
        return () if self._shown is None else tuple(p.index for p in self._shown.placed)

    def close(self) -> None:
        """Free the renderer; more than once does no harm. At the program's end it is done in any case."""
        atexit.unregister(self._at_exit)
        self._pool.close()

    def __enter__(self) -> SceneEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scene(
        self, seed: int, count: tuple[int, int] = (4, 10), visibility: bool = False, style: SceneStyle = CALM,
        split: str | None = None,
    ) -> Scene:
        """A scene of count[0] to count[1] objects, settled by physics and rendered without sensor faults.

        visibility: work out SceneObject.visible_fraction exactly (tens of milliseconds; a varied scene has it within
        some percent anyway). style: how varied. split: "train" and "val" hold nothing of holdout, half of the "test"
        scenes do, None does not care. Raises ValueError for a bad count or split.
        Where the physics fails, the scene is drawn anew; RuntimeError where it does so every time.
        """
        if not 1 <= count[0] <= count[1]:
            raise ValueError(f"count must be (lowest, highest) with 1 <= lowest <= highest, not {count}")
        if split not in (None, *SPLIT_SEEDS):
            raise ValueError(f"split must be one of {', '.join(SPLIT_SEEDS)} or None, not {split!r}")
        pool = self._pool
        for number in range(MOST_TRIES):
            # Extras are drawn apart: a calm scene is the same whatever else a varied one learns to show.
            again = (10 + number,) if number else ()
            rng, extras = np.random.default_rng((seed, *again)), np.random.default_rng((seed, 1, *again))
            picked, shapes, paints = self._chosen(rng, extras, count, style, split)
            mujoco.mj_resetData(pool.model, pool.data)
            pool.restore_looks()
            for index in shapes:
                pool.resize_shape(index, extras)
            pool.activate(picked)
            arranged = arrange(pool, rng, picked, style)
            pool.activate([p.index for p in arranged.placed])
            if settle(pool, [p.index for p in arranged.placed], early=not style.calm):
                break
        else:
            raise RuntimeError(f"the physics of scene {seed} failed {MOST_TRIES} times; take another seed")
        room.furnish(pool, rng, self._surfaces(extras, style, split))
        for index, paint in paints.items():
            apply_paint(pool.model, pool.visual[index], pool.keys[index], paint, extras)
        for index in shapes:
            self._dress_shape(index, paints, extras)
        if not style.calm:
            room.vary(pool, extras, style)
        boxes = [pool.box(p.index) for p in arranged.placed]
        things = np.array([[*(low + high) / 2, np.linalg.norm(high - low) / 2] for low, high in boxes]).reshape(-1, 4)
        k, t_world_camera = room.aim(pool, rng, style, (self.width, self.height), things)
        mujoco.mj_forward(pool.model, pool.data)
        inside = {i: host for i, host in arranged.inside.items() if still_inside(pool, i, host)}
        self._shown = _Shown(seed, arranged.placed, inside, k, t_world_camera, paints)
        return self.look(visibility=visibility, quick_visibility=not style.calm)

    def _chosen(
        self, rng: np.random.Generator, extras: np.random.Generator, count: tuple[int, int], style: SceneStyle,
        split: str | None,
    ) -> tuple[list[int], list[int], dict[int, str]]:
        """All things of a scene, those of them that are shapes, and the paint of those that get one."""
        wanted = int(rng.integers(count[0], count[1] + 1))
        if style.calm and split is None:
            picked = [int(i) for i in rng.choice(self._named, min(wanted, self._named), replace=False)]
            return picked, [], {}
        picked, paints = self._pick(extras, wanted, style, split)
        return picked, picked[wanted:], paints

    def _pick(
        self, rng: np.random.Generator, wanted: int, style: SceneStyle, split: str | None
    ) -> tuple[list[int], dict[int, str]]:
        """`wanted` named objects, then shapes; and the paint of those that get one."""
        keys = self._pool.keys
        trained = split in ("train", "val")
        allowed = [i for i in range(self._named) if not (trained and holdout.held_out(keys[i]))]
        picked: list[int] = []
        if split == "test" and rng.random() < TEST_SHARE:
            picked.append(int(rng.choice([i for i in allowed if holdout.held_out(keys[i])])))
        if rng.random() < style.alike_share:
            category = appearance(keys[int(rng.choice(allowed))]).category
            alike = [i for i in allowed if appearance(keys[i]).category == category and i not in picked]
            picked += [int(i) for i in rng.permutation(alike)[: rng.integers(2, MOST_ALIKE + 1)]]
        rest = [i for i in allowed if i not in picked]
        picked = [*picked, *(int(i) for i in rng.permutation(rest))][: min(wanted, len(allowed))]
        paints = {}
        for i in picked:
            paint = drawn_paint(keys[i], style.tint_share, rng)
            if split == "test" and rng.random() < 0.15 and (pairs := _tints_held_out(keys[i])):
                paint = str(rng.choice(pairs))
            if paint and not (trained and holdout.held_out(keys[i], paint)):
                paints[i] = paint
        most = len(SHAPES)
        shapes = rng.permutation(most)[: min(most, int(rng.integers(style.shapes[0], style.shapes[1] + 1)))]
        extras = [self._named + int(i) for i in shapes]
        if strange := len(keys) - self._named - most:
            many = min(strange, int(rng.integers(style.unknown[0], style.unknown[1] + 1)))
            extras += [self._named + most + int(i) for i in rng.permutation(strange)[:many]]
        return [*picked, *extras], paints

    def _surfaces(self, rng: np.random.Generator, style: SceneStyle, split: str | None) -> list[str]:
        """The surfaces that a scene of the split may have."""
        known = self._pool.surfaces
        if self._pool.patterns and rng.random() < style.pattern_share:
            return self._pool.patterns
        if split == "test" and rng.random() < TEST_SURFACE_SHARE:
            return [s for s in known if s in holdout.SURFACES] or known
        return [s for s in known if split is None or s not in holdout.SURFACES] or known

    def _dress_shape(self, index: int, paints: dict[int, str], rng: np.random.Generator) -> None:
        """One plain colour, or the texture of some surface; what nobody knows has a label."""
        pool = self._pool
        if pool.keys[index] in UNKNOWN:
            pool.model.geom_matid[pool.visual[index]] = pool.model.material(str(rng.choice(pool.labels))).id
            pool.model.geom_rgba[pool.visual[index]] = 1
        elif rng.random() < SHAPE_PAINT_SHARE:
            paints[index] = str(rng.choice(sorted(PAINTS)))
            apply_paint(pool.model, pool.visual[index], pool.keys[index], paints[index], rng)
        else:
            surface = [s for s in pool.surfaces if s not in holdout.SURFACES]
            pool.model.geom_matid[pool.visual[index]] = pool.model.material(str(rng.choice(surface))).id
            pool.model.geom_rgba[pool.visual[index]] = 1

    def look(
        self, t_world_camera: npt.NDArray[np.float64] | None = None, visibility: bool = False,
        quick_visibility: bool = False,
    ) -> Scene:
        """The scene of the last scene(), as its objects lie now, and from another place if one is given.

        visibility: SceneObject.visible_fraction exactly; quick_visibility: within some percent.
        Raises RuntimeError before the first scene().
        """
        shown, pool = self._shown, self._pool
        if shown is None:
            raise RuntimeError("there is no scene to look at yet; call scene() first")
        if t_world_camera is not None:
            shown = self._shown = replace(shown, t_world_camera=t_world_camera)
            room.look_from(pool.model, t_world_camera)
        mujoco.mj_forward(pool.model, pool.data)
        rgb, depth, geoms = self._render()
        indices = pool.object_of_geom[geoms]
        placed, pose = shown.placed, shown.t_world_camera
        wanted = "exact" if visibility else "quick" if quick_visibility else ""
        objects = self._describe(shown, rgb, depth, indices, wanted)
        ids = np.full(len(pool.keys) + 1, -1, np.int16)
        for position, p in enumerate(placed):
            ids[p.index] = position
        stuff = pool.stuff_of_geom[geoms]
        return Scene(shown.seed, rgb, depth, ids[indices], shown.k, pose, objects, stuff_ids=stuff)

    def _render(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Colour, metric depth, and the model's geom by pixel (-1 none)."""
        pool, renderer = self._pool, self._pool.renderer
        renderer.update(pool.data, "camera", pool.options)
        rgb = renderer.color()
        depth, geom = renderer.depth_and_geoms()
        depth[depth > FAR_M] = 0
        return rgb, depth, geom

    def _describe(
        self, shown: _Shown, rgb: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32],
        indices: npt.NDArray[np.int64], visibility: str,
    ) -> tuple[SceneObject, ...]:
        """visibility: "exact", "quick" or ""."""
        pool, k = self._pool, shown.k
        id_of = {p.index: position for position, p in enumerate(shown.placed)}
        to_camera = np.linalg.inv(shown.t_world_camera)
        seen_at = _pixels_by_index(indices, [p.index for p in shown.placed])
        objects = []
        for position, p in enumerate(shown.placed):
            key, paint = pool.keys[p.index], shown.paints.get(p.index, "")
            look = appearance(key, paint)
            world = pool.data.xpos[pool.body[p.index]]
            camera = to_camera[:3, :3] @ world + to_camera[:3, 3]
            rows, cols = np.divmod(seen_at[p.index], indices.shape[1])
            z = depth[rows, cols]
            centroid = None
            if len(z):
                x, y = (cols - k[0, 2]) / k[0, 0] * z, (rows - k[1, 2]) / k[1, 1] * z
                centroid = (float(x.mean()), float(y.mean()), float(z.mean()))
            share = float(len(z) > 0)
            if len(z) and visibility:
                seen_from = pool.triangles(p.index) @ to_camera[:3, :3].T + to_camera[:3, 3]
                whole = outline_px(seen_from, float(k[0, 0]), exact=visibility == "exact")
                share = min(1.0, len(z) / max(whole, len(z)))
            host = shown.inside.get(p.index)
            objects.append(
                SceneObject(
                    position, key, look.noun, look.category, look.colours,
                    (float(world[0]), float(world[1]), float(world[2])),
                    (float(camera[0]), float(camera[1]), float(camera[2])),
                    centroid, len(z), None if host is None else id_of.get(host), share,
                    paint, size_as_it_lies(pool, p.index), told(rgb[rows, cols], look.colours, bool(paint)),
                )
            )
        return tuple(objects)


def _pixels_by_index(indices: npt.NDArray[np.int64], wanted: list[int]) -> dict[int, npt.NDArray[np.int64]]:
    """The flat positions of each wanted index in (H, W) of them, in order; one sort instead of a pass for each."""
    flat = indices.ravel()
    shown = np.flatnonzero(flat >= 0)
    order = np.argsort(flat[shown].astype(np.int16), kind="stable")  # a radix sort, for 16 bits
    ranked = flat[shown][order]
    return {i: shown[order[slice(*np.searchsorted(ranked, [i, i + 1]))]] for i in wanted}


def _tints_held_out(key: str) -> list[str]:
    """The paints that make a held-out pair of an object."""
    noun = appearance(key).noun
    return [colour for n, colour in holdout.PAIRS if n == noun and appearance(key, colour).noun == noun]
