"""Frozen features of every training scene, computed once and kept: images never pass the backbone again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from torch import Tensor

from refseg_ros.models.compact.backbone import MEAN, STD, Backbone, network_input, relative_depth
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import load_scene


@dataclass(eq=False)
class CachedScenes:
    """Tensors by scene: image uint8 (S, 3, H, W), detail uint8 (S, 3, 2H, 2W), detail_depth half (S, 2H, 2W) metres,
    maps half (S, C, h, w) at four strides, ids int8 (S, H, W), depth half (S, H, W) metres, rays (S, 3) in pixels of
    image."""

    image: Tensor
    detail: Tensor
    detail_depth: Tensor
    maps: list[Tensor]
    ids: Tensor
    depth: Tensor
    rays: Tensor

    def __len__(self) -> int:
        return len(self.image)


def varied_sensor(rng: np.random.Generator) -> SensorModel:
    """A different camera for each scene, from clean to poor."""
    return SensorModel(
        read_noise=float(rng.uniform(0, 4)), blur_px=float(rng.uniform(0, 1.0)), exposure=0.3, white_balance=0.06,
        jpeg_quality=int(rng.integers(60, 98)), depth_noise=float(rng.uniform(0, 0.003)),
    )  # fmt: skip


def _bytes(image_chw: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.round(image_chw * STD + MEAN).astype(np.uint8))


def _padded(values: npt.NDArray[Any], inner: tuple[int, int], shape: tuple[int, int], rest: int) -> Tensor:
    """Resized to (width, height), without mixing values, in the corner of an array of `shape` filled with `rest`."""
    out = np.full(shape, rest, values.dtype)
    out[: inner[1], : inner[0]] = cv2.resize(values, inner, interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(out)


def build(folder: Path, most: int) -> CachedScenes:
    """Read, degrade and encode up to `most` scenes of a folder."""
    backbone = Backbone()
    paths = sorted(folder.glob("scene_*.npz"))[:most]
    columns: dict[str, Tensor] = {}

    def put(name: str, n: int, value: Tensor) -> None:
        if name not in columns:  # in place from the start: stacking lists would need twice the memory
            columns[name] = torch.empty((len(paths), *value.shape), dtype=value.dtype)
        columns[name][n] = value

    for n, path in enumerate(track(paths, description=f"features of {folder.name}")):
        scene = load_scene(path)
        rng = np.random.default_rng(int(path.stem.split("_")[1]))
        sensor = varied_sensor(rng)
        rgb, depth = sensor.color(scene.rgb, rng), sensor.depth(scene.depth, rng)
        image, detail, inner = network_input(rgb, depth)
        height, width = image.shape[1:]
        put("image", n, _bytes(image))
        put("detail", n, _bytes(detail[:3]))
        put("detail_depth", n, _padded(depth, (2 * inner[0], 2 * inner[1]), (2 * height, 2 * width), 0).half())
        put("ids", n, _padded(scene.instance_ids.astype(np.int8), inner, (height, width), -1))
        put("depth", n, _padded(depth, inner, (height, width), 0).half())
        scale = inner[0] / scene.rgb.shape[1]
        put("rays", n, torch.tensor([scene.k[0, 0], scene.k[0, 2], scene.k[1, 2]]).float() * scale)
        for level, features in enumerate(backbone(torch.from_numpy(image)[None])):
            put(f"maps{level}", n, features[0].half())
    maps = [columns.pop(f"maps{level}") for level in range(4)]
    return CachedScenes(maps=maps, **columns)


def cached(folder: Path, work: Path, most: int) -> CachedScenes:
    """build(), kept in `work` between runs."""
    path = work / f"features_{folder.name}_{most}.pt"
    if path.exists():
        return torch.load(path, weights_only=False, mmap=True)  # larger than memory should hold
    scenes = build(folder, most)
    work.mkdir(parents=True, exist_ok=True)
    torch.save(scenes, path)
    return scenes


def normalised(image_u8: Tensor) -> Tensor:
    """uint8 back to the backbone's scale."""
    return (image_u8.float() - MEAN) / STD


def detail_of(scenes: CachedScenes, index: Tensor) -> Tensor:
    """The detail images of some scenes: float32 (B, 5, 2H, 2W), as network_input() makes them."""
    depth = torch.stack(
        [torch.from_numpy(relative_depth(scenes.detail_depth[n].float().numpy())) for n in index.tolist()]
    )
    return torch.cat([normalised(scenes.detail[index]), depth], 1)
