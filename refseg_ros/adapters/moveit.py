"""MoveIt's planning scene: a CollisionObject added for every object in view, and removed when it is no longer seen
(github.com/moveit/moveit_msgs, CollisionObject.msg and PlanningScene.msg)."""

from __future__ import annotations

import importlib
from typing import Any

from refseg_ros.core.types import Object3D, OrientedBox, Segmentation

PREFIX = "refseg_"


class SceneObjects:
    """Remembers what it added, so that it can be removed. For one planning scene; one thread at a time.

    types: the module moveit_msgs.msg; header: of the frame that the objects are in, on the image's stamp.
    """

    def __init__(self) -> None:
        self._added: frozenset[str] = frozenset()

    def collision_objects(self, types: Any, segmentation: Segmentation, header: Any) -> list[Any]:
        """ADD for each valid object (MoveIt replaces one of the same id), REMOVE for those that are gone."""
        boxes = {f"{PREFIX}{o.instance}": o for o in segmentation.objects if o.valid}
        gone = sorted(self._added - set(boxes))
        self._added = frozenset(boxes)
        remove = types.CollisionObject.REMOVE
        removed = [types.CollisionObject(header=header, id=name, operation=remove) for name in gone]
        return removed + [_added(types, name, obj, header) for name, obj in boxes.items()]

    def scene(self, types: Any, segmentation: Segmentation, header: Any) -> Any:
        """The same as a PlanningScene that is a difference, for move_group's topic planning_scene."""
        out = types.PlanningScene(is_diff=True)
        out.robot_state.is_diff = True
        out.world.collision_objects = self.collision_objects(types, segmentation, header)
        return out


def _added(types: Any, name: str, obj: Object3D, header: Any) -> Any:
    """The box of an object: its pose is the object's own, the primitive lies at its origin."""
    SolidPrimitive = importlib.import_module("shape_msgs.msg").SolidPrimitive
    out = types.CollisionObject(header=header, id=name, operation=types.CollisionObject.ADD)
    assert obj.obb is not None  # a valid object has one
    out.pose = _pose(obj.obb)
    out.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=[float(s) for s in obj.obb.size_m])]
    out.primitive_poses = [_pose(OrientedBox((0.0, 0.0, 0.0), obj.obb.size_m, (0.0, 0.0, 0.0, 1.0)))]
    return out


def _pose(box: OrientedBox) -> Any:
    geometry = importlib.import_module("geometry_msgs.msg")
    pose = geometry.Pose()
    pose.position.x, pose.position.y, pose.position.z = map(float, box.center_m)
    q = pose.orientation
    q.x, q.y, q.z, q.w = map(float, box.quaternion_xyzw)
    return pose
