"""The values that travel through the product: validated on creation, immutable, numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from refseg_ros.core.outcome import ErrorCode, ErrorReport, Outcome, RequestError, Verdict, combine

FloatArray = npt.NDArray[np.float32] | npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera with plumb_bob distortion (REP-104: optical frame, x right, y down, z forward).

    fx, fy, cx, cy in pixels, as ROS and OpenCV count them, and as every K here is meant: (0, 0) is the first pixel's
    centre, the middle of the picture ((width - 1) / 2, (height - 1) / 2). distortion: () or (k1, k2, p1, p2, k3).
    Raises RequestError(CAMERA_INVALID) for sizes, focal lengths or coefficients that cannot be.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise _camera_error(f"size {self.width} x {self.height} must be positive")
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not np.all(np.isfinite(values)):
            raise _camera_error("K and distortion must be finite numbers")
        if self.fx <= 0 or self.fy <= 0:
            raise _camera_error(f"focal lengths fx={self.fx:g}, fy={self.fy:g} must be positive")
        if len(self.distortion) not in (0, 4, 5):
            raise _camera_error(f"plumb_bob distortion has 0, 4 or 5 numbers, not {len(self.distortion)}")

    @property
    def k(self) -> npt.NDArray[np.float64]:
        """The 3 x 3 camera matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def distorted(self) -> bool:
        return any(abs(c) > 1e-12 for c in self.distortion)


def _camera_error(what: str) -> RequestError:
    return RequestError(ErrorCode.CAMERA_INVALID, f"The camera info is not usable: {what}; calibrate the camera.")


def intrinsics_from_k(k: npt.ArrayLike, width: int, height: int, distortion: tuple[float, ...] = ()) -> Intrinsics:
    """Intrinsics from a row-major 3 x 3 K (9 numbers or 3 x 3). Raises RequestError(CAMERA_INVALID)."""
    m = np.asarray(k, np.float64)
    if m.size != 9:
        raise _camera_error(f"K has {m.size} numbers, not 9")
    m = m.reshape(3, 3)
    return Intrinsics(
        int(width), int(height), float(m[0, 0]), float(m[1, 1]), float(m[0, 2]), float(m[1, 2]), distortion
    )


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment of the camera.

    rgb: uint8 (H, W, 3); depth: float32 (H, W), metres along the optical axis, 0 or non-finite = no reading, or None;
    intrinsics: of the colour camera, or None; depth_problem: why depth or intrinsics are missing, in words.
    Raises RequestError(IMAGE_INVALID) when shapes or types are wrong.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None
    frame_id: str = "camera"
    stamp_ns: int = 0
    depth_problem: str = ""

    def __post_init__(self) -> None:
        rgb = self.rgb
        if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            found = f"{getattr(rgb, 'dtype', type(rgb).__name__)} {getattr(rgb, 'shape', '')}"
            raise RequestError(ErrorCode.IMAGE_INVALID, f"The image must be uint8 (height, width, 3), not {found}.")
        if rgb.shape[0] < 1 or rgb.shape[1] < 1:
            raise RequestError(ErrorCode.IMAGE_INVALID, "The image has no pixels; check the camera.")
        if self.depth is not None and (self.depth.ndim != 2 or self.depth.dtype != np.float32):
            raise RequestError(
                ErrorCode.IMAGE_INVALID,
                f"Depth must be float32 (height, width) in metres, not {self.depth.dtype} {self.depth.shape}.",
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing meant by one phrase. mask: bool (h, w), cropped; offset: (x, y) of its corner in the image.

    Two instances may cover the same pixels: each keeps its own mask. score in [0, 1]. id starts at 1.
    """

    id: int
    phrase: int
    score: float
    mask: BoolArray
    offset: tuple[int, int]

    def __post_init__(self) -> None:
        if self.id < 1 or self.phrase < 0:
            raise ValueError(f"Instance needs id >= 1 and phrase >= 0, not {self.id} and {self.phrase}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"Instance.score must be in [0, 1], not {self.score}")
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_ or not self.mask.any():
            raise ValueError("Instance.mask must be a bool (h, w) array with at least one pixel set")
        if min(self.offset) < 0:
            raise ValueError(f"Instance.offset must not be negative: {self.offset}")

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) of the set pixels; x1 and y1 are one past the last."""
        rows, cols = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        x, y = self.offset
        return x + int(cols[0]), y + int(rows[0]), x + int(cols[-1]) + 1, y + int(rows[-1]) + 1

    @property
    def area_px(self) -> int:
        return int(np.count_nonzero(self.mask))

    def full_mask(self, size: tuple[int, int]) -> BoolArray:
        """The mask on the whole image of `size` (width, height): bool (H, W)."""
        full = np.zeros((size[1], size[0]), np.bool_)
        x, y = self.offset
        full[y : y + self.mask.shape[0], x : x + self.mask.shape[1]] = self.mask
        return full


def crop_mask(full: BoolArray) -> tuple[BoolArray, tuple[int, int]]:
    """The tight crop of a bool (H, W) mask and its (x, y) offset. Raises ValueError for an empty mask."""
    rows, cols = np.flatnonzero(full.any(1)), np.flatnonzero(full.any(0))
    if rows.size == 0:
        raise ValueError("crop_mask() needs at least one pixel set")
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    return np.ascontiguousarray(full[y0:y1, x0:x1]), (int(x0), int(y0))


@dataclass(frozen=True)
class PhraseVerdict:
    """The verdict on one phrase. score in [0, 1]: the calibrated belief that something in view fits it.

    instances: ids; for AMBIGUOUS all the candidates. FOUND and AMBIGUOUS name at least one, ABSENT none.
    """

    text: str
    verdict: Verdict
    score: float
    instances: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"PhraseVerdict.score must be in [0, 1], not {self.score}")
        if self.verdict is Verdict.ABSENT and self.instances:
            raise ValueError("an ABSENT phrase has no instances")
        if self.verdict is Verdict.FOUND and not self.instances:
            raise ValueError("a FOUND phrase names at least one instance")
        if self.verdict is Verdict.AMBIGUOUS and len(self.instances) < 2:
            raise ValueError("an AMBIGUOUS phrase names at least two candidates")


@dataclass(frozen=True)
class OrientedBox:
    """centre in metres, size in metres along its own axes, orientation as a unit quaternion (x, y, z, w)."""

    center_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]


@dataclass(frozen=True)
class Plane:
    """A plane in an object's frame: normal . p + offset_m is the height of p above it, metres.

    normal: unit length; for a supporting plane it points away from what carries the things, up on a level table.
    Raises ValueError for numbers that are no plane.
    """

    normal: tuple[float, float, float]
    offset_m: float

    def __post_init__(self) -> None:
        if not np.isfinite((*self.normal, self.offset_m)).all() or abs(np.linalg.norm(self.normal) - 1.0) > 1e-4:
            raise ValueError(f"a plane needs a unit normal and a finite offset, not {self.normal} and {self.offset_m}")

    def height(self, points: FloatArray) -> FloatArray:
        """Heights (...,) of points (..., 3) above the plane, metres, in the points' own type."""
        heights: FloatArray = points @ np.asarray(self.normal, points.dtype) + points.dtype.type(self.offset_m)
        return heights


@dataclass(frozen=True, eq=False)
class Object3D:
    """One instance in 3-D, in the camera's optical frame, metres.

    points: float32 (N, 3); colors: uint8 (N, 3); depth_coverage in [0, 1]: share of the mask with depth.
    centroid_m: the mean of the visible surface; obb.center_m: the middle of the box, which lies deeper than that.
    centroid_cov_m2: covariance (3, 3) of centroid_m; size_std_m: standard deviations of obb.size_m, both stated so that
    95 % regions hold the truth 95 times in 100.
    plane: what the thing stands on, None where none was found; with it the box's third axis is the plane's normal and
    bottom_m, top_m are the heights of the lowest and highest visible point above it. top_m - bottom_m says nothing of
    what is hidden below; the box reaches down to the plane where the thing seems to stand on it.
    occluded: something nearer hides part of it; truncated: the image's border cuts it off. Either way sizes and box
    hold for the visible part. back_inferred: the front is a round thing's, and the box is closed around the back that
    such a thing has, which nobody saw (core/hidden_back.py); points and centroid are of what was seen.
    layer_depths_m: median depth of each separate layer inside the mask, its own first: more than one says that the mask
    covers more than the thing.
    valid False: reason says why, and there is no centroid, no box and no point.
    """

    instance: int
    valid: bool
    reason: str = ""
    frame_id: str = "camera"
    centroid_m: tuple[float, float, float] | None = None
    obb: OrientedBox | None = None
    points: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    colors: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    depth_coverage: float = 0.0
    centroid_cov_m2: npt.NDArray[np.float64] | None = None
    size_std_m: tuple[float, float, float] | None = None
    plane: Plane | None = None
    bottom_m: float | None = None
    top_m: float | None = None
    occluded: bool = False
    truncated: bool = False
    back_inferred: bool = False
    layer_depths_m: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.valid and (self.centroid_m is None or self.obb is None or not len(self.points)):
            raise ValueError("a valid Object3D has a centroid, a box and points")
        if not self.valid and (not self.reason or len(self.points) or self.centroid_m is not None):
            raise ValueError("an invalid Object3D has a reason and nothing else")
        if self.points.ndim != 2 or self.points.shape[1] != 3 or not np.isfinite(self.points).all():
            raise ValueError("Object3D.points must be finite, (N, 3)")
        cov = self.centroid_cov_m2
        if cov is not None and (cov.shape != (3, 3) or not np.isfinite(cov).all() or np.diag(cov).min() < 0):
            raise ValueError("Object3D.centroid_cov_m2 must be a finite covariance (3, 3)")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The whole answer to one request: exactly one outcome, nothing asked is lost. size: (width, height).

    excluded: what the instruction said not to choose ("but not the bowl"); it removes instances and has no verdict.
    """

    instruction: str
    outcome: Outcome
    image_size: tuple[int, int]
    model: str
    phrases: tuple[PhraseVerdict, ...] = ()
    instances: tuple[Instance, ...] = ()
    objects: tuple[Object3D, ...] = ()
    error: ErrorReport | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.ERROR) != (self.error is not None):
            raise ValueError("outcome ERROR and an error report go together")
        if self.outcome is not Outcome.ERROR:
            if combine(p.verdict for p in self.phrases) is not self.outcome:
                raise ValueError(f"outcome {self.outcome.name} does not follow from the phrases' verdicts")
        elif self.instances or self.objects:
            raise ValueError("an ERROR carries no instances")
        ids = [i.id for i in self.instances]
        if len(set(ids)) != len(ids):
            raise ValueError("instance ids must be unique")
        named = {i for p in self.phrases for i in p.instances}
        if named != set(ids):
            raise ValueError("the phrases must name exactly the instances there are")
