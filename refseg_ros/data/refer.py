"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO.

A folder holds instances.json (COCO's images and annotations, polygons or run lengths) and either refs(unc).p,
refs(umd).p, ... (a pickled list; one annotation a reference) or grefs(unc).json (ann_id is a list; [-1] is nothing).
Each reference has several sentences: one line of the dataset each, with the sentence as its only phrase.
References: Yu et al., ECCV 2016; Mao et al., CVPR 2016; Liu et al., CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from refseg_ros.data.annotations import images_by_id, labels_of, read_json, size_of
from refseg_ros.data.coco_masks import to_mask
from refseg_ros.data.dataset import DatasetError
from refseg_ros.data.unpickle import load_plain
from refseg_ros.data.writer import Labelled, LabelledMask

NOTHING = [-1]


def read_refcoco(source: Path, images: Path, split: str, by: str = "") -> Iterator[Labelled]:
    """by: who made the splits, "unc", "umd" or "google"; needed where a folder holds several. Raises DatasetError."""
    path = _only(source, "refs", "p", by)
    yield from _read(path, load_plain(path), source, images, split)


def read_grefcoco(source: Path, images: Path, split: str, by: str = "") -> Iterator[Labelled]:
    """Expressions with one target, several or none. Raises DatasetError."""
    path = _only(source, "grefs", "json", by)
    yield from _read(path, read_json(path), source, images, split)


def _only(source: Path, stem: str, ending: str, by: str) -> Path:
    found = sorted(source.glob(f"{stem}(*).{ending}"))
    if by:
        found = [p for p in found if p.name == f"{stem}({by}).{ending}"]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(p.name for p in found)
        raise DatasetError(f"{source} holds {names}; say which with --by.")
    raise DatasetError(f"{source} holds no {stem}({by or '...'}).{ending}; check the folder.")


def _read(path: Path, references: Any, source: Path, images: Path, split: str) -> Iterator[Labelled]:
    instances = source / "instances.json"
    content = read_json(instances)
    with labels_of(str(instances)):
        pictures = images_by_id(content)
        annotations = {int(a["id"]): a for a in content["annotations"]}
    with labels_of(str(path)):
        chosen = [r for r in references if r["split"] == split]
        if not chosen:
            splits = ", ".join(sorted({str(r["split"]) for r in references}))
            raise DatasetError(f"{path} has no split {split!r}; it has {splits or 'no references'}.")
    for reference in chosen:
        where = f"{path.name}, reference {reference.get('ref_id')}"
        with labels_of(where):
            picture = pictures[int(reference["image_id"])]
            meant = _annotations(reference["ann_id"])
            masks = tuple(_mask(annotations[n], size_of(picture)) for n in meant)
            kind = f"{len(masks)}-target" if len(masks) < 2 else "multi-target"
            lines = [
                Labelled(images / picture["file_name"], said, kind, (said,), masks, where)
                for said in (str(sentence["sent"]).strip() for sentence in reference["sentences"])
            ]
        yield from lines


def _annotations(ann_id: Any) -> Sequence[int]:
    """The annotations of a reference: one number in RefCOCO, a list in gRefCOCO, [-1] for nothing."""
    if not isinstance(ann_id, list):
        return [int(ann_id)]
    return [] if ann_id == NOTHING else [int(n) for n in ann_id]


def _mask(annotation: dict[str, Any], size: tuple[int, int]) -> LabelledMask:
    return LabelledMask(0, str(int(annotation["id"])), partial(to_mask, annotation["segmentation"], size))
