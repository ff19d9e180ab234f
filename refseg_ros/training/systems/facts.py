"""What training knows of a picture, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from refseg_ros.models.backbones.base import Backbone, VisionFeatures
from refseg_ros.models.backbones.geometry import Geometry


@dataclass(frozen=True)
class Sentence:
    """Something said of the picture. phrases, and the segments that each means (none: it is absent)."""

    kind: str
    phrases: tuple[str, ...]
    targets: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Segment:
    """A thing or a stretch of stuff. also: names that fit it too, so that they are not absent; said: as a person would
    say it on its own, or ""."""

    number: int
    name: str
    stuff: bool = False
    also: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything that can be asked about one picture. captions: several, one is drawn; () where there is none; unsure:
    names that are no segment's and not absent either."""

    sentences: tuple[Sentence, ...] = ()
    segments: tuple[Segment, ...] = ()
    captions: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()


class PictureSet(Protocol):
    """Pictures with their facts. folder: where they lie, for messages; names: every segment's name in the set, for
    absent ones in word lists; stuff: those of them that are stuff."""

    folder: Path
    names: tuple[str, ...]
    stuff: frozenset[str]

    def __len__(self) -> int: ...

    def vision(self, backbone: Backbone, indices: Sequence[int]) -> VisionFeatures:
        """The vision tower's features of some pictures of one padded size."""
        ...

    def geometry(self, backbone: Backbone, index: int) -> Geometry:
        """How the backbone resizes and pads a picture."""
        ...

    def facts(self, index: int) -> Facts:
        """What is true of a picture."""
        ...

    def masks(self, index: int, numbers: Sequence[int], geometry: Geometry, stride: int) -> Tensor:
        """Shares 0..1 (n, h, w) of some of its segments, on a grid over the padded input with cells of `stride` pixels,
        or on the set's own where that is what it has."""
        ...
