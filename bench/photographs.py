"""From simulation to photographs: which names the model finds in pictures that no renderer made.

    pip install scikit-image                     # its wheel holds a dozen photographs, one of them of a table
    python bench/photographs.py --out out/photographs
    git clone https://github.com/swtyree/hope-dataset     # 50 photographs of the very groceries, in clutter
    python bench/photographs.py --folder hope-dataset/hope-image-preview --truth bench/photographs/hope_preview.json
    git clone https://github.com/ivalab/AffKpNet          # 104 of single things: mugs, bowls, plates, and tools
    python bench/photographs.py --folder AffKpNet/img/dataset --truth bench/photographs/umd_gt.json

Every noun of the catalogue is asked of every photograph: how often is what is there found, in its place where boxes are
known, and how often is something said to be there that is not? Colour alone: no depth, no lens. Writes a picture of
every photograph with what was found in it, to be looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from refseg_ros import models
from refseg_ros.core.outcome import Outcome
from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.pipeline import run
from refseg_ros.core.report import write_json, write_png
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.evaluation.matching import box_iou
from refseg_ros.sim.catalogue import nouns

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Truth:
    """What a photograph shows. there: nouns in view, each with the boxes (left, top, right, bottom) in pixels of what
    may be called so, none where nobody has drawn them; arguable: nouns that nobody is asked about.

    A truth file: {"PATTERN": {"there": {"mug": [[10, 20, 90, 80]]}, "arguable": ["bowl"]}, ...}; of a photograph's path
    in its folder the first pattern that fits counts. What fits none shows nothing of the catalogue.
    """

    there: Mapping[str, Sequence[Box]] = field(default_factory=dict)
    arguable: frozenset[str] = frozenset()


# Photographs of scikit-image's wheel. A cup of coffee on its saucer; for the rest things, animals and surfaces.
COFFEE = Truth({"mug": [(173, 18, 412, 308)]}, frozenset({"plate", "bowl", "ramekin"}))
SHIPPED = {
    "coffee.png": COFFEE, **dict.fromkeys((
        "chelsea.png", "motorcycle_left.png", "rocket.jpg", "coins.png", "brick.png", "grass.png", "gravel.png",
        "clock_motion.png", "page.png", "hubble_deep_field.jpg",
    ), Truth()),
}  # fmt: skip


def photographs(folder: Path | None, truth: Path | None) -> dict[Path, Truth]:
    """The files and what is in them. Raises typer.BadParameter where there are none, and for a noun nobody knows."""
    if folder is None:
        found = find_spec("skimage")
        if found is None or not found.submodule_search_locations:
            raise typer.BadParameter("the photographs come with scikit-image: install it, or name a --folder")
        data = Path(next(iter(found.submodule_search_locations))) / "data"
        return {data / name: truth for name, truth in SHIPPED.items()}
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not files:
        raise typer.BadParameter(f"{folder} holds no PNG or JPEG file")
    told = json.loads(truth.read_text(encoding="utf-8")) if truth is not None else {}
    if wrong := {n for row in told.values() for n in (*row["there"], *row["arguable"])} - set(nouns()):
        raise typer.BadParameter(f"{truth} names {min(wrong)}, which the catalogue does not have")
    known = {
        pattern: Truth({n: [_box(b) for b in boxes] for n, boxes in row["there"].items()}, frozenset(row["arguable"]))
        for pattern, row in told.items()
    }

    def of(path: Path) -> Truth:
        name = path.relative_to(folder).as_posix()
        return next((truth for pattern, truth in known.items() if fnmatch(name, pattern)), Truth())

    return {path: of(path) for path in files}


def _box(numbers: Sequence[int]) -> Box:
    left, top, right, bottom = numbers
    return left, top, right, bottom


def in_place(answer: Segmentation, boxes: Sequence[Box]) -> bool:
    """Whether one of the answer's boxes is one of these, at an IoU of one half."""
    return any(box_iou(i.box_xyxy, b) >= 0.5 for i in answer.instances for b in boxes)


def main(
    folder: Annotated[Path | None, typer.Option(help="Photographs of your own, in folders or not.")] = None,
    truth: Annotated[Path | None, typer.Option(help="What they show: a JSON file, see Truth.")] = None,
    out: Annotated[Path, typer.Option(help="Where pictures and figures go.")] = Path("out/photographs"),
    weights: Annotated[Path | None, typer.Option(help="Other weights than those that ship.")] = None,
) -> None:
    """Ask, print the table, write the pictures."""
    model = models.load("compact", weights=weights).model
    rows = []
    for path, shows in track(photographs(folder, truth).items(), description="photographs"):
        bgr = cv2.imread(str(path))
        if bgr is None:
            raise typer.BadParameter(f"{path} cannot be read as a picture")
        frame = Frame(np.ascontiguousarray(bgr[..., ::-1]))
        encoded = model.encode(frame)
        asked = sorted(set(nouns()) - shows.arguable)
        answers = {noun: run(model, frame, f"the {noun}", encoded=encoded) for noun in asked}
        found = {n: a for n, a in answers.items() if a.outcome in (Outcome.FOUND, Outcome.AMBIGUOUS)}
        name = "_".join(path.relative_to(folder).parts) if folder else path.name
        out.mkdir(parents=True, exist_ok=True)
        every = ", ".join(f"the {n}" for n in found) or "the mug"
        write_png((out / name).with_suffix(".png"), draw_overlay(frame.rgb, run(model, frame, every, encoded=encoded)))
        there, absent = [n for n in asked if n in shows.there], [n for n in asked if n not in shows.there]
        rows.append({
            "file": name, "there": len(there), "found": sum(n in found for n in there),
            "boxed": sum(bool(shows.there[n]) for n in there),
            "in_place": sum(n in found and in_place(found[n], shows.there[n]) for n in there),
            "denied": sum(answers[n].outcome is Outcome.ABSENT for n in there), "absent": len(absent),
            "wrong": [n for n in absent if n in found],
            "uncertain": sum(answers[n].outcome is Outcome.UNCERTAIN for n in absent),
        })  # fmt: skip
    write_json(out / "photographs.json", rows)
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """One line a photograph, and what they come to."""
    table = Table(title="Every noun of the catalogue asked of photographs")
    for name in ("photograph", "there", "found", "in place", "denied", "not there", "UNCERTAIN", "said to be there"):
        table.add_column(name, overflow="fold")
    for row in rows:
        numbers = (row[k] for k in ("there", "found", "in_place", "denied", "absent", "uncertain"))
        table.add_row(str(row["file"]), *map(str, numbers), ", ".join(row["wrong"]))
    counted = ("there", "found", "boxed", "in_place", "denied", "absent", "uncertain")
    of = {k: sum(row[k] for row in rows) for k in counted}
    wrong, console = sum(len(row["wrong"]) for row in rows), Console()
    console.print(table)
    console.print(
        f"not there: {wrong} of {of['absent']} said to be there ({wrong / max(of['absent'], 1):.1%}), "
        f"{of['uncertain'] / max(of['absent'], 1):.1%} UNCERTAIN; there: {of['found']} of {of['there']} found, "
        f"{of['in_place']} of {of['boxed']} in place, {of['denied']} denied"
    )


if __name__ == "__main__":
    typer.run(main)
