"""Frozen features of every training scene, computed once and kept: images never pass the backbone again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from refseg_ros.models.compact.backbone import Backbone, network_input
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import load_scene


@dataclass(eq=False)
class CachedScenes:
    """Tensors by scene: image uint8 (S, 3, H, W), geometry half (S, 2, H, W), maps half (S, C, h, w) at four strides,
    ids int8 (S, H/2, W/2), depth half (S, H/2, W/2) metres, rays (S, 3); objects and expressions as stored."""

    image: Tensor
    geometry: Tensor
    maps: list[Tensor]
    ids: Tensor
    depth: Tensor
    rays: Tensor
    objects: list[list[dict[str, Any]]]
    expressions: list[list[dict[str, Any]]]

    def __len__(self) -> int:
        return len(self.image)


def varied_sensor(rng: np.random.Generator) -> SensorModel:
    """A different camera for each scene, from clean to poor."""
    return SensorModel(
        read_noise=float(rng.uniform(0, 4)), blur_px=float(rng.uniform(0, 1.0)), exposure=0.3, white_balance=0.06,
        jpeg_quality=int(rng.integers(60, 98)), depth_noise=float(rng.uniform(0, 0.003)),
    )  # fmt: skip


def build(folder: Path, most: int) -> CachedScenes:
    """Read, degrade and encode up to `most` scenes of a folder."""
    backbone = Backbone()
    columns: dict[str, list[Any]] = {name: [] for name in ("image", "geometry", "ids", "depth", "rays", "maps")}
    objects, expressions = [], []
    for path in track(sorted(folder.glob("scene_*.npz"))[:most], description=f"features of {folder.name}"):
        scene = load_scene(path)
        rng = np.random.default_rng(int(path.stem.split("_")[1]))
        sensor = varied_sensor(rng)
        rgb, depth = sensor.color(scene.rgb, rng), sensor.depth(scene.depth, rng)
        image, geometry, size = network_input(rgb, depth)
        half = (image.shape[2] // 2, image.shape[1] // 2)
        ids = np.full((half[1], half[0]), -1, np.int8)
        near = np.zeros((half[1], half[0]), np.float16)
        inner = (size[0] // 2, size[1] // 2)
        ids[: inner[1], : inner[0]] = cv2.resize(scene.instance_ids, inner, interpolation=cv2.INTER_NEAREST)
        near[: inner[1], : inner[0]] = cv2.resize(depth, inner, interpolation=cv2.INTER_NEAREST)
        scale = inner[0] / scene.rgb.shape[1]
        columns["image"].append(torch.from_numpy(np.round(image * 128 + 127).astype(np.uint8)))
        columns["geometry"].append(torch.from_numpy(geometry).half())
        columns["ids"].append(torch.from_numpy(ids))
        columns["depth"].append(torch.from_numpy(near))
        columns["rays"].append(torch.tensor([scene.k[0, 0], scene.k[0, 2], scene.k[1, 2]]).float() * scale)
        columns["maps"].append([m[0].half() for m in backbone(torch.from_numpy(image)[None])])
        objects.append(scene.objects)
        expressions.append(scene.expressions)
    stacked = {name: torch.stack(values) for name, values in columns.items() if name != "maps"}
    maps = [torch.stack([m[level] for m in columns["maps"]]) for level in range(4)]
    return CachedScenes(maps=maps, objects=objects, expressions=expressions, **stacked)


def cached(folder: Path, work: Path, most: int) -> CachedScenes:
    """build(), kept in `work` between runs."""
    path = work / f"features_{folder.name}_{most}.pt"
    if path.exists():
        return torch.load(path, weights_only=False)
    scenes = build(folder, most)
    work.mkdir(parents=True, exist_ok=True)
    torch.save(scenes, path)
    return scenes


def normalised(image_u8: Tensor) -> Tensor:
    """uint8 back to the backbone's scale."""
    return (image_u8.float() - 127.0) / 128.0
