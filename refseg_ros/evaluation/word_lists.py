"""A model asked by word list: everything in the picture by name, things and stuff, against panoptic truth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.files import read_rgb
from refseg_ros.data.dataset import DatasetError
from refseg_ros.evaluation.mask_ap import MaskAveragePrecision, NamedMask
from refseg_ros.evaluation.metrics import without_nan
from refseg_ros.evaluation.panoptic import PanopticMap, PanopticQuality
from refseg_ros.evaluation.tally import spread


@dataclass(frozen=True, eq=False)
class WordListAnswer:
    """scene: every pixel's segment; instances: scored masks of things, which may overlap."""

    scene: PanopticMap
    instances: Sequence[NamedMask]


class WordListModel(Protocol):
    """What is evaluated here."""

    def perceive(self, rgb: npt.NDArray[np.uint8], things: Sequence[str], stuff: Sequence[str]) -> WordListAnswer:
        """rgb: uint8 (H, W, 3). Every answered name is one of things or stuff; many of them are not in the picture."""
        ...


@dataclass(frozen=True)
class PanopticSample:
    """One line of panoptic.jsonl: an image, its id map (16-bit PNG, 0 for nothing) and the segments in it.

    crowd: ids of groups that were not separated, which are neither found nor missed."""

    image: Path
    panoptic: Path
    names: dict[int, str]
    stuff: frozenset[int]
    crowd: frozenset[int] = frozenset()

    def truth(self) -> PanopticMap:
        """Raises DatasetError for a map that cannot be read or holds other ids."""
        ids = cv2.imread(str(self.panoptic), cv2.IMREAD_UNCHANGED)
        if ids is None or ids.ndim != 2:
            raise DatasetError(f"The map {self.panoptic} cannot be read; make the dataset again.")
        try:
            return PanopticMap(ids.astype(np.int64), self.names, self.crowd)
        except ValueError as error:
            raise DatasetError(f"The map {self.panoptic} does not fit its line: {error}.") from error


def read_panoptic(folder: Path) -> list[PanopticSample]:
    """Every line of <folder>/panoptic.jsonl. Raises DatasetError."""
    index = folder / "panoptic.jsonl"
    try:
        lines = index.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{index} cannot be read; make the dataset again with refseg scenes.") from error
    samples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            names = {int(s["id"]): str(s["name"]) for s in row["segments"]}
            stuff = frozenset(int(s["id"]) for s in row["segments"] if s["stuff"])
            crowds = {int(s["id"]): str(s["name"]) for s in row.get("crowds", ())}
            image, drawn = folder / row["image"], folder / row["panoptic"]
            samples.append(PanopticSample(image, drawn, names | crowds, stuff, frozenset(crowds)))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{index}, line {number} is not a panoptic sample: {error!r}.") from error
    if not samples:
        raise DatasetError(f"{index} holds no samples.")
    return samples


def vocabulary(samples: Iterable[PanopticSample]) -> tuple[list[str], list[str]]:
    """All names of things and of stuff in a dataset, sorted. Raises DatasetError for a name that is both."""
    things: set[str] = set()
    stuff: set[str] = set()
    for sample in samples:
        for number, name in sample.names.items():
            if number in sample.crowd:
                continue
            (stuff if number in sample.stuff else things).add(name)
    if things & stuff:
        raise DatasetError(f"the names {sorted(things & stuff)} are things in one picture and stuff in another")
    return sorted(things), sorted(stuff)


def evaluate_word_lists(model: WordListModel, samples: Sequence[PanopticSample]) -> dict[str, Any]:
    """Ask for the dataset's whole vocabulary in every picture: PQ, mask AP, mIoU (None where undefined), and times."""
    things, stuff = vocabulary(samples)
    quality, precision, spent = PanopticQuality(stuff), MaskAveragePrecision(), []
    for sample in samples:
        rgb, truth = read_rgb(sample.image), sample.truth()
        began = time.perf_counter()
        answer = model.perceive(rgb, things, stuff)
        spent.append((time.perf_counter() - began) * 1e3)
        quality.update(answer.scene, truth)
        true = [
            NamedMask(name, truth.ids == number, crowd=number in sample.crowd)
            for number, name in sample.names.items() if number not in sample.stuff
        ]
        precision.update(answer.instances, true, (rgb.shape[1], rgb.shape[0]))
    report: dict[str, Any] = {"count": len(samples), "things": len(things), "stuff": len(stuff)}
    report |= without_nan(quality.compute()) | without_nan(precision.compute())
    return report | {"by_name": quality.by_name(), "ms_per_image": spread(spent)}
