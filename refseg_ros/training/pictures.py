"""A training file as the compact model sees it, and all that is done to it on the way: nothing is seen twice alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from refseg_ros.models.compact.backbone import network_input
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import StoredScene, load_scene

Rgb = npt.NDArray[np.uint8]
INPUT = (256, 320)  # of a batch: every window's picture is padded to this (height, width)
ZOOMED, MIRRORED, RELIT, PASTED, REPAINTED = 0.45, 0.5, 0.6, 0.3, 0.15
SMALLEST_WINDOW = 0.35  # of the picture's width
ASPECTS = (1.25, 1.8)  # width by height of a window; 1.25 fills INPUT
PASTED_AREA = 600  # pixels an object must have to be pasted elsewhere


@dataclass(frozen=True, eq=False)
class Picture:
    """image float32 (3, H, W) and detail float32 (5, 2H, 2W) as network_input() makes them; ids int8 (H, W), -1 for no
    object; depth float32 (H, W) metres, 0 for none; rays (3,): focal length, cx, cy in pixels of image, counted
    from its corner."""

    image: Tensor
    detail: Tensor
    ids: Tensor
    depth: Tensor
    rays: Tensor


def picture(
    scene: StoredScene, sensor: SensorModel, rng: np.random.Generator, light: bool = False,
    least: tuple[int, int] = (0, 0),
) -> Picture:  # fmt: skip
    """What a camera with these faults gives the model. light: under some other light, too; least: see network_input."""
    rgb, depth = sensor.color(scene.rgb, rng), sensor.depth(scene.depth, rng)
    image, detail, inner = network_input(relit(rgb, rng) if light else rgb, depth, least)
    shape, scale = (image.shape[1], image.shape[2]), inner[0] / rgb.shape[1]
    rays = torch.tensor([scene.k[0, 0], scene.k[0, 2] + 0.5, scene.k[1, 2] + 0.5]).float() * scale
    return Picture(
        torch.from_numpy(image), torch.from_numpy(detail),
        torch.from_numpy(_padded(scene.instance_ids.astype(np.int8), inner, shape, -1)),
        torch.from_numpy(_padded(depth, inner, shape, 0)), rays,
    )  # fmt: skip


def _padded(values: npt.NDArray, inner: tuple[int, int], shape: tuple[int, int], rest: int) -> npt.NDArray:
    """Resized to (width, height), without mixing values, in the corner of an array of `shape` filled with `rest`."""
    out = np.full(shape, rest, values.dtype)
    out[: inner[1], : inner[0]] = cv2.resize(values, inner, interpolation=cv2.INTER_NEAREST)
    return out


def plain(path: Path, light: bool = False) -> Picture:
    """A file's picture by one of many sensors, the same one each time. light: under some other light, too."""
    rng = np.random.default_rng(int(path.stem.split("_")[1]))
    return picture(load_scene(path), SensorModel.drawn(rng), rng, light)


def varied(paths: Sequence[Path], rng: np.random.Generator) -> Picture:
    """A window of a scene, mirrored, repainted, with something of another scene in it, by a sensor in a light."""
    scene = load_scene(paths[int(rng.integers(len(paths)))])
    if rng.random() < PASTED:
        scene = pasted(scene, load_scene(paths[int(rng.integers(len(paths)))]), rng)
    scene = window(scene, rng)
    if rng.random() < MIRRORED:
        scene = mirrored(scene)
    if rng.random() < REPAINTED:
        scene = replace(scene, rgb=repainted(scene.rgb, scene.instance_ids < 0, rng))
    return picture(scene, SensorModel.drawn(rng), rng, light=rng.random() < RELIT, least=INPUT)


def window(scene: StoredScene, rng: np.random.Generator) -> StoredScene:
    """A piece of the picture: often nearly all of it, else one around some object, as from close by."""
    height, width = scene.instance_ids.shape
    aspect = rng.uniform(*ASPECTS)
    share = rng.uniform(SMALLEST_WINDOW, 0.9) if rng.random() < ZOOMED else rng.uniform(0.9, 1.0)
    wide = round(share * min(width, aspect * height))
    high = round(wide / aspect)
    numbers = np.unique(scene.instance_ids)
    numbers = numbers[numbers >= 0]
    centre = (rng.uniform(0, height), rng.uniform(0, width))
    if len(numbers):
        rows, cols = np.nonzero(scene.instance_ids == rng.choice(numbers))
        centre = (rows.mean(), cols.mean())
    top = int(np.clip(centre[0] - high * rng.uniform(0.3, 0.7), 0, height - high))
    left = int(np.clip(centre[1] - wide * rng.uniform(0.3, 0.7), 0, width - wide))
    piece = np.s_[top : top + high, left : left + wide]
    k = scene.k.copy()
    k[0, 2], k[1, 2] = k[0, 2] - left, k[1, 2] - top
    return replace(
        scene, rgb=np.ascontiguousarray(scene.rgb[piece]), depth=scene.depth[piece],
        instance_ids=scene.instance_ids[piece], k=k,
    )  # fmt: skip


def mirrored(scene: StoredScene) -> StoredScene:
    """Left for right: for masks only, since words like "left" do not follow."""
    rgb, depth, ids = scene.rgb[:, ::-1].copy(), scene.depth[:, ::-1].copy(), scene.instance_ids[:, ::-1].copy()
    return replace(scene, rgb=rgb, depth=depth, instance_ids=ids)


def pasted(scene: StoredScene, other: StoredScene, rng: np.random.Generator) -> StoredScene:
    """One of the other scene's objects, somewhere in this one, a little nearer than what it covers."""
    numbers, areas = np.unique(other.instance_ids, return_counts=True)
    fit = numbers[(numbers >= 0) & (areas >= PASTED_AREA)]
    if not len(fit):
        return scene
    shown = other.instance_ids == rng.choice(fit)
    rows, cols = np.nonzero(shown)
    piece = np.s_[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
    shape = shown[piece]
    high, wide = shape.shape
    height, width = scene.instance_ids.shape
    top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
    place = np.s_[top : top + high, left : left + wide]
    rgb, depth, ids = scene.rgb.copy(), scene.depth.copy(), scene.instance_ids.copy()
    covered, own = depth[place][shape], other.depth[piece][shape]
    known = covered[covered > 0]
    nearest = float(np.quantile(known, 0.1)) if len(known) else float(own.max())
    rgb[place][shape] = other.rgb[piece][shape]
    depth[place][shape] = np.where(own > 0, own - own.max() + nearest - rng.uniform(0, 0.05), 0).clip(min=0)
    ids[place][shape] = scene.instance_ids.max() + 1
    return replace(scene, rgb=rgb, depth=depth, instance_ids=ids)


def repainted(rgb: Rgb, where: npt.NDArray[np.bool_], rng: np.random.Generator) -> Rgb:
    """What is no object under a soft pattern of colours."""
    coarse = rng.integers(0, 256, (int(rng.integers(2, 9)), int(rng.integers(2, 9)), 3)).astype(np.float32)
    pattern = cv2.resize(coarse, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    share = np.float32(rng.uniform(0.3, 0.9)) * where[..., None]
    return np.clip(rgb * (1 - share) + pattern * share, 0, 255).astype(np.uint8)


def relit(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The picture under another light and from farther away: gain by colour, contrast, saturation, lost detail."""
    out = rgb
    if rng.random() < 0.5:
        shrink = 1 / rng.uniform(1, 2.5)
        small = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        out = np.asarray(cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    grey = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
    saturation = float(rng.uniform(0.7, 1.2))
    dull = cv2.addWeighted(out, saturation, cv2.merge([grey] * 3), 1 - saturation, 0)
    gain = rng.uniform(0.65, 1.4) * rng.uniform(0.92, 1.08, 3)
    contrast, middle = rng.uniform(0.75, 1.25), float(grey.mean())
    levels = (np.arange(256)[:, None] - middle) * contrast * gain + middle * gain
    return np.asarray(cv2.LUT(dull, np.clip(levels, 0, 255).astype(np.uint8)[None]), np.uint8)


class VariedPictures(Dataset[Picture]):
    """Training files, each time seen another way."""

    def __init__(self, paths: list[Path], seed: int) -> None:
        self._paths, self._seed = paths, seed

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, draw: int) -> Picture:
        """draw: any whole number; it says everything about the picture."""
        return varied(self._paths, np.random.default_rng((self._seed, draw)))


def batches(paths: list[Path], batch: int, seed: int, workers: int) -> Iterator[Picture]:
    """Batches of varied pictures without end, each field stacked; depth and rays, too."""
    pictures = VariedPictures(paths, seed)
    draws = np.random.default_rng(seed)
    while True:
        chosen = draws.integers(0, 2**62, 1000 * batch).tolist()
        yield from DataLoader(
            pictures, batch, sampler=chosen, num_workers=workers, collate_fn=_stacked, persistent_workers=False
        )


def _stacked(pictures: list[Picture]) -> Picture:
    return Picture(*(torch.stack([getattr(p, n) for p in pictures]) for n in Picture.__dataclass_fields__))
