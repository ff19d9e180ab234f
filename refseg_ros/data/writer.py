"""Labelled images of any origin to a dataset folder in the contract's form."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.data.dataset import DatasetError

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledMask:
    """One thing that one phrase means. key: names its file, unique in the dataset; read: its bool (H, W) pixels,
    called when no file of that key is there yet, raising ValueError for a damaged one."""

    phrase: int
    key: str
    read: Callable[[], BoolArray]


@dataclass(frozen=True)
class LabelledMap:
    """Everything in an image by name, for word lists. key: names its file, unique in the dataset; segments: (name,
    whether it is stuff) of the ids 1, 2, ...; crowds: names of groups that were not separated, of the ids that follow;
    unsure: names that may be there unlabelled, those of crowds among them; read: uint16 (H, W) ids, 0 for what has
    none, called when no file of that key is there yet."""

    key: str
    segments: tuple[tuple[str, bool], ...]
    unsure: tuple[str, ...]
    read: Callable[[], npt.NDArray[np.uint16]]
    crowds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """One (image, instruction) and what is true of it. where: of its label, for messages. As data.dataset.Sample.

    scene: of the image, with one of its lines.
    """

    image: Path
    instruction: str
    kind: str
    phrases: tuple[str, ...]
    masks: tuple[LabelledMask, ...]
    where: str
    scene: LabelledMap | None = None


def write_dataset(samples: Iterable[Labelled], out: Path) -> int:
    """Write out/index.jsonl and out/mask/, and out/panoptic.jsonl and out/panoptic/ where scenes are given; images stay
    where they are and are named relative to `out`.

    Masks already there are kept, and the index appears when all is written, so an interrupted conversion goes on.
    Returns the number of lines. Raises DatasetError for a missing image, a damaged mask or no sample at all.
    """
    (out / "mask").mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    scenes: list[str] = []
    known: dict[Path, bool] = {}
    for sample in samples:
        if not known.setdefault(sample.image, sample.image.is_file()):
            raise DatasetError(f"{sample.where}: the image {sample.image} is missing; check the folder of images.")
        lines.append(json.dumps(_line(sample, out)))
        if sample.scene is not None:
            scenes.append(json.dumps(_scene(sample, sample.scene, out)))
    if not lines:
        raise DatasetError("There is nothing to convert: no label of that split was found; check the split's name.")
    for name, rows in (("panoptic.jsonl", scenes), ("index.jsonl", lines)):
        if rows:
            partial = out / f"{name}.partial"
            partial.write_text("\n".join(rows) + "\n", encoding="utf-8")
            partial.replace(out / name)
    return len(lines)


def _scene(sample: Labelled, scene: LabelledMap, out: Path) -> dict[str, Any]:
    name = f"panoptic/{scene.key}.png"
    if not (out / name).is_file():
        (out / "panoptic").mkdir(exist_ok=True)
        write_png(out / name, scene.read())
    segments = [{"id": n, "name": said, "stuff": stuff} for n, (said, stuff) in enumerate(scene.segments, 1)]
    crowds = [{"id": n, "name": said} for n, said in enumerate(scene.crowds, len(segments) + 1)]
    row = {"image": _relative(sample.image, out), "panoptic": name, "segments": segments, "unsure": list(scene.unsure)}
    return row | ({"crowds": crowds} if crowds else {})


def _relative(image: Path, out: Path) -> str:
    """From a folder to a picture as the system walks there, which "..", behind a link, is not as it is written."""
    return os.path.relpath(image.parent.resolve() / image.name, out.resolve()).replace(os.sep, "/")


def _line(sample: Labelled, out: Path) -> dict[str, Any]:
    targets = []
    for mask in sample.masks:
        name = f"mask/{mask.key}.png"
        if not (out / name).is_file():
            try:
                pixels = mask.read()
            except (ValueError, TypeError, OverflowError) as error:
                raise DatasetError(f"{sample.where}: the mask {mask.key} is damaged: {error}.") from error
            if not pixels.any():
                raise DatasetError(f"{sample.where}: the mask {mask.key} has no pixels.")
            write_png(out / name, pixels.astype(np.uint8) * 255)
        targets.append({"phrase": mask.phrase, "mask": name, "centroid_m": None, "visible": None})
    return {
        "image": _relative(sample.image, out), "depth": None, "camera": None,
        "instruction": sample.instruction, "type": sample.kind, "phrases": list(sample.phrases), "targets": targets,
    }  # fmt: skip


def write_png(path: Path, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write a grey PNG, whole or not at all."""
    ok, data = cv2.imencode(".png", pixels)
    if not ok:
        raise ValueError(f"cannot encode {pixels.dtype} {pixels.shape} as PNG")
    partial = path.with_suffix(".partial")
    partial.write_bytes(data.tobytes())
    partial.replace(path)
