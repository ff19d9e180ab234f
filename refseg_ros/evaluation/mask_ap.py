"""Average precision of scored masks, by pycocotools' own COCOeval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FIGURES = {"AP": 0, "AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5}


@dataclass(frozen=True, eq=False)
class NamedMask:
    """mask: bool (H, W); score: 0..1, of a prediction; the truth's is not read; crowd: of a truth, things that were not
    separated: what lies in it is not counted."""

    name: str
    mask: npt.NDArray[np.bool_]
    score: float = 1.0
    crowd: bool = False


class MaskAveragePrecision:
    """Accumulates images; masks are kept run-length encoded."""

    def __init__(self) -> None:
        self._images: list[dict[str, int]] = []
        self._true: list[dict[str, Any]] = []
        self._predicted: list[dict[str, Any]] = []
        self._names: dict[str, int] = {}

    def update(self, predicted: Sequence[NamedMask], true: Sequence[NamedMask], size: tuple[int, int]) -> None:
        """Add one image. size: (width, height). Raises ValueError for a mask of another size."""
        image = len(self._images) + 1
        self._images.append({"id": image, "width": size[0], "height": size[1]})
        for item in true:
            row = self._row(item, image, size)
            area = float(rle.area(row["segmentation"]))
            self._true.append(row | {"id": len(self._true) + 1, "iscrowd": int(item.crowd), "area": area})
        self._predicted += [self._row(item, image, size) | {"score": float(item.score)} for item in predicted]

    def _row(self, item: NamedMask, image: int, size: tuple[int, int]) -> dict[str, Any]:
        if item.mask.shape != (size[1], size[0]):
            raise ValueError(f"a mask of {item.name!r} is {item.mask.shape}, its image {(size[1], size[0])}")
        runs = rle.encode(np.asfortranarray(item.mask, dtype=np.uint8))
        name = self._names.setdefault(item.name, len(self._names) + 1)
        # Without a box: pycocotools would take the box's area for a prediction's size.
        return {"image_id": image, "category_id": name, "segmentation": runs}

    def compute(self) -> dict[str, float]:
        """AP over IoU 0.5 to 0.95, AP50, AP75, and AP by size of the true mask; NaN where there is no truth."""
        if not self._true:
            return dict.fromkeys(FIGURES, float("nan"))
        if not self._predicted:
            return dict.fromkeys(FIGURES, 0.0)
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports on itself
            truth = COCO()
            truth.dataset = {
                "info": {}, "images": self._images, "annotations": self._true,
                "categories": [{"id": number, "name": name} for name, number in self._names.items()],
            }  # fmt: skip
            truth.createIndex()
            judge = COCOeval(truth, truth.loadRes([dict(row) for row in self._predicted]), "segm")
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
        return {key: float(judge.stats[at]) if judge.stats[at] >= 0 else float("nan") for key, at in FIGURES.items()}
