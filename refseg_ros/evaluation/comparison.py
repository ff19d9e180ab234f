"""Several models on one test set: one table, the ablations beside what they leave out, and a page of pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.data.dataset import Sample
from refseg_ros.evaluation.gallery import WHITE, jpeg_base64
from refseg_ros.evaluation.table import cell
from refseg_ros.evaluation.tally import Score

FIGURES = {
    "gIoU": "gIoU", "cIoU": "cIoU", "N_acc": "N-acc", "T_acc": "T-acc", "Pr@0.7": "Pr@.7", "Pr@0.8": "Pr@.8",
    "Pr@0.9": "Pr@.9", "box_accuracy": "box", "GREC_F1_is_1": "GREC",
}  # fmt: skip
SMALL = {"gIoU": "gIoU, 50 px", "N_acc": "N-acc, 50 px", "T_acc": "T-acc, 50 px"}  # smaller masks count as nothing
WORDS = {"PQ": "PQ", "PQ_things": "PQ things", "PQ_stuff": "PQ stuff", "AP": "mask AP"}
CELL = (300, 262)  # of a sheet: a picture and what is written under it


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row. report: as `refseg eval` writes it, with "word_lists" where there are any; parameters: trained ones;
    about: what an ablation leaves out; of: the row it is an ablation of; ms: CPU milliseconds, measured in turns."""

    name: str
    report: dict[str, Any]
    parameters: int | None = None
    about: str = ""
    of: str = ""
    ms: dict[str, float] = field(default_factory=dict)


def main_table(entries: Sequence[Entry]) -> list[list[str]]:
    """Heads, then one row for each model that is no ablation."""
    measured = ("parameters", "frame + phrase, ms", "further phrase, ms")
    rows = [["model", *FIGURES.values(), *SMALL.values(), *WORDS.values(), *measured]]
    for entry in entries:
        if entry.of:
            continue
        words = entry.report.get("word_lists", {})
        size = "-" if entry.parameters is None else f"{entry.parameters / 1e6:.2f}M"
        times = [cell(entry.ms.get(key), 1) for key in ("first", "further")]
        figures = _figures(entry.report)
        rows.append([entry.name, *figures, *(cell(words.get(w)) for w in WORDS), size, *times])
    return rows


def ablation_table(entries: Sequence[Entry]) -> list[list[str]]:
    """Heads, then the variants of each model, in their order: the whole first, then without one of its parts."""
    rows = [["model", "what is changed", *FIGURES.values(), *SMALL.values(), *WORDS.values()]]
    for entry in entries:
        if entry.of:
            words = entry.report.get("word_lists", {})
            figures = _figures(entry.report)
            rows.append([entry.of, entry.about, *figures, *(cell(words.get(w)) for w in WORDS)])
    return rows


def kinds_table(entries: Sequence[Entry]) -> list[list[str]]:
    """Heads, then gIoU of each kind of instruction, a column for each model that is no ablation."""
    shown = [e for e in entries if not e.of]
    kinds = sorted({kind for e in shown for kind in e.report["by_type"]})
    rows = [["kind", "count", *(e.name for e in shown)]]
    for kind in kinds:
        found = [e.report["by_type"].get(kind, {}) for e in shown]
        count = max(row.get("count", 0) for row in found)
        rows.append([kind, str(count), *(cell(row.get("gIoU")) for row in found)])
    return rows


def _figures(report: dict[str, Any]) -> list[str]:
    """Cells of FIGURES, then of SMALL."""
    plain = [cell(report.get(f), interval=report["intervals_95"].get(f) if f == "gIoU" else None) for f in FIGURES]
    return plain + [cell(report.get("min_pixels_50", {}).get(f)) for f in SMALL]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown. The first row holds the heads."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


class SideBySide:
    """Watches evaluations of several models on the same samples; keeps the pictures of some of them.

    chosen: numbers of the samples that are shown, in the order in which evaluate() takes them.
    """

    def __init__(self, samples: Sequence[Sample], each: int = 2) -> None:
        kinds: dict[str, list[int]] = {}
        for number, sample in enumerate(samples):
            kinds.setdefault(sample.kind or "untyped", []).append(number)
        # Spread over the set, so that not all are of its first picture.
        self.chosen = [row[len(row) * n // each] for row in kinds.values() for n in range(min(each, len(row)))]
        self.asked = [samples[n] for n in self.chosen]

    def watcher(self, into: dict[int, dict[str, Any]]) -> Any:
        """For evaluate(): fills `into` by sample number."""
        count = iter(range(10**9))

        def watch(sample: Sample, frame: Frame, answer: Segmentation, score: Score) -> None:
            number = next(count)
            if number in self.chosen:
                outcome = answer.outcome.name if answer.error is None else answer.error.code.value
                into[number] = {
                    "picture": jpeg_base64(draw_overlay(frame.rgb, answer)), "outcome": outcome, "iou": score.iou,
                    "right": score.right,
                }  # fmt: skip

        return watch

    def truth(self, sample: Sample) -> str:
        """The picture with the true outlines, base64 JPEG."""
        frame = sample.read_frame()
        picture = frame.rgb.copy()
        for target in sample.targets:
            mask: npt.NDArray[np.uint8] = target.read(frame.size).astype(np.uint8)
            outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, outlines, -1, WHITE, 2)
        return jpeg_base64(picture)


def write_sheet(
    path: Path, shown: SideBySide, pictures: Mapping[str, Mapping[int, dict[str, Any]]], kinds: Sequence[str]
) -> None:
    """Write one picture: a row for the first request of each kind, a column for each model. pictures: as write_page."""
    rows = [_strip([_lettered(np.full((1, CELL[0], 3), 24, np.uint8), name) for name in pictures])]
    for kind in kinds:
        asked = [(n, s) for n, s in zip(shown.chosen, shown.asked, strict=True) if s.kind == kind]
        for number, sample in asked[:1]:
            cells = []
            for found in pictures.values():
                row = found[number]
                coded = np.frombuffer(base64.b64decode(row["picture"]), np.uint8)
                whole = cv2.imdecode(coded, cv2.IMREAD_COLOR)
                assert whole is not None  # it is our own
                small = cv2.resize(whole, CELL, interpolation=cv2.INTER_AREA)
                cells.append(_lettered(small, f"{row['outcome']}, IoU {row['iou']:.2f}"))
            strip = _strip(cells)
            rows.append(_lettered(strip, f'{kind}: "{sample.instruction}"'))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows), [cv2.IMWRITE_JPEG_QUALITY, 80])


def _strip(cells: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(cells, 1)


def _lettered(picture_hwc: npt.NDArray[Any], text: str) -> npt.NDArray[Any]:
    """With a line of text above it. BGR."""
    line = np.full((20, picture_hwc.shape[1], 3), 24, np.uint8)
    cv2.putText(line, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, WHITE, 1, cv2.LINE_AA)
    return np.concatenate([line, picture_hwc])


def write_page(
    path: Path,
    tables: Sequence[tuple[str, Sequence[Sequence[str]]]],
    shown: SideBySide,
    pictures: dict[str, dict[int, dict[str, Any]]],
    curves: dict[str, str],
) -> None:
    """Write a self-contained page. pictures: by model what a watcher() filled; curves: by run a base64 PNG."""
    loader = jinja2.PackageLoader("refseg_ros.evaluation", ".")
    template = jinja2.Environment(autoescape=True, loader=loader).get_template("side_by_side.html.j2")
    rows = [
        (sample, shown.truth(sample), [(name, found[number]) for name, found in pictures.items() if number in found])
        for number, sample in zip(shown.chosen, shown.asked, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template.render(tables=tables, rows=rows, curves=curves), encoding="utf-8")
