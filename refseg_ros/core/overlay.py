"""The picture a person looks at: masks and labels on the image, and a strip below it with every verdict in words."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.box_edges import BOX_EDGES, box_corners
from refseg_ros.core.camera import project
from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.core.types import Instance, Intrinsics, OrientedBox, Segmentation

Image = npt.NDArray[np.uint8]

_PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (148, 103, 189),
)  # fmt: skip  (Okabe and Ito: told apart by colour-blind people)
_VERDICT_COLOURS = {"FOUND": (90, 200, 110), "ABSENT": (150, 150, 150), "AMBIGUOUS": (240, 180, 60)} | {
    "UNCERTAIN": (230, 220, 110),
    "ERROR": (240, 90, 90),
}
_WORDS = {
    Verdict.FOUND: "found",
    Verdict.ABSENT: "not in view",
    Verdict.AMBIGUOUS: "several fit, which one?",
    Verdict.UNCERTAIN: "not sure",
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(rgb: Image, segmentation: Segmentation, camera: Intrinsics | None = None) -> Image:
    """The image (H, W, 3) with its masks, and the verdict strip below: uint8 (H + strip, W, 3), RGB, a copy.

    camera: where it is given, the objects' boxes are drawn as it sees them.
    """
    canvas = rgb.copy()
    for instance in segmentation.instances:
        _paint(canvas, instance)
    if camera is not None:
        for obj in segmentation.objects:
            if obj.obb is not None:
                _draw_box(canvas, obj.obb, camera, obj.instance)
    for instance in segmentation.instances:
        _label(canvas, instance, segmentation.phrases[instance.phrase].text)
    return np.concatenate([canvas, _strip(rgb.shape[1], segmentation)])


def colour(number: int) -> tuple[int, int, int]:
    """The RGB colour of an instance, by its id."""
    return _PALETTE[(number - 1) % len(_PALETTE)]


def _draw_box(canvas: Image, box: OrientedBox, camera: Intrinsics, number: int) -> None:
    """The edges of a box, thin, the part behind the thing as well; edges that reach behind the camera are left out."""
    pixels = project(box_corners(box), camera) * 16  # with four bits below the pixel
    for a, b in BOX_EDGES:
        ends = pixels[[a, b]]
        if np.isfinite(ends).all() and np.abs(ends).max() < 2**20:
            (x0, y0), (x1, y1) = np.rint(ends).astype(int).tolist()
            cv2.line(canvas, (x0, y0), (x1, y1), colour(number), 1, cv2.LINE_AA, shift=4)


def _paint(canvas: Image, instance: Instance) -> None:
    x, y = instance.offset
    h, w = instance.mask.shape
    area = canvas[y : y + h, x : x + w]
    area[instance.mask] = (area[instance.mask] * 0.55 + np.array(colour(instance.id)) * 0.45).astype(np.uint8)
    contours, _ = cv2.findContours(instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(canvas, contours, -1, colour(instance.id), 2, offset=(x, y))


def _label(canvas: Image, instance: Instance, text: str) -> None:
    scale = _scale(canvas.shape[1])
    x, y, _, _ = instance.box_xyxy
    words = f"{instance.id} {_ascii(text)} {instance.score:.2f}"
    (w, h), _ = cv2.getTextSize(words, _FONT, scale, 1)
    x, y = max(0, min(x, canvas.shape[1] - w - 4)), max(h + 6, y)
    cv2.rectangle(canvas, (x, y - h - 6), (x + w + 4, y), colour(instance.id), -1)
    cv2.putText(canvas, words, (x + 2, y - 4), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _strip(width: int, segmentation: Segmentation) -> Image:
    """The verdicts, one line each: uint8 (lines, width, 3)."""
    lines = [(segmentation.outcome.name, f"{segmentation.outcome.name}  {segmentation.instruction}")]
    if segmentation.outcome is Outcome.ERROR and segmentation.error is not None:
        lines.append(("ERROR", f"{segmentation.error.code.value}: {segmentation.error.message}"))
    for p in segmentation.phrases:
        ids = f"  [{', '.join(map(str, p.instances))}]" if p.instances else ""
        lines.append((p.verdict.name, f"{p.text}: {_WORDS[p.verdict]} ({p.score:.2f}){ids}"))
    lines += [("ABSENT", f"{text}: left out, as asked") for text in segmentation.excluded]
    scale = _scale(width)
    step = int(36 * scale) + 6
    strip = np.full((step * len(lines) + 6, width, 3), 24, np.uint8)
    for row, (verdict, text) in enumerate(lines):
        place = (8, step * (row + 1) - 4)
        cv2.putText(strip, _ascii(text), place, _FONT, scale, _VERDICT_COLOURS[verdict], 1, cv2.LINE_AA)
    return strip


def _scale(width: int) -> float:
    return float(np.clip(width / 1280, 0.4, 1.0))


def _ascii(text: str) -> str:
    """The text with "?" for what OpenCV's fonts lack, at most 120 characters."""
    return " ".join(text.split())[:120].encode("ascii", "replace").decode("ascii")
