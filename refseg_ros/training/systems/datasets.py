"""A dataset folder in the contract's form as a PictureSet, for any backbone: pictures are read and encoded as drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from refseg_ros.data.annotations import labels_of
from refseg_ros.data.dataset import DatasetError, Sample, read_dataset
from refseg_ros.models.backbones.base import Backbone, VisionFeatures
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.training.systems.captions import cleaned
from refseg_ros.training.systems.facts import Facts, Segment, Sentence

ORIENTATION, LYING = 0x0112, 5  # EXIF's tag, and the value from which on width and height are exchanged


class DatasetPictures:
    """The first `most` pictures of a folder with index.jsonl; word lists from panoptic.jsonl, captions from
    captions.jsonl ({"image", "captions": [...]} a line), where they are there. Raises DatasetError."""

    def __init__(self, folder: Path, most: int) -> None:
        self._samples: dict[Path, list[Sample]] = {}
        for sample in read_dataset(folder):
            if sample.image in self._samples or len(self._samples) < most:
                self._samples.setdefault(sample.image, []).append(sample)
        self._images = list(self._samples)
        self.folder = folder
        with labels_of(str(folder / "panoptic.jsonl")):
            self._panoptic = {row["image"]: row for row in _lines(folder / "panoptic.jsonl")}
            found = {(str(s["name"]), bool(s["stuff"])) for row in self._panoptic.values() for s in row["segments"]}
        with labels_of(str(folder / "captions.jsonl")):
            told = _lines(folder / "captions.jsonl")
            self._captions = {row["image"]: tuple(cleaned(row["captions"])) for row in told}
        self.names = tuple(sorted({name for name, _ in found}))
        self.stuff = frozenset(name for name, stuff in found if stuff)
        self._sizes: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def _rgb(self, index: int) -> npt.NDArray[np.uint8]:
        bgr = cv2.imread(str(self._images[index]), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DatasetError(f"The image {self._images[index]} cannot be read; make the dataset again.")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def _size(self, index: int) -> tuple[int, int]:
        """Of the picture as _rgb() turns it; its header alone is read."""
        if index not in self._sizes:
            path = self._images[index]
            try:
                with Image.open(path) as image:
                    across, down = image.size
                    lies = image.getexif().get(ORIENTATION, 1) >= LYING
            except OSError as error:
                raise DatasetError(f"The image {path} cannot be read; make the dataset again.") from error
            self._sizes[index] = (down, across) if lies else (across, down)
        return self._sizes[index]

    def geometry(self, backbone: Backbone, index: int) -> Geometry:
        return backbone.geometry(self._size(index))

    def vision(self, backbone: Backbone, indices: Sequence[int]) -> VisionFeatures:
        geometries = [self.geometry(backbone, i) for i in indices]
        pixels = [backbone.pixels(self._rgb(i), g) for i, g in zip(indices, geometries, strict=True)]
        return backbone.see(torch.stack(pixels).to(next(backbone.parameters()).device), geometries)

    def _targets(self, index: int) -> list[Path]:
        """The masks that sentences about a picture name; a segment's number is its place in this list."""
        named = (t.mask for sample in self._samples[self._images[index]] for t in sample.targets)
        return list(dict.fromkeys(named))

    def facts(self, index: int) -> Facts:
        masks = self._targets(index)
        sentences = []
        for sample in self._samples[self._images[index]]:
            pairs = [(t.phrase, masks.index(t.mask)) for t in sample.targets]
            targets = tuple(tuple(n for p, n in pairs if p == k) for k in range(len(sample.phrases)))
            sentences.append(Sentence(sample.kind, sample.phrases, targets))
        name = self._images[index].relative_to(self.folder).as_posix()
        row = self._panoptic.get(name, {"segments": []})
        segments = tuple(Segment(len(masks) + s["id"], s["name"], bool(s["stuff"])) for s in row["segments"])
        return Facts(tuple(sentences), segments, self._captions.get(name, ()), tuple(row.get("unsure", ())))

    def masks(self, index: int, numbers: Sequence[int], geometry: Geometry, stride: int) -> Tensor:
        grid = (geometry.padded[1] // stride, geometry.padded[0] // stride)
        if not numbers:
            return torch.zeros(0, *grid)
        files, size = self._targets(index), geometry.original
        shown = [
            self._mask(files[n], size) if n < len(files) else self._segment(index, n - len(files), size)
            for n in numbers
        ]
        return geometry.to_grid(torch.from_numpy(np.stack(shown)), grid)

    def _mask(self, file: Path, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        return _picture(file, size) > 0

    def _segment(self, index: int, number: int, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        row = self._panoptic[self._images[index].relative_to(self.folder).as_posix()]
        return _picture(self.folder / row["panoptic"], size) == number


def _picture(file: Path, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2 or (pixels.shape[1], pixels.shape[0]) != size:
        raise DatasetError(f"{file} cannot be read as a mask of {size[0]} x {size[1]}; make the dataset again.")
    return pixels.astype(np.int64)


def _lines(file: Path) -> list[dict]:  # type: ignore[type-arg]
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
