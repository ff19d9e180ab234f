"""Ids that last: the instances of one image after the other, matched in 3-D and by what they look like.

Positions are kept in an anchor frame, which stands still in the scene while the camera moves (core/camera_motion): a
thing at rest can then be averaged, and a thing that was moved is told from a camera that was. Matching is an assignment
(Kuhn and Munkres, from scipy). What is not seen is remembered for a while, and never reported as seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from refseg_ros.core.appearance import Look, differences, looks
from refseg_ros.core.boxes import quaternion
from refseg_ros.core.camera import project
from refseg_ros.core.camera_motion import CameraMotion
from refseg_ros.core.track_filter import PositionFilter, motion_over
from refseg_ros.core.tracks import EventKind, Track, Tracked, TrackEvent, TrackState
from refseg_ros.core.transform import RigidTransform, rotation_matrix
from refseg_ros.core.types import Frame, Instance, Object3D, OrientedBox, PhraseVerdict, Segmentation

Vector = npt.NDArray[np.float64]

LARGEST_ID = 65535  # what ~/label_mask can hold
CENTROID_STD_M = 0.004  # of a measured centroid, one axis, where the object does not say
CAMERA_COVARIANCE = np.eye(3) * 0.001**2  # m^2, added to what the object says: the camera is not known better
INFEASIBLE = 1e6
NOWHERE = np.full(3, np.nan)


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Raises ValueError for values that cannot work.

    memory_s: how long something unseen is remembered. gate_m: how far from its forecast a thing may be found, plus half
    its own size, plus gate_m_s for every second unseen. gate_look: the largest difference in looks, 0 to 1.
    look_weight: what looks weigh against distance. moved_m: a shift in the scene that is an event.
    """

    memory_s: float = 3.0
    gate_m: float = 0.08
    gate_m_s: float = 0.15
    gate_look: float = 0.8
    look_weight: float = 1.0
    moved_m: float = 0.03

    def __post_init__(self) -> None:
        for name in ("memory_s", "gate_m", "gate_m_s", "look_weight", "moved_m"):
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"TrackingConfig.{name} must be at least 0 and finite, not {value}")
        if not 0.0 < self.gate_look <= 1.0:
            raise ValueError(f"TrackingConfig.gate_look must be in (0, 1], not {self.gate_look}")


class _Camera:
    """Where the camera of one frame is in the scene."""

    def __init__(self, anchor: RigidTransform, frame: Frame) -> None:
        self.anchor, self.intrinsics = anchor, frame.intrinsics
        self.from_anchor = anchor.inverse

    def pixel(self, known: _Known) -> Vector:
        """Where something should be in the picture (it may be beside it); NaN behind the camera, or without depth."""
        if self.intrinsics is None or known.filter is None:
            return NOWHERE[:2]
        here = self.from_anchor.rotation @ known.filter.position + self.from_anchor.translation
        place: Vector = project(here, self.intrinsics)[0]
        return place


@dataclass(eq=False)
class _Seen:
    """An instance of this frame. place: pixels (x, y); extent_px: its box's diagonal; the rest in the anchor frame."""

    instance: Instance
    look: Look
    place: Vector
    extent_px: float
    centroid: Vector | None = None
    covariance: Vector = field(default_factory=lambda: np.eye(3) * CENTROID_STD_M**2)
    sizes: Vector = field(default_factory=lambda: np.zeros(3))
    whole: bool = False  # neither hidden in part nor cut off by the picture's border
    box: tuple[Vector, Vector, Vector] | None = None  # centre less centroid, rotation (3, 3), size


@dataclass(eq=False)
class _Known:
    """Something followed. reference: where it stood when it was last said to have moved, and how it was seen there."""

    id: int
    phrase: int
    text: str
    last: _Seen
    look: Look
    began_s: float
    seen_s: float
    filter: PositionFilter | None
    offset: Vector | None = None  # its mask's place in the picture less that of its position, pixels
    reference: tuple[Vector, Vector, Vector] | None = None  # position, direction of view, sizes
    hits: int = 1
    shifted: int = 0
    reason: str = ""


class Tracker:
    """Follows the answers to one instruction. update() with each answer; one thread. State: what it follows."""

    def __init__(self, config: TrackingConfig | None = None) -> None:
        self.config = config or TrackingConfig()
        self._motion = CameraMotion()
        self._known: list[_Known] = []
        self._next = 1
        self._now_s: float | None = None

    @property
    def camera(self) -> RigidTransform:
        """Anchor from camera, as it was last known."""
        return self._motion.pose

    def update(self, segmentation: Segmentation, frame: Frame, now_s: float) -> Tracked:
        """Take in an answer that is no ERROR. now_s: the frame's time, or any clock that goes on; time that goes back
        (a bag that starts again) forgets everything, and the same time again is the same image."""
        if self._now_s is not None and now_s < self._now_s:
            self._known, self._motion, self._now_s = [], CameraMotion(), None
        fresh = self._now_s is None or now_s > self._now_s
        seconds = 0.0 if self._now_s is None or not fresh else now_s - self._now_s
        self._now_s = now_s
        pose = self._motion.update(frame) if fresh else self._motion.pose
        still, camera = pose is not None, _Camera(pose or self._motion.pose, frame)
        seen = _observe(segmentation, frame, camera.anchor)
        motion = motion_over(seconds)
        for known in self._known:
            if known.filter is not None and fresh:
                known.filter.forecast(motion)
        events: list[TrackEvent] = []
        ids = self._match(seen, segmentation, camera, now_s, fresh)
        for known in self._known:
            if known.seen_s == now_s and fresh:
                events += self._happened(known, camera, still)
        kept = []
        for known in self._known:
            if known.seen_s < now_s:
                known.reason = _why_hidden(known, camera, frame)
            if now_s - known.seen_s <= self.config.memory_s:
                kept.append(known)
            elif known.hits > 1:
                events.append(TrackEvent(EventKind.LOST, known.id, known.text, _at(known, camera), 0.0, known.reason))
        self._known = kept
        tracks = tuple(_track(known, camera, now_s) for known in kept)
        return Tracked(renumbered(segmentation, ids), tracks, tuple(events), still)

    def _match(
        self, seen: Sequence[_Seen], segmentation: Segmentation, camera: _Camera, now_s: float, fresh: bool
    ) -> dict[int, int]:
        """Each instance's lasting id; what is known is brought up to date, what is not is added."""
        looks = differences([one.look for one in seen], [known.look for known in self._known])
        distances = self._distances(seen, camera, now_s)
        phrases = [np.array([x.phrase for x in both], int) for both in ([s.instance for s in seen], self._known)]
        fit = (looks <= self.config.gate_look) & (distances <= 1.0) & (phrases[0][:, None] == phrases[1])
        cost = np.where(fit, distances + self.config.look_weight * looks, INFEASIBLE)
        ids: dict[int, int] = {}
        matched = set()
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if cost[row, column] < INFEASIBLE:
                one, known = seen[row], self._known[column]
                matched.add(row)
                ids[one.instance.id] = known.id
                if fresh:
                    _take_in(known, one, camera, now_s)
        for row, one in enumerate(seen):
            if row not in matched:
                added = self._add(one, segmentation.phrases[one.instance.phrase], now_s)
                ids[one.instance.id] = added.id
        return ids

    def _distances(self, seen: Sequence[_Seen], camera: _Camera, now_s: float) -> Vector:
        """(len(seen), known): from where each was expected, as a share of what is allowed; in space or in the picture,
        whichever is less: a thing half hidden has its middle elsewhere in both, and depth that fails moves it in space
        only."""
        known = self._known
        if not seen or not known:
            return np.zeros((len(seen), len(known)))
        unseen = np.array([now_s - k.seen_s for k in known])
        reach = self.config.gate_m + np.array([k.last.sizes.max() for k in known]) / 2 + self.config.gate_m_s * unseen
        # NaN, where either has no depth, is the greater of the two for fmin.
        places = np.array([NOWHERE if s.centroid is None else s.centroid for s in seen])
        expected = np.array([NOWHERE if k.filter is None else k.filter.position for k in known])
        in_space = np.linalg.norm(places[:, None] - expected, axis=-1) / reach
        pixels = np.array([k.last.place if k.offset is None else k.offset + camera.pixel(k) for k in known])
        extents = np.maximum.outer([s.extent_px for s in seen], [k.last.extent_px for k in known])
        shifts = np.linalg.norm(np.array([s.place for s in seen])[:, None] - pixels, axis=-1)
        nearest: Vector = np.fmin(in_space, 2 * shifts / extents)
        return np.where(np.isfinite(nearest), nearest, INFEASIBLE)

    def _add(self, one: _Seen, phrase: PhraseVerdict, now_s: float) -> _Known:
        used = {known.id for known in self._known}
        while self._next in used:
            self._next = self._next % LARGEST_ID + 1
        start = None if one.centroid is None else PositionFilter(one.centroid, one.covariance)
        known = _Known(self._next, one.instance.phrase, phrase.text, one, one.look, now_s, now_s, start)
        self._next = self._next % LARGEST_ID + 1
        self._known.append(known)
        return known

    def _happened(self, known: _Known, camera: _Camera, still: bool) -> list[TrackEvent]:
        """NEW with the second sighting; MOVED with the second in a row that is too far from where it stood."""
        events = []
        if known.hits == 2:
            events.append(TrackEvent(EventKind.NEW, known.id, known.text, _at(known, camera)))
        if known.filter is None or not still:
            return events
        position = known.filter.position.copy()
        view = position - camera.anchor.translation
        view = view / max(math.hypot(*view), 1e-9)
        sizes = known.last.sizes
        if known.reference is None:
            if not known.last.whole:
                return events
            known.reference = position, view, sizes
            return events
        stood, seen_along, had = known.reference
        distance = math.dist(position, stood)
        # From another side, another part of the surface is visible, and its middle lies elsewhere without any motion.
        turned = float(np.sqrt(max(0.0, 1.0 - float(view @ seen_along) ** 2)))
        allowed = self.config.moved_m + 2 * known.filter.std + turned * float(max(sizes.max(), had.max())) / 2
        alike = bool((np.abs(sizes - had) <= 0.25 * np.maximum(sizes, had) + 0.005).all())
        known.shifted = known.shifted + 1 if distance > allowed and alike and known.last.whole else 0
        if known.shifted >= 2:
            events.append(TrackEvent(EventKind.MOVED, known.id, known.text, _at(known, camera), distance))
            known.reference, known.shifted = (position, view, sizes), 0
        return events


def renumbered(segmentation: Segmentation, ids: dict[int, int]) -> Segmentation:
    """The same answer with other instance ids."""
    return replace(
        segmentation,
        instances=tuple(replace(i, id=ids[i.id]) for i in segmentation.instances),
        objects=tuple(replace(o, instance=ids[o.instance]) for o in segmentation.objects),
        phrases=tuple(replace(p, instances=tuple(ids[i] for i in p.instances)) for p in segmentation.phrases),
    )


def _observe(segmentation: Segmentation, frame: Frame, anchor: RigidTransform) -> list[_Seen]:
    objects = {o.instance: o for o in segmentation.objects if o.valid}
    found, placed = [], []
    for instance, look in zip(segmentation.instances, looks(frame.rgb, segmentation.instances), strict=True):
        x0, y0, x1, y1 = instance.box_xyxy
        place, extent = np.array([x0 + x1, y0 + y1]) / 2, float(np.hypot(x1 - x0, y1 - y0))
        one = _Seen(instance, look, place, extent)
        obj = objects.get(instance.id)
        if obj is not None and obj.obb is not None:
            placed.append((one, obj, obj.obb))
        found.append(one)
    if placed:
        _place_in_scene(placed, anchor)
    return found


def _place_in_scene(placed: Sequence[tuple[_Seen, Object3D, OrientedBox]], anchor: RigidTransform) -> None:
    """All at once: numpy's calls cost more than what they do for one."""
    centroids = anchor.apply(np.array([obj.centroid_m for _, obj, _ in placed]))
    offsets = anchor.apply(np.array([box.center_m for _, _, box in placed])) - centroids
    rotations = anchor.rotation @ np.stack([rotation_matrix(box.quaternion_xyzw) for _, _, box in placed])
    sizes = np.array([box.size_m for _, _, box in placed])
    ordered = np.sort(sizes)[:, ::-1]
    for n, (one, obj, _) in enumerate(placed):
        one.centroid, one.box, one.sizes = centroids[n], (offsets[n], rotations[n], sizes[n]), ordered[n]
        one.whole = not (obj.occluded or obj.truncated)
        if obj.centroid_cov_m2 is not None:
            one.covariance = anchor.rotation @ obj.centroid_cov_m2 @ anchor.rotation.T + CAMERA_COVARIANCE


def _take_in(known: _Known, one: _Seen, camera: _Camera, now_s: float) -> None:
    if one.centroid is not None:
        if known.filter is None:
            known.filter = PositionFilter(one.centroid, one.covariance)
        else:
            known.filter.measure(one.centroid, one.covariance)
    if one.centroid is None:  # a frame without depth leaves what was known of its shape
        one.sizes, one.box = known.last.sizes, known.last.box
    pixel = camera.pixel(known)
    known.offset = one.place - pixel if pixel[0] == pixel[0] else None
    known.look = 0.8 * known.look + 0.2 * one.look
    known.last, known.seen_s, known.reason = one, now_s, ""
    known.hits += 1


def _why_hidden(known: _Known, camera: _Camera, frame: Frame) -> str:
    """What this frame says of the place where something unseen should be."""
    if known.filter is None or frame.intrinsics is None:
        return "not found in the image"
    known.filter.rest()
    position, pixel = known.filter.position, camera.pixel(known)
    width, height = frame.size
    if not (0 <= pixel[0] < width and 0 <= pixel[1] < height):
        return "out of view"
    if frame.depth is not None and frame.depth.shape == (height, width):
        depth, should = float(frame.depth[int(pixel[1]), int(pixel[0])]), camera.from_anchor.apply(position)[2]
        if 0 < depth < should - 0.03 - float(known.last.sizes.max()) / 2:
            return "behind something nearer"
    return "not found where it should be"


def _at(known: _Known, camera: _Camera) -> tuple[float, float, float] | None:
    return None if known.filter is None else _triple(camera.from_anchor.apply(known.filter.position))


def _track(known: _Known, camera: _Camera, now_s: float) -> Track:
    position, box = _at(known, camera), None
    velocity: Vector = np.zeros(3)
    if known.filter is not None:
        turn = camera.from_anchor.rotation
        velocity = turn @ known.filter.velocity
        if known.last.box is not None:
            offset, rotation, size = known.last.box
            centre = camera.from_anchor.apply(known.filter.position + offset)
            box = OrientedBox(_triple(centre), _triple(size), quaternion(turn @ rotation))
    unseen = now_s - known.seen_s
    return Track(
        known.id, known.phrase, TrackState.HIDDEN if unseen > 0 else TrackState.SEEN, known.reason, position,
        _triple(velocity), box, 0.0 if known.filter is None else known.filter.std, now_s - known.began_s, unseen,
    )  # fmt: skip


def _triple(values: Vector) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
