"""One compiled MuJoCo model that holds every object; a scene then only switches objects on and moves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.sim.patterns import Picture, label, surface
from refseg_ros.sim.render import RgbdRenderer
from refseg_ros.sim.scene import TABLE_HEIGHT
from refseg_ros.sim.shapes import UNKNOWN, add_shape, hull_triangles, resize, surface_points

Extend = Callable[[mujoco.MjSpec], None]
HIDDEN_GROUP, SHOWN_GROUP = 4, 1
LABELS, PATTERNS = 60, 40  # for pools with things that nobody knows
LIGHTS = 4  # the first throws shadows
STUFF = ("table", "wall", "floor")
WALLS = (((2.2, 0.0, 1.0), 0), ((-2.2, 0.0, 1.0), 0), ((0.0, 2.2, 1.0), 1), ((0.0, -2.2, 1.0), 1))


class ObjectPool:
    """The room, a table, lights, a camera and one free body for each key, compiled once (seconds).

    Units metres, world z up, table top at TABLE_HEIGHT. Public arrays are indexed by the key's position; a key is of
    the catalogue or one of shapes.SHAPES or UNKNOWN, and these may come several times.
    extend: adds bodies of its own before the model is compiled.
    """

    def __init__(
        self, keys: Sequence[str], assets: Path, width: int, height: int, extend: Extend | None = None
    ) -> None:
        self.keys = tuple(keys)
        spec = mujoco.MjSpec()
        spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
        spec.visual.quality.shadowsize = 2048 if width > 400 else 1024
        spec.visual.quality.offsamples = 4
        spec.visual.map.znear, spec.visual.map.zfar = 0.05, 10.0
        spec.stat.extent, spec.stat.center = 1.0, [0, 0, TABLE_HEIGHT]
        spec.option.timestep = 0.004
        self.surfaces = self._add_surfaces(spec, assets / "surfaces")
        strange = any(k in UNKNOWN for k in self.keys)
        self.labels = self._add_patterns(spec, "label", LABELS * strange, label, mujoco.mjtTexture.mjTEXTURE_CUBE)
        self.patterns = self._add_patterns(spec, "pattern", PATTERNS * strange, surface, mujoco.mjtTexture.mjTEXTURE_2D)
        self._add_room(spec)
        for index, key in enumerate(self.keys):
            frame = spec.worldbody.add_frame(pos=[3 + 0.5 * index, 0, -3])
            if key.startswith("shape:"):
                shape = spec.worldbody.add_body(name=f"object{index}", pos=[3 + 0.5 * index, 0, -3])
                shape.add_freejoint(name=f"joint{index}")
                add_shape(spec, shape, key, index)
                continue
            child = mujoco.MjSpec.from_file(str(assets / key / f"{key}.xml"))
            body = frame.attach_body(child.body("object"), f"{index}-", "")
            body.name = f"object{index}"
            body.add_freejoint(name=f"joint{index}")
        if extend is not None:
            extend(spec)
        self.model = model = spec.compile()
        self.data = mujoco.MjData(model)
        self.body = np.array([model.body(f"object{i}").id for i in range(len(self.keys))])
        self.qpos = np.array([model.joint(f"joint{i}").qposadr[0] for i in range(len(self.keys))])
        self.dof = np.array([model.joint(f"joint{i}").dofadr[0] for i in range(len(self.keys))])
        self.contype, self.conaffinity = model.geom_contype.copy(), model.geom_conaffinity.copy()
        self.visual = [self._visual_geoms(int(b)) for b in self.body]
        self.object_of_geom = np.full(model.ngeom + 1, -1)  # the last entry serves pixels without a geom
        for index, geoms in enumerate(self.visual):
            self.object_of_geom[geoms] = index
        self.static_groups = np.full(model.ngeom, HIDDEN_GROUP)
        self.stuff_of_geom = np.full(model.ngeom + 1, -1, np.int8)  # index in STUFF; the last entry as above
        for name in ("floor", "table", *(f"wall{i}" for i in range(len(WALLS)))):
            self.static_groups[model.geom(name).id] = SHOWN_GROUP
            self.stuff_of_geom[model.geom(name).id] = STUFF.index(name.rstrip("0123456789"))
        # What extend() added is always there: visible, solid, and as heavy as it was made.
        self._added = ~np.isin(model.body_rootid, self.body)
        self._added[0] = False
        self._added_gravcomp = model.body_gravcomp.copy()
        self.static_groups[self._added[model.geom_bodyid]] = SHOWN_GROUP
        self.options = mujoco.MjvOption()
        self.options.geomgroup[:] = 0
        self.options.geomgroup[SHOWN_GROUP] = 1
        looks = ("mat_rgba", "mat_texrepeat", "mat_reflectance", "mat_specular", "geom_rgba", "geom_matid")
        self._looks = {name: getattr(model, name).copy() for name in looks}
        self.renderer = RgbdRenderer(model, height, width)

    @staticmethod
    def _add_surfaces(spec: mujoco.MjSpec, folder: Path) -> list[str]:
        names = []
        for path in sorted(folder.glob("*.png")):
            spec.add_texture(name=path.stem, type=mujoco.mjtTexture.mjTEXTURE_2D, file=str(path))
            material = spec.add_material(
                name=path.stem, texuniform=True, texrepeat=[1.5, 1.5], specular=0.2, shininess=0.2
            )
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = path.stem
            names.append(path.stem)
        return names

    @staticmethod
    def _add_patterns(
        spec: mujoco.MjSpec, kind: str, count: int, drawn: Callable[[np.random.Generator], Picture],
        texture: mujoco.mjtTexture,
    ) -> list[str]:  # fmt: skip
        """Materials of drawn pictures, the same ones each time; their names."""
        names = [f"{kind}{number}" for number in range(count)]
        for number, name in enumerate(names):
            picture = drawn(np.random.default_rng((number, count)))
            height, width, channels = picture.shape
            made = spec.add_texture(name=name, type=texture, width=width, height=height, nchannel=channels)
            made.data = picture.tobytes()
            flat = texture == mujoco.mjtTexture.mjTEXTURE_2D
            material = spec.add_material(name=name, texuniform=flat, texrepeat=[1.5, 1.5] if flat else [1, 1])
            material.specular, material.shininess = (0.2, 0.2) if flat else (0.4, 0.5)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        return names

    def _add_room(self, spec: mujoco.MjSpec) -> None:
        world, box = spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
        first = self.surfaces[0]
        world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 0.1], material=first)
        world.add_geom(
            name="table", type=box, size=[0.6, 0.6, 0.02], pos=[0, 0, TABLE_HEIGHT - 0.02], material=first,
            friction=[1, 0.05, 0.01],
        )  # fmt: skip
        for index, (place, axis) in enumerate(WALLS):
            size = [0.02, 2.2, 1.2] if axis == 0 else [2.2, 0.02, 1.2]
            world.add_geom(
                name=f"wall{index}", type=box, size=size, pos=place, material=first, contype=0, conaffinity=0
            )
        for index in range(LIGHTS):
            world.add_light(name=f"light{index}", pos=[0.5, 0.5, 2], dir=[-0.3, -0.3, -1], castshadow=index == 0)
        world.add_camera(name="camera", pos=[0, -0.8, 1], fovy=45)

    def _visual_geoms(self, body: int) -> npt.NDArray[np.int64]:
        """Meshes drawn for a body: those of group 1, or all where a model has no such group; a shape is what it is."""
        model = self.model
        geoms = np.flatnonzero(model.geom_bodyid == body)
        if len(geoms) == 1:
            return geoms
        meshes = geoms[model.geom_type[geoms] == mujoco.mjtGeom.mjGEOM_MESH]
        drawn = meshes[model.geom_group[meshes] == SHOWN_GROUP]
        return drawn if len(drawn) else meshes

    def extent(self, index: int, quaternion_wxyz: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
        """Lowest and highest corner (metres) of an object's surface in its own frame, turned by a quaternion."""
        model = self.model
        parts = [
            surface_points(model, int(g)) @ rotation(model.geom_quat[g]).T + model.geom_pos[g]
            for g in self.visual[index]
        ]
        turned = np.concatenate(parts) @ rotation(quaternion_wxyz).T
        return turned.min(0), turned.max(0)

    def box(self, index: int) -> tuple[npt.NDArray, npt.NDArray]:
        """Lowest and highest corner (metres) of an object in the world, where it lies now."""
        body = self.body[index]
        low, high = self.extent(index, self.data.xquat[body])
        return low + self.data.xpos[body], high + self.data.xpos[body]

    def triangles(self, index: int) -> npt.NDArray[np.float64]:
        """(T, 3, 3): the corners of an object's drawn triangles in the world, metres, where it lies now."""
        model, data, parts = self.model, self.data, []
        for geom in self.visual[index]:
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
                mesh = model.geom_dataid[geom]
                first = model.mesh_faceadr[mesh]
                faces = model.mesh_face[first : first + model.mesh_facenum[mesh]]
                corners = surface_points(model, int(geom))[faces]
            else:
                corners = hull_triangles(surface_points(model, int(geom)))
            parts.append(corners @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
        return np.concatenate(parts)

    def resize_shape(self, index: int, rng: np.random.Generator) -> None:
        """Give a shape another size."""
        resize(self.model, int(self.visual[index][0]), rng)

    def restore_looks(self) -> None:
        """All colours and materials as they were compiled."""
        for name, value in self._looks.items():
            getattr(self.model, name)[:] = value

    def activate(self, indices: Sequence[int]) -> None:
        """Give gravity, contacts and visibility to these objects and to no others."""
        model = self.model
        active = np.zeros(model.nbody, bool)
        active[0] = True
        active |= self._added
        active[self.body[list(indices)]] = True
        on = active[model.geom_bodyid]
        model.geom_contype[:] = np.where(on, self.contype, 0)
        model.geom_conaffinity[:] = np.where(on, self.conaffinity, 0)
        model.body_gravcomp[:] = np.where(active, 0.0, 1.0)
        model.body_gravcomp[self._added] = self._added_gravcomp[self._added]
        model.geom_group[:] = self.static_groups
        for index in indices:
            model.geom_group[self.visual[index]] = SHOWN_GROUP

    def close(self) -> None:
        """Free the OpenGL context; MuJoCo complains at exit otherwise."""
        self.renderer.close()


def rotation(quaternion_wxyz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The 3 x 3 matrix of a unit quaternion."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion_wxyz, np.float64))
    return matrix.reshape(3, 3)


def multiply(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Quaternion product a b (w first)."""
    product = np.zeros(4)
    mujoco.mju_mulQuat(product, np.asarray(a, np.float64), np.asarray(b, np.float64))
    return product
