"""out/demo/index.html: one page, self-contained, that shows every request as a person would want to see it."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import numpy.typing as npt

from refseg_ros.demo.score import Grade


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many of the requests ended how: "9 of 10 right, 1 undecided"."""
    counted = Counter(row["grade"] for row in rows)
    others = [f"{counted[grade]} {grade}" for grade in (Grade.UNDECIDED, Grade.WRONG) if counted[grade]]
    return ", ".join([f"{counted[Grade.RIGHT]} of {len(rows)} right", *others])


def jpeg_base64(picture_bgr: npt.NDArray[np.uint8] | None) -> str | None:
    """A BGR picture as base64 JPEG, or None."""
    if picture_bgr is None:
        return None
    ok, data = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return base64.b64encode(data.tobytes()).decode() if ok else None


def write_page(path: Path, rows: list[dict[str, Any]], model: str, frames: int) -> None:
    """Write the page; rows are report entries with picture, view and objects added."""
    environment = jinja2.Environment(autoescape=True, loader=jinja2.PackageLoader("refseg_ros.demo", "."))
    template = environment.get_template("page.html.j2")
    page = template.render(rows=rows, model=model, frames=frames, summary=summary(rows))
    path.write_text(page, encoding="utf-8")
