"""SA-1B (Kirillov et al., ICCV 2023): one JSON an image beside it, masks as compressed run lengths, no names.

Each image becomes one line that asks for everything, with every mask as a target: enough to teach or to judge
instances without a language.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from refseg_ros.data.annotations import labels_of, read_json, size_of
from refseg_ros.data.coco_masks import to_mask
from refseg_ros.data.dataset import DatasetError
from refseg_ros.data.writer import Labelled, LabelledMask

ASKED = "everything"


def read_sa1b(
    source: Path, images: Path, least_iou: float = 0.0, least_stability: float = 0.0
) -> Iterator[Labelled]:
    """The masks whose predicted_iou and stability_score reach the least. Raises DatasetError."""
    files = sorted(source.glob("*.json"))
    if not files:
        raise DatasetError(f"{source} holds no JSON files; SA-1B has one beside each image.")
    for path in files:
        content = read_json(path)
        with labels_of(str(path)):
            picture = content["image"]
            size, name = size_of(picture), str(picture["file_name"])
            masks = tuple(
                _mask(path.stem, a, size)
                for a in content["annotations"]
                if float(a.get("predicted_iou", 1.0)) >= least_iou
                and float(a.get("stability_score", 1.0)) >= least_stability
            )
        if masks:
            yield Labelled(images / name, ASKED, "everything", (ASKED,), masks, str(path))


def _mask(stem: str, annotation: dict[str, Any], size: tuple[int, int]) -> LabelledMask:
    return LabelledMask(0, f"{stem}_{int(annotation['id'])}", partial(to_mask, annotation["segmentation"], size))
