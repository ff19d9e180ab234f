"""A world small enough to be exact: coloured balls on a textured table, seen by a camera that may move.

Frames and answers as the node has them, with the truth: which ball each instance is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.core.types import Frame, Instance, Intrinsics, PhraseVerdict, Segmentation, crop_mask

WIDTH, HEIGHT = 320, 240
CAMERA = Intrinsics(WIDTH, HEIGHT, 260.0, 260.0, 159.5, 119.5)
TILES = np.random.default_rng(5).integers(40, 220, (400, 400, 3))


@dataclass
class Ball:
    colour: tuple[int, int, int]
    place: np.ndarray  # metres, world, z up, the table at 0
    radius: float = 0.04


def look_at(eye, target=(0, 0, 0)):
    """World from the optical frame, (4, 4)."""
    eye = np.asarray(eye, float)
    ahead = np.asarray(target, float) - eye
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], 1)
    pose[:3, 3] = eye
    return pose


def orbit(angle, distance=0.8, height=0.55):
    return look_at((distance * np.cos(angle), distance * np.sin(angle), height))


class Balls:
    """render(pose, seconds) gives a frame; answer(frame) its instances. noise: metres, of depth."""

    def __init__(self, balls, seed=0, noise=0.001):
        self.balls, self.rng, self.noise = balls, np.random.default_rng(seed), noise
        u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        self.rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)], -1)
        self.owner = np.full((HEIGHT, WIDTH), -1)

    def render(self, pose, seconds, depth=True):
        rays, eye = self.rays @ pose[:3, :3].T, pose[:3, 3]
        z = np.where(rays[..., 2] < -1e-6, -eye[2] / np.minimum(rays[..., 2], -1e-6), 3.0)
        z = np.minimum(z, 3.0)  # beyond the table there is a wall all around
        spots = eye + rays * z[..., None]
        tiles = np.floor((spots[..., :2] + spots[..., 2:]) / 0.025).astype(int) % len(TILES)
        rgb = TILES[tiles[..., 0], tiles[..., 1]].astype(float)
        self.owner[:] = -1
        for number, ball in enumerate(self.balls):
            to = eye - ball.place
            a, b, c = (rays**2).sum(-1), (rays @ to), to @ to - ball.radius**2
            root = b * b - a * c
            hit = (-b - np.sqrt(np.maximum(root, 0))) / a
            front = (root > 0) & (hit > 0) & (hit < z)
            z[front], self.owner[front] = hit[front], number
            rgb[front] = ball.colour
        rgb = np.clip(rgb * (1 + self.rng.normal(0, 0.05)) + self.rng.normal(0, 4, rgb.shape), 0, 255)
        measured = (z + self.rng.normal(0, self.noise, z.shape)).astype(np.float32)
        given = {"depth": measured, "intrinsics": CAMERA} if depth else {}
        return Frame(rgb.astype(np.uint8), stamp_ns=int(seconds * 1e9), **given)

    def answer(self, frame, unseen=()):
        """(answer, the balls of its instances in order); its instances come in another order each time."""
        shown = [n for n in np.unique(self.owner) if n >= 0 and n not in unseen]
        self.rng.shuffle(shown)
        instances = []
        for number in shown:
            mask, offset = crop_mask(self.owner == number)
            instances.append(Instance(len(instances) + 1, 0, 0.9, mask, offset))
        ids = tuple(i.id for i in instances)
        phrase = PhraseVerdict("the balls", Verdict.FOUND if ids else Verdict.ABSENT, 0.9, ids)
        result = Segmentation(
            "the balls", Outcome.FOUND if ids else Outcome.ABSENT, frame.size, "truth", (phrase,), tuple(instances),
            Lifter().lift(frame, instances),
        )  # fmt: skip
        return result, shown


RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 170, 60), (50, 70, 210), (220, 200, 40)


def three_balls(seed=0):
    places = ((0.0, 0.15, 0.04), (0.05, -0.15, 0.04), (-0.12, 0.0, 0.04))
    return Balls([Ball(c, np.array(p)) for c, p in zip((RED, GREEN, BLUE), places, strict=True)], seed)
