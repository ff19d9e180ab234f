"""out/demo/index.html: one page, self-contained, that shows every request as a person would want to see it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import numpy.typing as npt


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
    page = template.render(rows=rows, model=model, frames=frames, right=sum(bool(r["right"]) for r in rows))
    path.write_text(page, encoding="utf-8")
