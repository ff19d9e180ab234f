"""The robot cell in MuJoCo: a table of household objects and a parallel gripper on a gantry, with contact physics.

The gantry is three slides and a hinge with position servos, so it goes where it is told to: this example is about what
to grasp, not about arms. The fingers are servos of limited force, and hold by friction alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from refseg_ros.pick.shape import GRIPPER
from refseg_ros.sim.engine import Scene, SceneEngine
from refseg_ros.sim.pool import TABLE_HEIGHT

AXES = ("x", "y", "z", "yaw")
FINGERS = ("finger0", "finger1")
PARKED = np.array([0.0, 0.0, 1.5, 0.0])  # of the tips; above the camera's view
TIMESTEP = 0.002
SPEED = {"x": 0.5, "y": 0.5, "z": 0.4, "yaw": 3.0, "opening": 0.12}  # m/s, rad/s
HOLDING_FORCE = 6.0  # N a finger
LIFTED_M = 0.10
REST_STEPS = 600


@dataclass(frozen=True)
class Pose:
    """Where the gripper is: tips (x, y, z) metres, yaw radians, opening metres; force: the fingers', N; arrived: it is
    where it was sent, and its fingers move no more; time_s: of the simulation."""

    x: float
    y: float
    z: float
    yaw: float
    opening: float
    force: float
    arrived: bool
    time_s: float


def add_gripper(spec: mujoco.MjSpec) -> None:
    """The gantry and the hand, and a contact model in which friction holds."""
    spec.option.timestep = TIMESTEP
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    box, joint = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtJoint
    x, y, z, _ = PARKED
    hand = spec.worldbody.add_body(name="hand", pos=[x, y, z], gravcomp=1)
    for name, axis in zip("xyz", np.eye(3), strict=True):
        hand.add_joint(name=name, type=joint.mjJNT_SLIDE, axis=axis, damping=5, armature=0.1)
    hand.add_joint(name="yaw", type=joint.mjJNT_HINGE, axis=[0, 0, 1], damping=0.5, armature=0.01)
    g = GRIPPER
    grey, dark = [0.75, 0.77, 0.8, 1], [0.2, 0.22, 0.26, 1]
    hand.add_geom(
        type=box, size=[*g.palm, 0.02], pos=[0, 0, g.length + 0.02], rgba=dark, mass=0.4, contype=1, conaffinity=1
    )
    hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[0.025, 0.25, 0], pos=[0, 0, g.length + 0.29], rgba=grey, mass=0.3,
        contype=0, conaffinity=0,
    )  # fmt: skip
    for name, side in zip(FINGERS, (1.0, -1.0), strict=True):
        finger = hand.add_body(name=name, pos=[side * g.thickness / 2, 0, 0], gravcomp=1)
        finger.add_joint(
            name=name, type=joint.mjJNT_SLIDE, axis=[side, 0, 0], limited=True, range=[0, g.opening / 2], damping=3,
            armature=0.05,
        )  # fmt: skip
        finger.add_geom(
            type=box, size=[g.thickness / 2, g.breadth / 2, g.length / 2], pos=[0, 0, g.length / 2], rgba=grey,
            mass=0.1, friction=[1.6, 0.02, 0.001], condim=4, priority=1, solref=[0.005, 1],
        )  # fmt: skip
    for name in AXES:
        stiff, slow = (4000.0, 160.0) if name != "yaw" else (60.0, 4.0)
        _servo(spec, name, stiff, slow, None)
    for name in FINGERS:
        _servo(spec, name, 800.0, 20.0, HOLDING_FORCE)


def _servo(spec: mujoco.MjSpec, name: str, stiffness: float, damping: float, force: float | None) -> None:
    servo = spec.add_actuator(
        name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, biastype=mujoco.mjtBias.mjBIAS_AFFINE
    )
    servo.gainprm[0] = stiffness
    servo.biasprm[:3] = [0, -stiffness, -damping]
    if force is not None:
        servo.forcelimited, servo.forcerange = True, [-force, force]


class Cell:
    """show() a scene, command() the gripper, step() time, see where it is, look() at it. Use as a context."""

    def __init__(self, width: int = 640, height: int = 480) -> None:
        self._engine = SceneEngine(width=width, height=height, extend=add_gripper)
        pool = self._engine.pool
        self._model, self._data = pool.model, pool.data
        self._joint = {name: self._model.joint(name) for name in (*AXES, *FINGERS)}
        self._motor = {name: self._model.actuator(name).id for name in (*AXES, *FINGERS)}
        self._goal: dict[str, float] = {}
        self._heights: dict[int, float] = {}
        self._held_s: dict[int, float] = {}
        self._quiet_s = 0.0
        self.scene: Scene | None = None

    def __enter__(self) -> Cell:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the renderer."""
        self._engine.close()

    def show(self, seed: int, count: tuple[int, int]) -> Scene:
        """Another scene, at rest, with the gripper parked and open."""
        self._engine.scene(seed, count=count)
        self._goal = dict(zip(AXES, PARKED, strict=True)) | {"opening": GRIPPER.opening}
        half = GRIPPER.opening / 2
        for name in FINGERS:
            self._data.qpos[self._joint[name].qposadr[0]] = half
            self._data.ctrl[self._motor[name]] = half
        mujoco.mj_step(self._model, self._data, REST_STEPS)
        self._heights = {o: self._place(o)[2] for o in range(len(self._engine.shown_indices))}
        self._held_s = dict.fromkeys(self._heights, 0.0)
        self.scene = self._engine.look()
        return self.scene

    def command(self, goal: Mapping[str, float]) -> None:
        """Where to go: any of x, y, z (of the tips, metres), yaw and opening. Others stay as they were commanded."""
        unknown = set(goal) - {*AXES, "opening"}
        if unknown or not np.isfinite(list(goal.values())).all():
            raise ValueError(f"the gripper goes to finite x, y, z, yaw and opening, not {dict(goal)}")
        self._goal |= goal
        self._goal["opening"] = float(np.clip(self._goal["opening"], 0.0, GRIPPER.opening))
        self._goal["z"] = max(self._goal["z"], TABLE_HEIGHT + 0.003)
        self._quiet_s = 0.0

    def step(self, seconds: float) -> None:
        """Let so much time pass; the servos' set points move at SPEED."""
        for _ in range(round(seconds / TIMESTEP)):
            for name, parked in zip(AXES, PARKED, strict=True):
                self._approach(name, self._goal[name] - parked, SPEED[name])
            for name in FINGERS:
                self._approach(name, self._goal["opening"] / 2, SPEED["opening"] / 2)
            mujoco.mj_step(self._model, self._data)
            for o, height in self._heights.items():
                up = self._place(o)[2] - height >= LIFTED_M
                self._held_s[o] = self._held_s[o] + TIMESTEP if up else 0.0
            self._quiet_s = self._quiet_s + TIMESTEP if self._at_goal() else 0.0

    def _approach(self, name: str, goal: float, speed: float) -> None:
        motor = self._motor[name]
        now = self._data.ctrl[motor]
        self._data.ctrl[motor] = now + np.clip(goal - now, -speed * TIMESTEP, speed * TIMESTEP)

    def _at_goal(self) -> bool:
        """Set points reached, the hand there, the fingers still (closed on something they need not reach theirs)."""
        near = all(
            abs(self._data.qpos[self._joint[n].qposadr[0]] + p - self._goal[n]) < (0.004 if n != "yaw" else 0.02)
            for n, p in zip(AXES, PARKED, strict=True)
        )
        set_points = all(abs(self._data.ctrl[self._motor[n]] - self._goal["opening"] / 2) < 1e-4 for n in FINGERS)
        slow = all(abs(self._data.qvel[self._joint[n].dofadr[0]]) < 0.004 for n in FINGERS)
        return near and set_points and slow

    @property
    def pose(self) -> Pose:
        """Where the gripper is."""
        q = {n: float(self._data.qpos[self._joint[n].qposadr[0]]) for n in (*AXES, *FINGERS)}
        x, y, z, yaw = (q[n] + float(p) for n, p in zip(AXES, PARKED, strict=True))
        force = float(np.mean([abs(self._data.actuator_force[self._motor[n]]) for n in FINGERS]))
        opening = q[FINGERS[0]] + q[FINGERS[1]]
        return Pose(x, y, z, yaw, opening, force, self._quiet_s > 0.1, float(self._data.time))

    @property
    def held_s(self) -> dict[int, float]:
        """Truth: object id -> for how long it has been 10 cm above where it lay."""
        return dict(self._held_s)

    def _place(self, number: int) -> npt.NDArray[np.float64]:
        pool = self._engine.pool
        place: npt.NDArray[np.float64] = self._data.xpos[pool.body[self._engine.shown_indices[number]]]
        return place

    def picture(self, azimuth: float = 140.0) -> npt.NDArray[np.uint8]:
        """The cell from the side: uint8 (H, W, 3)."""
        camera = mujoco.MjvCamera()
        camera.lookat[:] = [0, 0, TABLE_HEIGHT + 0.1]
        camera.distance, camera.azimuth, camera.elevation = 1.15, azimuth, -28.0
        pool = self._engine.pool
        mujoco.mj_forward(self._model, self._data)
        pool.renderer.update(self._data, camera, pool.options)
        return pool.renderer.color()
