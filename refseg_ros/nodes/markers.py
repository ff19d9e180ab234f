"""~/markers for RViz and Foxglove: each object's box, name and visible centroid, and every verdict in words."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from refseg_ros.core import types as core
from refseg_ros.core.outcome import Verdict
from refseg_ros.nodes.results import box_pose, header_of, vector

PALETTE = ((0.12, 0.47, 0.71), (1.0, 0.5, 0.05), (0.17, 0.63, 0.17), (0.84, 0.15, 0.16), (0.58, 0.4, 0.74))
VERDICT_COLOURS = {
    Verdict.FOUND: (0.4, 0.9, 0.45),
    Verdict.ABSENT: (0.65, 0.65, 0.65),
    Verdict.AMBIGUOUS: (1.0, 0.7, 0.25),
    Verdict.UNCERTAIN: (0.95, 0.9, 0.4),
}
TEXT_M, LINE_M = 0.03, 0.045
BOARD = (0.0, -0.35, 1.0)  # where the verdicts stand, optical frame, metres: above the middle of the view


def markers(result: core.Segmentation, frame: core.Frame | None) -> MarkerArray:
    """The first marker removes those of the answer before. Namespaces: boxes, names, centroids (the instance's id) and
    verdicts (the phrase's index, also for phrases without an object)."""
    header = header_of(frame)
    array = MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
    phrase_of = {i.id: i.phrase for i in result.instances}
    for obj in result.objects:
        if obj.obb is None or obj.centroid_m is None:
            continue
        phrase = result.phrases[phrase_of[obj.instance]]
        box = _marker(header, "boxes", obj.instance, Marker.CUBE, PALETTE[obj.instance % len(PALETTE)], 0.35)
        box.pose = box_pose(obj.obb)
        box.scale = vector(obj.obb.size_m)
        at = box.pose.position
        words = f"{obj.instance}: {phrase.text} ({phrase.verdict.name})"
        name = _text(header, "names", obj.instance, (at.x, at.y - 0.08, at.z), words, phrase.verdict)
        centroid = _marker(header, "centroids", obj.instance, Marker.SPHERE, VERDICT_COLOURS[phrase.verdict], 1.0)
        centroid.pose.position = _point(obj.centroid_m)
        centroid.scale = Vector3(x=0.01, y=0.01, z=0.01)
        array.markers += [box, name, centroid]
    x, y, z = BOARD
    for line, phrase in enumerate(result.phrases):
        words = f"{phrase.text}: {phrase.verdict.name} ({phrase.score:.2f})"
        array.markers.append(_text(header, "verdicts", line, (x, y + LINE_M * line, z), words, phrase.verdict))
    return array


def _marker(header: Header, space: str, number: int, kind: int, rgb: tuple[float, float, float], alpha: float) -> Any:
    marker: Any = Marker(header=header, ns=space, id=number, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.color = ColorRGBA(r=rgb[0], g=rgb[1], b=rgb[2], a=alpha)
    return marker


def _text(
    header: Header, space: str, number: int, at: tuple[float, float, float], words: str, verdict: Verdict
) -> Any:
    marker = _marker(header, space, number, Marker.TEXT_VIEW_FACING, VERDICT_COLOURS[verdict], 1.0)
    marker.pose.position, marker.scale.z, marker.text = _point(at), TEXT_M, words
    return marker


def _point(xyz: tuple[float, float, float]) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
