"""Masks and depth to objects in 3-D: the points of one thing, its centroid, its box, and how far to trust them.

Every point comes from one pixel with a reading: nothing is filled in or guessed. Where there is too little, the
object is invalid and its reason says why. Where a supporting plane is found, boxes stand on it; else they follow the
visible points alone. Frame: the camera's optical frame, metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core import surface
from refseg_ros.core.boxes import Upright, oriented_box
from refseg_ros.core.camera import RayGrid
from refseg_ros.core.hidden_back import HiddenBack
from refseg_ros.core.plane import PlaneTracker
from refseg_ros.core.surface import SurfaceConfig
from refseg_ros.core.types import Frame, Instance, Object3D, Plane
from refseg_ros.core.uncertainty import Uncertainty

Points = npt.NDArray[np.float32]
MARGIN = 2  # pixels around a mask's box that its tests look at
FAR = 1e4  # metres, or metres per metre: no picture reaches there
OUTLINE = 3.0 / 640  # of the image's width: how far a mask's outline may be off
SAMPLES = 2000  # pixels that the plane is sought in


@dataclass(frozen=True, kw_only=True)
class LiftingConfig(SurfaceConfig):
    """What counts as a reading, a surface and an object. Raises ValueError for values that cannot work.

    An object needs min_points points, readings on min_coverage of its mask, and min_surface of those on one surface.
    Box sizes are never given below min_extent_m; an object thinner than that in two directions is degenerate. What
    rises less than table_m (and 1.7 times the noise) above the plane is the plane. A thing whose lowest point is below
    stands_m stands on it. Where readings on less than the share `even` of its mask lie on one surface for being rough
    all over, those well inside the mask count. occluded_share: of its outline with something nearer beside it. plane:
    look for one. hidden_back: close the boxes of round things around the back that is not seen; None: never.
    """

    min_points: int = 30
    min_coverage: float = 0.05
    min_surface: float = 0.2
    even: float = 0.75
    min_extent_m: float = 0.001
    table_m: float = 0.002
    stands_m: float = 0.02
    occluded_share: float = 0.04
    plane: bool = True
    hidden_back: HiddenBack | None = field(default_factory=HiddenBack)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("min_extent_m", "table_m", "stands_m"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"LiftingConfig.{name} must be positive, not {getattr(self, name)}")
        for name in ("min_coverage", "min_surface", "even", "occluded_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"LiftingConfig.{name} must be in [0, 1], not {getattr(self, name)}")
        if self.min_points < 4:
            raise ValueError(f"min_points must be at least 4, not {self.min_points}")


@dataclass(frozen=True, eq=False)
class Part:
    """One instance's pixels. z float32 (h, w), 0 = no reading, of the crop at (left, top); pixels uint8 (h, w), not 0
    where it measures the thing; box: of the mask, (x0, y0, x1, y1); area: its pixels."""

    instance: Instance
    box: tuple[int, int, int, int]
    left: int
    top: int
    z: Points
    pixels: surface.Pixels
    area: int
    coverage: float
    depths: tuple[float, ...] = ()
    occluded: bool = False
    reason: str = ""


def find_part(frame: Frame, instance: Instance, config: LiftingConfig, noisy: surface.Pixels | None = None) -> Part:
    """The pixels of an instance that measure its own surface. noisy: those of the whole image that do not, where
    somebody knows them; else they are sought here."""
    depth = frame.depth
    assert depth is not None  # depth_problem() has looked
    ox, oy = instance.offset
    x, y, w, h = cv2.boundingRect(instance.mask.view(np.uint8))
    x0, y0, x1, y1 = box = ox + x, oy + y, ox + x + w, oy + y + h
    left, top = max(0, x0 - MARGIN), max(0, y0 - MARGIN)
    z, valid = surface.readings(depth[top : y1 + MARGIN, left : x1 + MARGIN], config)
    mask = np.zeros(z.shape, np.uint8)
    inner = instance.mask[y : y + h, x : x + w].view(np.uint8)
    np.multiply(inner, 255, out=mask[y0 - top : y1 - top, x0 - left : x1 - left])

    pixels = cv2.bitwise_and(valid, mask)
    area, count = cv2.countNonZero(mask), cv2.countNonZero(pixels)
    coverage = count / area
    if count < config.min_points:
        reason = f"only {count} of {area} mask pixels have depth; at least {config.min_points} are needed"
        return Part(instance, box, left, top, z, pixels, area, coverage, reason=reason)
    if coverage < config.min_coverage:
        reason = f"depth covers {coverage:.1%} of the mask; at least {config.min_coverage:.1%} is needed"
        return Part(instance, box, left, top, z, pixels, area, coverage, reason=reason)
    edge = surface.edge_depth(z, config)
    readings = pixels
    if noisy is None:
        noisy = cv2.bitwise_or(surface.flying(z, config), surface.behind_step(z, valid, edge))
    else:
        noisy = noisy[top : y1 + MARGIN, left : x1 + MARGIN]
    smooth = cv2.bitwise_and(pixels, cv2.bitwise_not(noisy))
    if cv2.countNonZero(smooth) >= config.min_points or not surface.narrow(z, pixels, config):
        pixels = smooth  # else a thing all of edges, a wire: better its edges than nothing
    broad = max(3.0, OUTLINE * frame.size[0])
    pixels, depths = surface.layers(z, pixels, config, max(config.min_points, area // 50), broad)
    found = cv2.countNonZero(pixels)
    if found < config.min_surface * count:
        reason = f"only {found} of {count} readings in the mask lie on one surface; the depth is noise"
        return Part(instance, box, left, top, z, pixels, area, coverage, reason=reason)
    if found and min(cv2.boundingRect(pixels)[2:]) < 2:
        reason = "the readings lie on one line of the image; the depth is degenerate"
        return Part(instance, box, left, top, z, pixels, area, coverage, reason=reason)
    if found < config.even * count:
        # Rough all over, as the pages of a book are: what its outline could not have let in is its own.
        square = np.ones((2 * round(broad) + 1,) * 2, np.uint8)
        well_inside: surface.Pixels = cv2.erode(mask, square, borderValue=0)
        dropped = cv2.bitwise_and(cv2.bitwise_and(readings, noisy), well_inside)
        if cv2.countNonZero(dropped) > 0.1 * count:
            pixels = surface.with_rough(z, pixels, dropped, config)
    occluded = surface.covered_by_nearer(z, valid, edge, mask, pixels, noisy, config) > config.occluded_share
    return Part(instance, box, left, top, z, pixels, area, coverage, depths, occluded)


class Lifter:
    """Lifts the instances of a frame. State: the rays of the last camera, or those of a lifter before this one, and the
    last plane; one thread at a time."""

    def __init__(
        self,
        config: LiftingConfig | None = None,
        grid: RayGrid | None = None,
        uncertainty: Uncertainty | None = None,
    ) -> None:
        self.config = config or LiftingConfig()
        self._grid = grid or RayGrid()
        self._planes = PlaneTracker()
        self._uncertainty = uncertainty or Uncertainty()

    def lift(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Object3D, ...]:
        """One Object3D an instance, in order; invalid ones carry their reason. Never raises for bad depth."""
        problem = depth_problem(frame)
        if problem:
            return tuple(Object3D(i.id, False, problem, frame.frame_id) for i in instances)
        config = self.frame_config(frame)
        noisy = self.noisy_pixels(frame, config)
        parts = [find_part(frame, instance, config, noisy) for instance in instances]
        plane = self.find_plane(frame, parts, config) if config.plane else None
        upright = None if plane is None else Upright.of(plane)
        return tuple(self.build_object(frame, part, upright, config) for part in parts)

    def frame_config(self, frame: Frame) -> LiftingConfig:
        """The configuration with the noise of this frame's depth."""
        assert frame.depth is not None
        return replace(self.config, noise=surface.measured_noise(frame.depth, self.config))

    def noisy_pixels(self, frame: Frame, config: LiftingConfig) -> surface.Pixels | None:
        """Flying pixels and those behind a step, uint8 255, of the whole image; None: find_part() seeks them."""
        return None

    def find_plane(self, frame: Frame, parts: Sequence[Part], config: LiftingConfig) -> Plane | None:
        """The plane around and below what was measured, sought in every step-th pixel of every step-th row."""
        assert frame.depth is not None and frame.intrinsics is not None
        parts = [p for p in parts if not p.reason]
        if not parts:
            return None
        size, boxes = frame.size, np.array([p.box for p in parts])
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        around = np.maximum((high - low) // 2, 40)
        (x0, y0), (x1, y1) = np.maximum(low - around, 0).tolist(), np.minimum(high + around, size).tolist()
        step = max(2, round(math.sqrt((x1 - x0) * (y1 - y0) / SAMPLES)))
        z = frame.depth[y0:y1:step, x0:x1:step]
        thing = np.zeros(z.shape, np.bool_)
        for part in parts:
            (ox, oy), mask = part.instance.offset, part.instance.mask
            right, down = -(-max(0, ox - x0) // step), -(-max(0, oy - y0) // step)  # to the first sample in the mask
            inside = mask[y0 + down * step - oy :: step, x0 + right * step - ox :: step]
            place = thing[down : down + inside.shape[0], right : right + inside.shape[1]]
            place |= inside[: place.shape[0], : place.shape[1]]
        with np.errstate(invalid="ignore"):
            valid = (z > config.min_depth_m) & (z < config.max_depth_m)
        x, y = self._grid.window(frame.intrinsics, slice(y0, y1, step), slice(x0, x1, step))
        rows = np.empty((*z.shape, 3))
        rows[..., 0], rows[..., 1] = x, y
        rows[..., 2] = 1.0 / np.where(valid, z, np.float32(1.0))
        valid &= (np.abs(rows) < FAR).all(-1)  # False for NaN, where distortion leaves no ray
        free, taken = rows[valid & ~thing], rows[valid & thing]
        return self._planes.find(free[:, :2], free[:, 2], taken, config.noise)

    def build_object(self, frame: Frame, part: Part, upright: Upright | None, config: LiftingConfig) -> Object3D:
        """The object that a part's pixels make."""
        instance, camera, z = part.instance, frame.intrinsics, part.z
        assert camera is not None

        def invalid(reason: str) -> Object3D:
            return Object3D(instance.id, False, reason, frame.frame_id, depth_coverage=part.coverage)

        if part.reason:
            return invalid(part.reason)
        h, w = z.shape
        rays = self._grid.window(camera, slice(part.top, part.top + h), slice(part.left, part.left + w))
        pixels = part.pixels if upright is None else _above(part, rays, upright.plane, config)
        kept = np.flatnonzero(pixels != 0)
        if len(kept) < config.min_points:
            return invalid(f"only {len(kept)} points hang together; at least {config.min_points} are needed")
        points = np.empty((3, len(kept)), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # a K that cannot be: looked at below
            for row, values in enumerate((rays[0] * z, rays[1] * z, z)):
                values.reshape(-1).take(kept, out=points[row], mode="clip")
        if camera.distorted and not (has_ray := np.isfinite(points[0])).all():
            points, kept = points[:, has_ray], kept[has_ray]
        if len(kept) < config.min_points or not float(np.abs(points).max()) < FAR:
            return invalid("the camera info puts the points out of range; check K and the distortion")
        reference = points[:, :1].copy()  # sums of differences keep float32's digits
        centred = points - reference
        mean = centred.mean(1, keepdims=True)
        centred -= mean
        scatter = (centred @ centred.T).astype(np.float64) / len(kept)
        centroid = (mean + reference)[:, 0].astype(np.float64)
        span = math.sqrt(12 * max(float(np.linalg.eigvalsh(scatter)[1]), 0.0))  # if they were spread evenly
        if span < config.min_extent_m:
            return invalid(f"the points span only {span * 1e3:.2g} mm; the depth is degenerate")

        crop = np.ascontiguousarray(frame.rgb[part.top : part.top + h, part.left : part.left + w])
        colors = crop.reshape(-1, 3).take(kept, axis=0)
        pixel_m = float(centroid[2]) / max(camera.fx, camera.fy)
        x0, y0, x1, y1 = part.box
        truncated = x0 == 0 or y0 == 0 or x1 == frame.size[0] or y1 == frame.size[1]
        bottom = top = plane = None
        back_inferred = False
        if upright is not None:
            plane = upright.plane
            heights = np.array(plane.normal, np.float32) @ points + np.float32(plane.offset_m)
            bottom, top = float(heights.min()), float(heights.max())
            flat, back = upright.flat @ points, None
            if config.hidden_back is not None and not (part.occluded or truncated):
                back = config.hidden_back.points(flat, plane.offset_m, pixel_m)
            back_inferred = back is not None
            closed = flat if back is None else np.hstack([flat, back, back])  # twice, or no cell would count them
            box = upright.box(closed, heights, pixel_m, bottom < config.stands_m)
        else:
            box = oriented_box(points)
        size = (
            max(box.size_m[0], config.min_extent_m),
            max(box.size_m[1], config.min_extent_m),
            max(box.size_m[2], config.min_extent_m),
        )
        if upright is not None:
            size_std = self._uncertainty.upright(size, upright.along_view(box, centroid), frame.size[0], pixel_m)
        else:
            size_std = self._uncertainty.free(size, frame.size[0], pixel_m)
        share = len(kept) / max(part.area, 1)
        return Object3D(
            instance.id,
            True,
            "",
            frame.frame_id,
            (float(centroid[0]), float(centroid[1]), float(centroid[2])),
            replace(box, size_m=size),
            np.ascontiguousarray(points.T),
            colors,
            part.coverage,
            centroid_cov_m2=self._uncertainty.centroid(
                scatter, len(kept), share, frame.size[0], pixel_m, part.occluded
            ),
            size_std_m=size_std,
            plane=plane,
            bottom_m=bottom,
            top_m=top,
            occluded=part.occluded,
            truncated=truncated,
            back_inferred=back_inferred,
            layer_depths_m=part.depths,
        )


def _above(part: Part, rays: tuple[Points, Points], plane: Plane, config: LiftingConfig) -> surface.Pixels:
    """The part's pixels that rise above the plane, or all of them where most do not: a sheet on a table."""
    z = part.z
    a, b, c = (np.float32(n) for n in plane.normal)
    with np.errstate(over="ignore", invalid="ignore"):
        heights = (a * rays[0] + (b * rays[1] + c)) * z  # less the offset
    depth = part.depths[0]
    least = max(config.table_m, 1.7 * config.noise * depth * depth) - plane.offset_m
    above = np.where(heights > np.float32(least), part.pixels, np.uint8(0))
    count = cv2.countNonZero(above)
    most = count >= config.min_points and 2 * count > cv2.countNonZero(part.pixels)
    return above if most else part.pixels


def depth_problem(frame: Frame) -> str:
    """Why a frame cannot be lifted, in words; "" when it can."""
    width, height = frame.size
    if frame.depth is None:
        return frame.depth_problem or "no depth image came with the colour image"
    if frame.depth.shape != (height, width):
        h, w = frame.depth.shape
        return f"the depth image is {w} x {h} and the colour image {width} x {height}; align depth to colour"
    if frame.intrinsics is None:
        return frame.depth_problem or "no camera intrinsics came with the image"
    if (frame.intrinsics.width, frame.intrinsics.height) != (width, height):
        k = frame.intrinsics
        return f"the camera info is for {k.width} x {k.height} and the image is {width} x {height}"
    return ""
