"""Message modules of packages that are not installed here, by their documented fields: a wrong name or type raises."""

from __future__ import annotations

import copy
import types


def message(name, /, **fields):
    """A message class. fields: name -> default, a class for a nested message, a list for an array; UPPER: constants."""
    constants = {k: v for k, v in fields.items() if k.isupper()}
    slots = {k: v for k, v in fields.items() if not k.isupper()}

    def __init__(self, **given):
        for field, default in slots.items():
            object.__setattr__(self, field, default() if isinstance(default, type) else copy.copy(default))
        for field, value in given.items():
            setattr(self, field, value)

    def __setattr__(self, field, value):
        assert field in slots, f"{name} has no field {field}"
        default = slots[field]
        wanted = default if isinstance(default, type) else type(default)
        assert isinstance(value, wanted), f"{name}.{field} is a {wanted.__name__}, not {value!r}"
        object.__setattr__(self, field, value)

    return type(name, (), {"__init__": __init__, "__setattr__": __setattr__, **constants})


def module(*classes):
    return types.SimpleNamespace(**{c.__name__: c for c in classes})


def vision_msgs():
    from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
    from std_msgs.msg import Header

    hypothesis = message("ObjectHypothesis", class_id="", score=0.0)
    with_pose = message("ObjectHypothesisWithPose", hypothesis=hypothesis, pose=PoseWithCovariance)
    pose_2d = message("Pose2D", position=message("Point2D", x=0.0, y=0.0), theta=0.0)
    box_2d = message("BoundingBox2D", center=pose_2d, size_x=0.0, size_y=0.0)
    box_3d = message("BoundingBox3D", center=Pose, size=Vector3)
    return module(
        with_pose,
        message("Detection2D", header=Header, results=[], bbox=box_2d, id=""),
        message("Detection3D", header=Header, results=[], bbox=box_3d, id=""),
        message("Detection2DArray", header=Header, detections=[]),
        message("Detection3DArray", header=Header, detections=[]),
    )


def shape_msgs():
    return module(message("SolidPrimitive", type=0, dimensions=[], BOX=1, SPHERE=2, CYLINDER=3, CONE=4))


def moveit_msgs():
    from geometry_msgs.msg import Pose
    from std_msgs.msg import Header

    collision = message(
        "CollisionObject", header=Header, pose=Pose, id="", primitives=[], primitive_poses=[], meshes=[], mesh_poses=[],
        planes=[], plane_poses=[], subframe_names=[], subframe_poses=[], operation=0, ADD=0, REMOVE=1, APPEND=2, MOVE=3,
    )  # fmt: skip
    world = message("PlanningSceneWorld", collision_objects=[])
    state = message("RobotState", is_diff=False)
    return module(collision, message("PlanningScene", name="", robot_state=state, world=world, is_diff=False))


def gpd_ros():
    from sensor_msgs.msg import PointCloud2

    sources = message("CloudSources", cloud=PointCloud2, camera_source=[], view_points=[])
    return module(message("CloudIndexed", cloud_sources=sources, indices=[]))
