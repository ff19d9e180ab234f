"""out/demo/index.html: one page, self-contained, that shows every request as a person would want to see it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import cv2
import jinja2
import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))


def jpeg_base64(picture_bgr: npt.NDArray[np.uint8] | None) -> str | None:
    """A BGR picture as base64 JPEG, or None."""
    if picture_bgr is None:
        return None
    ok, data = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return base64.b64encode(data.tobytes()).decode() if ok else None


def plot_objects(
    clouds: list[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.float64]]],
) -> str | None:
    """Points and oriented boxes in the optical frame as base64 PNG; None when there is no object.

    clouds: (id, points float32 (N, 3) in metres, box corners float64 (8, 3) in metres).
    """
    if not clouds:
        return None
    figure = plt.figure(figsize=(4.6, 3.9), dpi=110)
    axes: Any = figure.add_subplot(projection="3d")
    for position, (number, points, corners) in enumerate(clouds):
        color = f"C{position}"
        shown = 100 * points[:: max(1, len(points) // 1500)]
        box = 100 * corners
        axes.scatter(shown[:, 0], shown[:, 2], -shown[:, 1], s=1.5, c=color, alpha=0.5)
        for a, b in EDGES:
            line = box[[a, b]]
            axes.plot(line[:, 0], line[:, 2], -line[:, 1], c=color, lw=1.2)
        axes.text(*box.mean(0)[[0, 2]], -box[:, 1].min(), str(number), fontsize=11, weight="bold")
    every = 100 * np.concatenate([corners for _, _, corners in clouds])[:, [0, 2, 1]] * (1, 1, -1)
    middle, half = (every.min(0) + every.max(0)) / 2, max(8.0, float(np.ptp(every, axis=0).max()) / 2)
    for name, centre in zip("xyz", middle, strict=True):  # one scale on all axes: boxes keep their shape
        axes.set(**{f"{name}lim": (centre - half, centre + half)})
        getattr(axes, f"{name}axis").set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8, pad=0)
    axes.set(xlabel="right, cm", ylabel="away, cm", zlabel="up, cm", box_aspect=(1, 1, 1))
    axes.view_init(elev=18, azim=-72)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def write_page(path: Path, rows: list[dict[str, Any]], model: str, frames: int) -> None:
    """Write the page; rows are report entries with picture, plot and objects added."""
    environment = jinja2.Environment(autoescape=True, loader=jinja2.PackageLoader("refseg_ros.demo", "."))
    template = environment.get_template("page.html.j2")
    page = template.render(rows=rows, model=model, frames=frames, right=sum(bool(r["right"]) for r in rows))
    path.write_text(page, encoding="utf-8")
