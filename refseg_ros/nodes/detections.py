"""vision_msgs Detection2DArray and Detection3DArray (4.x: Humble and later), where that package is installed.

These types cannot say ABSENT, AMBIGUOUS or UNCERTAIN: only what is FOUND is in them, and an empty one is no rejection.
"""

from __future__ import annotations

from typing import Any

from refseg_ros.core.outcome import Verdict
from refseg_ros.core.types import Frame, Instance, Object3D, Segmentation
from refseg_ros.nodes.results import box_pose, header_of, vector


def _found(result: Segmentation) -> list[Instance]:
    return [i for i in result.instances if result.phrases[i.phrase].verdict is Verdict.FOUND]


def _hypothesis(types: Any, result: Segmentation, instance: Instance, obj: Object3D | None) -> Any:
    """class_id: the phrase; pose: of the box, 3-D only."""
    out = types.ObjectHypothesisWithPose()
    out.hypothesis.class_id = result.phrases[instance.phrase].text
    out.hypothesis.score = float(instance.score)
    if obj is not None and obj.obb is not None:
        out.pose.pose = box_pose(obj.obb)
    return out


def detections_2d(types: Any, result: Segmentation, frame: Frame) -> Any:
    """A vision_msgs/Detection2DArray; types: the module vision_msgs.msg. Boxes in pixels; id: the instance's."""
    array = types.Detection2DArray(header=header_of(frame))
    for instance in _found(result):
        x0, y0, x1, y1 = instance.box_xyxy
        one = types.Detection2D(header=array.header, id=str(instance.id))
        one.results = [_hypothesis(types, result, instance, None)]
        one.bbox.center.position.x, one.bbox.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
        one.bbox.size_x, one.bbox.size_y = float(x1 - x0), float(y1 - y0)
        array.detections.append(one)
    return array


def detections_3d(types: Any, result: Segmentation, frame: Frame) -> Any:
    """A vision_msgs/Detection3DArray of the valid objects, in the frame's frame, metres; id: the instance's."""
    array = types.Detection3DArray(header=header_of(frame))
    objects = {o.instance: o for o in result.objects if o.valid}
    for instance in _found(result):
        obj = objects.get(instance.id)
        if obj is None or obj.obb is None:
            continue
        one = types.Detection3D(header=array.header, id=str(instance.id))
        one.results = [_hypothesis(types, result, instance, obj)]
        one.bbox.center = box_pose(obj.obb)
        one.bbox.size = vector(obj.obb.size_m)
        array.detections.append(one)
    return array
