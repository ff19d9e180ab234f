"""COCO panoptic folders (Kirillov et al., CVPR 2019): <name>.json with segments, and PNGs <name>/ whose colour
R + 256 G + 65536 B is a segment's id.

An image becomes one line a category that is in it ("the dog", or "every dog" where there are several) and one for a
category of things that is not: those COCO labels exhaustively. A group that was not separated (iscrowd) has no
instances to be right about, so its category is left out in that image, as are names that can be argued about. The
first line of an image brings all of its segments.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.data.annotations import images_by_id, labels_of, read_json
from refseg_ros.data.coco_words import arguable, covered
from refseg_ros.data.dataset import DatasetError
from refseg_ros.data.writer import Labelled, LabelledMap, LabelledMask

ENDINGS = ("-merged", "-other", "-stuff")


def plain_name(category: str) -> str:
    """"floor-other-merged" as a person would say it: "floor"."""
    name = category
    while ending := next((e for e in ENDINGS if name.endswith(e)), ""):
        name = name.removesuffix(ending)
    return name.replace("-", " ").strip() or category


def read_coco_panoptic(source: Path, images: Path, name: str) -> Iterator[Labelled]:
    """source: folder of <name>.json and <name>/, such as panoptic_val2017. Raises DatasetError."""
    path = source / f"{name}.json"
    content = read_json(path)
    with labels_of(str(path)):
        pictures = images_by_id(content)
        categories = {int(c["id"]): c for c in content["categories"]}
        names = {n: plain_name(str(c["name"])) for n, c in categories.items()}
        things = {n for n, c in categories.items() if int(c.get("isthing", 1))}
        annotations = [(int(a["image_id"]), a) for a in content["annotations"]]
    for image, annotation in annotations:
        with labels_of(f"{path.name}, image {image}"):
            picture = images / str(pictures[image]["file_name"])
            drawn = _Map(source / name / str(annotation["file_name"]))
            lines = list(_lines(annotation, picture, drawn, names, things))
            scene = _scene(annotation, drawn, names, things)
        yield from (replace(line, scene=None if n else scene) for n, line in enumerate(lines))


class _Map:
    """The drawn ids of one image, read when first asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def ids(self) -> npt.NDArray[np.uint32]:
        bgr = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise DatasetError(f"The panoptic map {self.path} cannot be read; check the folder.")
        return np.asarray((bgr.astype(np.uint32) * np.array([65536, 256, 1], np.uint32)).sum(2), np.uint32)

    def pixels(self, number: int) -> npt.NDArray[np.bool_]:
        return self.ids == number


def _scene(annotation: dict[str, Any], drawn: _Map, names: dict[int, str], things: set[int]) -> LabelledMap:
    """Segments by numbers of our own, for theirs need 24 bits: those that were separated, then the crowds."""
    listed = [(int(s["id"]), int(s["category_id"]), int(s.get("iscrowd", 0))) for s in annotation["segments_info"]]
    own = [(number, category) for number, category, crowd in listed if not crowd]
    crowds = [(number, category) for number, category, crowd in listed if crowd]
    unsure = sorted({names[category] for _, category in crowds})

    def read() -> npt.NDArray[np.uint16]:
        out = np.zeros(drawn.ids.shape, np.uint16)
        for n, (number, _) in enumerate([*own, *crowds], 1):
            out[drawn.ids == number] = n
        return out

    segments = tuple((names[category], category not in things) for _, category in own)
    return LabelledMap(drawn.path.stem, segments, tuple(unsure), read, tuple(names[c] for _, c in crowds))


def _lines(
    annotation: dict[str, Any], picture: Path, drawn: _Map, names: dict[int, str], things: set[int]
) -> Iterator[Labelled]:
    stem, where = drawn.path.stem, str(drawn.path)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for segment in annotation["segments_info"]:
        by_name.setdefault(names[int(segment["category_id"])], []).append(segment)
    for name, segments in sorted(by_name.items()):
        if any(int(s.get("iscrowd", 0)) for s in segments):
            continue
        thing = int(segments[0]["category_id"]) in things
        if arguable(name, thing, by_name.keys()):
            continue
        several = len(segments) > 1
        said = f"every {name}" if several else f"the {name}"
        kind = "all-of" if several else "name" if thing else "stuff"
        masks = tuple(
            LabelledMask(0, f"{stem}_{int(s['id'])}", partial(drawn.pixels, int(s["id"]))) for s in segments
        )
        yield Labelled(picture, said, kind, (said,), masks, where)
    seen = {word for name in by_name for word in name.split()}
    known = {names[n] for n in things if not covered(names[n], by_name.keys())}
    absent = sorted(name for name in known if not seen & set(name.split()))
    if absent:
        said = f"the {absent[zlib.crc32(stem.encode()) % len(absent)]}"  # the same one whenever it is converted
        yield Labelled(picture, said, "absent-name", (said,), (), where)
