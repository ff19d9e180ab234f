"""A dataset folder as the contract describes it: index.jsonl with images, instructions, phrases and true masks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.files import read_frame
from refseg_ros.core.instruction import Number, parse
from refseg_ros.core.outcome import RequestError, Verdict
from refseg_ros.core.types import Frame


class DatasetError(Exception):
    """A dataset that cannot be read; the message names the file, the line and what is wrong."""


@dataclass(frozen=True)
class Target:
    """One thing meant by one phrase. centroid_m: of its visible surface, optical frame, or None; visible in [0, 1]."""

    phrase: int
    mask: Path
    centroid_m: tuple[float, float, float] | None
    visible: float | None

    def read(self, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """bool (H, W). size: (width, height) that the mask must have. Raises DatasetError."""
        pixels = cv2.imread(str(self.mask), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise DatasetError(f"The mask {self.mask} cannot be read; make the dataset again.")
        if pixels.shape != (size[1], size[0]):
            found = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise DatasetError(f"The mask {self.mask} is {found}, its image {size[0]} x {size[1]}.")
        return np.asarray(pixels > 0)


@dataclass(frozen=True)
class Sample:
    """One (image, instruction) and what is true of it. camera: the content of a camera file, or None."""

    image: Path
    depth: Path | None
    camera: dict[str, Any] | None
    instruction: str
    kind: str
    phrases: tuple[str, ...]
    targets: tuple[Target, ...]
    ambiguous: bool

    @property
    def frame_key(self) -> tuple[Any, ...]:
        """Samples with one key show one frame."""
        return self.image, self.depth, json.dumps(self.camera)

    def verdicts(self) -> tuple[Verdict, ...]:
        """What is true of each phrase."""
        out = []
        for n in range(len(self.phrases)):
            count = sum(t.phrase == n for t in self.targets)
            several = self.ambiguous and (len(self.phrases) == 1 or count > _wanted(self.phrases[n], count))
            out.append(Verdict.ABSENT if not count else (Verdict.AMBIGUOUS if several else Verdict.FOUND))
        return tuple(out)

    def read_frame(self) -> Frame:
        """Raises core.outcome.RequestError as core.files.read_frame() does."""
        return read_frame(self.image, self.depth if self.camera is not None else None, self.camera)


def _wanted(phrase: str, count: int) -> int:
    """How many things a phrase asks for: `count` where it takes all there are."""
    try:
        asked = parse(phrase)[0]
    except RequestError:
        return 1
    return {Number.SINGULAR: 1, Number.COUNT: asked.count or 1}.get(asked.number, count)


def read_dataset(folder: Path) -> list[Sample]:
    """Every line of <folder>/index.jsonl, in order. Raises DatasetError."""
    index = folder / "index.jsonl"
    try:
        lines = index.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{index} cannot be read; a dataset folder holds an index.jsonl.") from error
    samples = [_sample(folder, line, f"{index}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not samples:
        raise DatasetError(f"{index} holds no samples.")
    return samples


def _sample(folder: Path, line: str, where: str) -> Sample:
    try:
        row = json.loads(line)
        phrases = tuple(str(p) for p in row["phrases"])
        if not phrases:
            raise ValueError("it has no phrases")
        targets = tuple(_target(folder, t, len(phrases)) for t in row["targets"])
        return Sample(
            folder / row["image"],
            folder / row["depth"] if row.get("depth") else None,
            row.get("camera"),
            str(row["instruction"]),
            str(row.get("type", "")),
            phrases,
            targets,
            row.get("expect") == "AMBIGUOUS",
        )
    except KeyError as error:
        raise DatasetError(f"{where} lacks {error}.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{where} is not a sample: {error}.") from error


def _target(folder: Path, row: dict[str, Any], phrases: int) -> Target:
    phrase = int(row["phrase"])
    if not 0 <= phrase < phrases:
        raise ValueError(f"a target belongs to phrase {phrase}, but there are {phrases}")
    place = row.get("centroid_m")
    x, y, z = (float(v) for v in place) if place is not None else (0.0, 0.0, 0.0)
    visible = row.get("visible")
    return Target(phrase, folder / row["mask"], None if place is None else (x, y, z), visible)
