"""How the camera moves through a scene that stands still: corners with depth, followed from a key frame.

The pose is that of Besl and McKay's, Kabsch's and Umeyama's closed form on 3-D pairs, inside RANSAC (Fischler and
Bolles 1981), so things that move on their own are outliers. Frames: optical frames; the anchor is the first one's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.camera import RayGrid, project
from refseg_ros.core.lifting import depth_problem
from refseg_ros.core.transform import RigidTransform
from refseg_ros.core.types import Frame

Points = npt.NDArray[np.float64]

WIDTH = 320  # pixels of the picture in which corners are followed
CORNERS, QUALITY, SPACING = 70, 0.01, 11
NEIGHBOURS = np.ones((5, 5), np.uint8)
STEP_SHARE = 0.04  # of the depth, over five pixels: more is an edge
WINDOW = (13, 13)
LEVELS = 2, 3  # of the pyramid: what is quick, and what finds larger steps where that fails
HYPOTHESES = 32
CLOSE_M, CLOSE_M_M2 = 0.008, 0.005  # a pair this near fits the pose, at no distance and for each square metre of it
LEAST, SHARE = 12, 0.4  # pairs that must fit, and their share of those followed
RENEW_SHARE = 0.4  # below this share of a key frame's corners, the next one
IDENTITY = RigidTransform(np.eye(3), np.zeros(3))


@dataclass(frozen=True, eq=False)
class _Key:
    """corners float32 (N, 1, 2) in the small picture; points (N, 3) in the key's camera; pose: anchor from camera."""

    picture: npt.NDArray[np.uint8]
    corners: npt.NDArray[np.float32]
    points: Points
    pose: RigidTransform


class CameraMotion:
    """update() with each frame. State: the key frame, the frame before, where the camera was last, and its rays."""

    def __init__(self) -> None:
        self._key: _Key | None = None
        self._last = IDENTITY  # key from camera
        self._before: tuple[Frame, npt.NDArray[np.uint8]] | None = None
        self._step = IDENTITY  # this frame's camera from the one before's, when it was last known
        self._random = np.random.default_rng(0)
        self._grid = RayGrid()

    @property
    def pose(self) -> RigidTransform:
        """Anchor from camera, as it was last known."""
        return IDENTITY if self._key is None else self._key.pose @ self._last

    def update(self, frame: Frame) -> RigidTransform | None:
        """Anchor from camera for this frame; None where it cannot be told (no depth, no corners, all has changed)."""
        if depth_problem(frame):
            return None
        picture = _small(frame)
        before, self._before = self._before, (frame, picture)
        if before is not None and before[1].shape != picture.shape:
            before, self._key = None, None
        if self._key is None:
            return self.pose if self._renew(frame, picture) else None
        found = self._found(self._key, frame, picture)
        if found is None and before is not None and self._renew(*before):  # too much has changed since the key frame
            self._step = IDENTITY
            found = self._found(self._key, frame, picture)
        if found is None:
            self._step = IDENTITY
            self._renew(frame, picture)
            return None
        pose, fits = found
        self._step = self._last.inverse @ pose
        self._last = pose
        out = self.pose
        if fits < RENEW_SHARE * len(self._key.corners):
            self._renew(frame, picture)
        return out

    def _renew(self, frame: Frame, picture: npt.NDArray[np.uint8]) -> bool:
        """Make this frame the key, where the camera was last known to be; False if it has too few corners."""
        corners = cv2.goodFeaturesToTrack(picture, CORNERS, QUALITY, SPACING, mask=_flat(frame, picture.shape))
        if corners is None or len(corners) < LEAST:
            return False
        places = np.asarray(corners, np.float32).reshape(-1, 1, 2)
        points, there = _lift(frame, places.reshape(-1, 2), picture.shape[1], self._grid)
        if np.count_nonzero(there) < LEAST:
            return False
        pose = self.pose
        self._key = _Key(picture, places[there], points[there], pose)
        self._last = IDENTITY
        return True

    def _found(self, key: _Key, frame: Frame, picture: npt.NDArray[np.uint8]) -> tuple[RigidTransform, int] | None:
        """As _follow(), with as few levels as find it."""
        tries = (self._follow(key, frame, picture, levels) for levels in LEVELS)
        return next((found for found in tries if found is not None), None)

    def _follow(
        self, key: _Key, frame: Frame, picture: npt.NDArray[np.uint8], levels: int
    ) -> tuple[RigidTransform, int] | None:
        """Key from camera, and how many corners agree; None where too few do."""
        places, status, _ = cv2.calcOpticalFlowPyrLK(
            key.picture, picture, key.corners, self._forecast(key, frame, picture.shape[1]),
            winSize=WINDOW, maxLevel=levels, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03),
        )  # fmt: skip
        points, there = _lift(frame, np.asarray(places, np.float32).reshape(-1, 2), picture.shape[1], self._grid)
        there &= status.ravel() == 1
        if np.count_nonzero(there) < LEAST:
            return None
        theirs, ours = key.points[there], points[there]
        pose, fits = _rigid_ransac(ours, theirs, self._last @ self._step, self._random)
        if fits < max(LEAST, SHARE * len(ours)):
            return None
        return pose, fits

    def _forecast(self, key: _Key, frame: Frame, small_width: int) -> npt.NDArray[np.float32]:
        """Where the key's corners should be if the camera goes on as it did: float32 (N, 1, 2)."""
        assert frame.intrinsics is not None
        pixels = project((self._last @ self._step).inverse.apply(key.points), frame.intrinsics)
        scale = frame.size[0] / small_width
        places = ((pixels + 0.5) / scale - 0.5).astype(np.float32)[:, None]
        return np.where(np.isfinite(places).all(-1, keepdims=True), places, key.corners)


def _small(frame: Frame) -> npt.NDArray[np.uint8]:
    """The frame in grey, at most WIDTH wide."""
    width, height = frame.size
    small = (WIDTH, max(1, round(height * WIDTH / width)))
    picture = cv2.resize(frame.rgb, small, interpolation=cv2.INTER_AREA) if width > WIDTH else frame.rgb
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _flat(frame: Frame, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """255 at the pixels of the small picture (h, w) around which depth has no step: a corner on the outline of a thing
    is no place in the scene, it moves over what is behind."""
    assert frame.depth is not None
    height, width = shape
    depth = np.nan_to_num(cv2.resize(frame.depth, (width, height), interpolation=cv2.INTER_NEAREST), posinf=0.0)
    low, high = cv2.erode(depth, NEIGHBOURS), cv2.dilate(depth, NEIGHBOURS)
    return ((low > 0) & (high - low < STEP_SHARE * high)).astype(np.uint8) * np.uint8(255)


def _lift(
    frame: Frame, places: npt.NDArray[np.float32], small_width: int, grid: RayGrid
) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Places (N, 2) of the small picture as points (N, 3) of the camera, and which of them have depth and a ray."""
    camera, depth = frame.intrinsics, frame.depth
    assert camera is not None and depth is not None  # update() has looked
    scale = depth.shape[1] / small_width
    pixels = (places.astype(np.float64) + 0.5) * scale - 0.5
    inside = ((pixels >= 0) & (pixels <= (depth.shape[1] - 1, depth.shape[0] - 1))).all(1)  # False for NaN
    columns, rows = np.where(inside[:, None], np.rint(pixels), 0).astype(np.int64).T
    z = depth[rows, columns].astype(np.float64)
    there = inside & np.isfinite(z) & (z > 0)
    if camera.distorted:  # between four pixels' rays, and NaN where one of them has none
        u, v = np.where(inside[:, None], pixels, 0).astype(np.float32).T[..., None]  # NaN may hang remap()
        x, y = cv2.remap(grid.rays(camera), u, v, cv2.INTER_LINEAR)[:, 0].astype(np.float64).T
        there &= np.isfinite(x) & np.isfinite(y)
    else:
        x, y = (pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy
    points = np.stack([x * z, y * z, z], 1)
    return np.where(there[:, None], points, 0.0), there


def _rigid_ransac(
    ours: Points, theirs: Points, guess: RigidTransform, rng: np.random.Generator
) -> tuple[RigidTransform, int]:
    """The transform that takes most of ours (N, 3) to theirs (N, 3), and how many. guess: tried first."""
    close = CLOSE_M + CLOSE_M_M2 * ours[:, 2] ** 2
    fit = _fits(ours, theirs, close, guess.rotation[None], guess.translation[None])[0]
    if np.count_nonzero(fit) < 0.8 * len(ours):
        triples = rng.integers(0, len(ours), (HYPOTHESES, 3))
        rotations, translations = _rigid(ours[triples], theirs[triples], np.ones((HYPOTHESES, 3)))
        fits = _fits(ours, theirs, close, rotations, translations)
        best = fits[int(fits.sum(1).argmax())]
        fit = best if np.count_nonzero(best) > np.count_nonzero(fit) else fit
    for _ in range(2):
        if np.count_nonzero(fit) < 3:
            return guess, 0
        rotations, translations = _rigid(ours[fit][None], theirs[fit][None], close[fit][None] ** -2)
        before, fit = fit, _fits(ours, theirs, close, rotations, translations)[0]
        if np.array_equal(before, fit):
            break
    return RigidTransform(rotations[0], translations[0]), int(np.count_nonzero(fit))


def _fits(
    ours: Points, theirs: Points, close: Points, rotations: Points, translations: Points
) -> npt.NDArray[np.bool_]:
    """(H, N): whether pair n is close (N,) under transform h. rotations (H, 3, 3), translations (H, 3)."""
    moved = ours @ rotations.transpose(0, 2, 1) + translations[:, None]
    fit: npt.NDArray[np.bool_] = ((moved - theirs) ** 2).sum(-1) < close**2
    return fit


def _rigid(ours: Points, theirs: Points, weights: Points) -> tuple[Points, Points]:
    """Least-squares rotations (H, 3, 3) and translations (H, 3) from ours (H, N, 3) to theirs; weights (H, N)."""
    share = (weights / weights.sum(1, keepdims=True))[..., None]
    middle, target = (share * ours).sum(1), (share * theirs).sum(1)
    covariance = (share * (theirs - target[:, None])).transpose(0, 2, 1) @ (ours - middle[:, None])
    u, _, v = np.linalg.svd(covariance)
    flip = np.ones((len(u), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ v))
    rotations = (u * flip[:, None]) @ v
    return rotations, target - (rotations @ middle[..., None])[..., 0]
