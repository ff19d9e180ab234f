"""A core Segmentation to the messages of the contract. Adding an output is adding a function here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import Image, PointCloud2, RegionOfInterest
from std_msgs.msg import Header

from refseg_ros.adapters.scene import labels
from refseg_ros.core import types as core
from refseg_ros.core.outcome import Verdict
from refseg_ros.msg import (
    Instance,
    InstanceArray,
    Object3D,
    Object3DArray,
    PhraseVerdict,
    Rejection,
    RejectionArray,
    SegmentationResult,
)
from refseg_ros.nodes import clouds
from refseg_ros.nodes.images import fill_image


def header_of(frame: core.Frame | None) -> Header:
    """The image's stamp and frame; empty when a request never reached an image."""
    header = Header()
    if frame is not None:
        header.frame_id = frame.frame_id
        header.stamp.sec, header.stamp.nanosec = divmod(frame.stamp_ns, 1_000_000_000)
    return header


def instance_message(instance: core.Instance, header: Header) -> Instance:
    """A mask cropped to its region of interest, mono8."""
    height, width = instance.mask.shape
    x, y = instance.offset
    message = Instance(id=instance.id, phrase=instance.phrase, score=float(instance.score))
    message.roi = RegionOfInterest(x_offset=x, y_offset=y, height=height, width=width, do_rectify=False)
    message.mask = fill_image(Image(header=header), instance.mask.view(np.uint8) * np.uint8(255), "mono8")
    return message


def object_message(obj: core.Object3D, header: Header, with_points: bool) -> Object3D:
    """One object in the header's frame; with its points if they are wanted."""
    message = Object3D(
        instance=obj.instance, valid=obj.valid, reason=obj.reason, depth_coverage=float(obj.depth_coverage)
    )
    if obj.centroid_m is not None and obj.obb is not None:
        message.centroid = Point(**dict(zip("xyz", map(float, obj.centroid_m), strict=True)))
        message.pose = box_pose(obj.obb)
        message.size = vector(obj.obb.size_m)
    message.occluded, message.truncated = obj.occluded, obj.truncated
    message.back_inferred = obj.back_inferred
    message.layer_depths = [float(z) for z in obj.layer_depths_m]
    if obj.centroid_cov_m2 is not None:
        message.centroid_covariance = obj.centroid_cov_m2.ravel().astype(np.float64)
    if obj.size_std_m is not None:
        message.size_std = vector(obj.size_std_m)
    if obj.plane is not None:
        message.has_plane, message.plane_offset = True, float(obj.plane.offset_m)
        message.plane_normal = vector(obj.plane.normal)
        message.bottom, message.top = float(obj.bottom_m or 0.0), float(obj.top_m or 0.0)
    records = clouds.object_records(obj.points, obj.colors, obj.instance) if with_points else None
    empty = np.zeros(0, clouds.XYZ_RGB_INSTANCE)
    message.points = clouds.cloud(header, empty if records is None else records)
    return message


def vector(xyz: Sequence[float]) -> Vector3:
    """Three numbers as a message."""
    return Vector3(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))


def box_pose(box: core.OrientedBox) -> Pose:
    """Centre and axes of an oriented box."""
    x, y, z, w = map(float, box.quaternion_xyzw)
    centre = Point(**dict(zip("xyz", map(float, box.center_m), strict=True)))
    return Pose(position=centre, orientation=Quaternion(x=x, y=y, z=z, w=w))


def result_message(
    result: core.Segmentation, frame: core.Frame | None, request: int, with_points: bool = True
) -> SegmentationResult:
    """The whole answer."""
    header = header_of(frame)
    message = SegmentationResult(header=header, request=request, instruction=result.instruction)
    message.outcome, message.model = int(result.outcome), result.model
    if result.error is not None:
        message.error_code, message.error_message = result.error.code.value, result.error.message
    message.phrases = [
        PhraseVerdict(text=p.text, verdict=int(p.verdict), score=float(p.score), instances=list(p.instances))
        for p in result.phrases
    ]
    message.excluded = list(result.excluded)
    message.instances = [instance_message(i, header) for i in result.instances]
    message.objects = [object_message(o, header, with_points) for o in result.objects]
    message.timing_names = list(result.timings_ms)
    message.timings = [float(v) for v in result.timings_ms.values()]
    return message


def instance_array(message: SegmentationResult) -> InstanceArray:
    return InstanceArray(header=message.header, request=message.request, instances=message.instances)


def object_array(message: SegmentationResult) -> Object3DArray:
    return Object3DArray(header=message.header, request=message.request, objects=message.objects)


def rejection_array(message: SegmentationResult) -> RejectionArray:
    """The phrases that nothing in view fits. An error rejects nothing."""
    rejections = [
        Rejection(phrase=p.text, score=p.score, reason=f"nothing in view fits {p.text!r} (belief {p.score:.2f})")
        for p in message.phrases
        if p.verdict == int(Verdict.ABSENT)
    ]
    return RejectionArray(header=message.header, request=message.request, rejections=rejections)


def label_mask(result: core.Segmentation, frame: core.Frame) -> Image:
    """Instance id by pixel, 16UC1, 0 = none. Where masks overlap the smaller one is on top."""
    return fill_image(Image(header=header_of(frame)), labels(result), "16UC1")


def object_points(result: core.Segmentation, frame: core.Frame) -> PointCloud2:
    """All objects' points in one cloud; fields instance (the id) and index (the same point of ~/scene_points)."""
    camera = frame.intrinsics
    parts = [
        clouds.labelled_records(o.points, o.colors, o.instance, camera)
        for o in result.objects
        if o.valid and camera is not None
    ]
    records = np.concatenate(parts) if parts else np.zeros(0, clouds.XYZ_RGB_INSTANCE_INDEX)
    return clouds.cloud(header_of(frame), records)
