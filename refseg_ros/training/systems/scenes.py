"""Rendered scenes as a PictureSet: the frozen vision features of CompactVLM are worked out once and kept on disk."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from filelock import FileLock
from numpy.lib.format import open_memmap
from rich.progress import track
from torch import Tensor

from refseg_ros.models.backbones.base import Backbone, VisionFeatures
from refseg_ros.models.backbones.compact_vlm import FINE, CompactVLM
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.models.compact.backbone import MEAN, STD
from refseg_ros.sim import holdout
from refseg_ros.sim.catalogue import nouns
from refseg_ros.sim.pool import STUFF
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import StoredScene, load_scene
from refseg_ros.training.shrinking import shrunk
from refseg_ros.training.systems import captions
from refseg_ros.training.systems.facts import Facts, Segment, Sentence

MASK_STRIDE = 2
STUFF_FROM = 100  # segments from this number on are stuff
BATCH = 8
KEPT_MAPS = 3
VERSION = 2  # of what is kept; 1 had its masks 1.5 pixels of the picture too far down and right


class RenderedScenes:
    """The first `most` scenes of a folder of training files. work: where the features are kept, in a folder `kept` for
    each scene folder and number. Raises ValueError for no scenes, and for features of another tower."""

    def __init__(self, folder: Path, work: Path, backbone: CompactVLM, most: int) -> None:
        paths = sorted(folder.glob("scene_*.npz"))[:most]
        if not paths:
            raise ValueError(f"{folder} holds no scene_*.npz: python -m refseg_ros.sim.generate {folder} 5000 0")
        self.folder = folder
        self.names = (*(n for n in nouns() if n not in holdout.NOUNS), *STUFF)
        self.stuff = frozenset(STUFF)
        self.kept = kept = work / f"vision_{folder.name}_{len(paths)}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_name(f"{kept.name}.lock")):  # runs side by side: the first makes them, others wait
            content = _read(kept) or _keep(paths, kept, backbone)
        self._rows: list[dict[str, Any]] = content["scenes"]
        self._geometry = backbone.geometry((content["size"][0], content["size"][1]))
        self._maps = [np.load(kept / f"map_{n}.npy", mmap_mode="r") for n in range(KEPT_MAPS)]
        if tuple(m.shape[1] for m in self._maps) != backbone.channels[:KEPT_MAPS]:
            raise ValueError(f"{kept} holds the features of another version of CompactVLM; remove that folder")
        self._pixels = np.load(kept / "pixels.npy", mmap_mode="r")
        self._ids = np.load(kept / "ids.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._rows)

    def vision(self, backbone: Backbone, indices: Sequence[int]) -> VisionFeatures:
        """From the kept features. Raises TypeError for another backbone than CompactVLM."""
        if not isinstance(backbone, CompactVLM):
            raise TypeError(f"kept features belong to CompactVLM, not to {type(backbone).__name__}")
        device = next(backbone.parameters()).device
        maps = tuple(_tensor(m, indices).to(device, torch.float32) for m in self._maps)
        image = _tensor(self._pixels, indices).to(device, torch.float32) / 255
        return backbone.from_maps(maps, image, [self._geometry] * len(indices))

    def geometry(self, backbone: Backbone, index: int) -> Geometry:
        return self._geometry

    def facts(self, index: int) -> Facts:
        row = self._rows[index]
        sentences = [
            Sentence(e["type"], tuple(e["phrases"]), tuple(tuple(t) for t in e["targets"])) for e in row["expressions"]
        ]
        things = [Segment(o["id"], o["noun"], also=(o["category"],), said=o["said"]) for o in row["objects"]]
        stuff = [Segment(STUFF_FROM + n, STUFF[n], stuff=True) for n in row["stuff"]]
        said = captions.of_things([o["said"] for o in row["objects"]], random.Random(index))
        return Facts(tuple(sentences), (*things, *stuff), tuple(said))

    def masks(self, index: int, numbers: Sequence[int], geometry: Geometry, stride: int) -> Tensor:
        ids = torch.from_numpy(self._ids[index].astype(np.int64))
        return (ids[None] == torch.tensor(list(numbers), dtype=torch.long)[:, None, None]).float()


def _tensor(array: npt.NDArray[Any], indices: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.stack([array[i] for i in indices]))


def _read(kept: Path) -> dict[str, Any] | None:
    """What facts.json says; None where it has to be made, or made anew."""
    path = kept / "facts.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content if content.get("version") == VERSION else None


def _keep(paths: list[Path], kept: Path, backbone: CompactVLM) -> dict[str, Any]:
    """Degrade, encode and write every scene; facts.json, what is returned, comes last and says that all is there."""
    kept.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {}
    rows, size = [], (0, 0)
    for start in track(range(0, len(paths), BATCH), description=f"vision features of {len(paths)} scenes"):
        scenes = [load_scene(path) for path in paths[start : start + BATCH]]
        size = (scenes[0].rgb.shape[1], scenes[0].rgb.shape[0])
        geometry = backbone.geometry(size)
        placed = []
        for path, scene in zip(paths[start:], scenes, strict=False):
            rng = np.random.default_rng(int(path.stem.split("_")[1]))
            rgb = SensorModel.drawn(rng).color(scene.rgb, rng)
            placed.append(backbone.pixels(rgb, geometry))
        pixels = torch.stack(placed)
        maps = backbone.maps(pixels)
        image = F.avg_pool2d(pixels * STD + MEAN, FINE).round().byte().numpy()
        columns = {"pixels": image, "ids": np.stack([_ids(s, geometry) for s in scenes])}
        columns |= {f"map_{n}": m.half().numpy() for n, m in enumerate(maps)}
        for name, values in columns.items():
            if name not in files:
                files[name] = open_memmap(kept / f"{name}.npy", "w+", values.dtype, (len(paths), *values.shape[1:]))
            files[name][start : start + len(scenes)] = values
        rows += [_row(scene) for scene in scenes]
    for file in files.values():
        file.flush()
    content = {"version": VERSION, "size": size, "scenes": rows}
    (kept / "facts.json").write_text(json.dumps(content), encoding="utf-8")
    return content


def _ids(scene: StoredScene, geometry: Geometry) -> npt.NDArray[np.int8]:
    """Segment numbers at MASK_STRIDE over the padded input, -1 for none."""
    ids = scene.instance_ids.astype(np.int16)
    if scene.stuff_ids is not None:
        ids = np.where((ids < 0) & (scene.stuff_ids >= 0), scene.stuff_ids + STUFF_FROM, ids)
    out = np.full((geometry.padded[1] // MASK_STRIDE, geometry.padded[0] // MASK_STRIDE), -1, np.int8)
    inner = (geometry.resized[0] // MASK_STRIDE, geometry.resized[1] // MASK_STRIDE)
    out[: inner[1], : inner[0]] = shrunk(ids, inner)
    return out


def _row(scene: StoredScene) -> dict[str, Any]:
    """What facts() needs, for objects that can be seen."""
    seen = [o for o in scene.objects if o["visible_px"]]
    objects = [
        {"id": o["id"], "noun": o["noun"], "category": o["category"],
         "said": " ".join([*o["colours"][:1], o["noun"]]) if o["colours"] and o["colours"][0] not in o["noun"]
         else o["noun"]}
        for o in seen
    ]  # fmt: skip
    stuff = [] if scene.stuff_ids is None else [n for n in range(len(STUFF)) if (scene.stuff_ids == n).any()]
    said = [{k: e[k] for k in ("type", "phrases", "targets")} for e in scene.expressions]
    return {"objects": objects, "stuff": stuff, "expressions": said}
