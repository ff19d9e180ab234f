"""From simulation to photographs: which names the model finds in pictures that no renderer made.

    pip install scikit-image                     # its wheel holds a dozen photographs, one of them of a table
    python bench/photographs.py --out out/photographs
    python bench/photographs.py --folder MINE    # PNG or JPEG files of your own, and truth.json: see Truth

Every noun of the catalogue is asked of every photograph. Almost none is there: what is counted is above all how often
something is said to be there that is not. Colour alone: no depth, no lens. Writes a picture of every photograph with
what was found in it, to be looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from refseg_ros.core.types import Frame
from refseg_ros.sim.catalogue import nouns


@dataclass(frozen=True)
class Truth:
    """there: nouns that are in view; arguable: nouns that nobody is asked about. In truth.json: {"file.png": {"there":
    ["mug"], "arguable": ["bowl"]}}; a file that is not named there shows nothing of the catalogue."""

    there: frozenset[str] = frozenset()
    arguable: frozenset[str] = frozenset()


# Photographs of scikit-image's wheel. A cup of coffee on its saucer; for the rest things, animals and surfaces.
COFFEE = Truth(frozenset({"mug"}), frozenset({"plate", "bowl", "ramekin"}))
SHIPPED = {
    "coffee.png": COFFEE, **dict.fromkeys((
        "chelsea.png", "motorcycle_left.png", "rocket.jpg", "coins.png", "brick.png", "grass.png", "gravel.png",
        "clock_motion.png", "page.png", "hubble_deep_field.jpg",
    ), Truth()),
}  # fmt: skip


def photographs(folder: Path | None) -> dict[Path, Truth]:
    """The files and what is in them. Raises typer.BadParameter where there are none."""
    if folder is None:
        found = find_spec("skimage")
        if found is None or not found.submodule_search_locations:
            raise typer.BadParameter("the photographs come with scikit-image: install it, or name a --folder")
        data = Path(next(iter(found.submodule_search_locations))) / "data"
        return {data / name: truth for name, truth in SHIPPED.items()}
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not files:
        raise typer.BadParameter(f"{folder} holds no PNG or JPEG file")
    told = json.loads((folder / "truth.json").read_text(encoding="utf-8")) if (folder / "truth.json").is_file() else {}
    sets = {name: {key: frozenset(words) for key, words in row.items()} for name, row in told.items()}
    return {p: Truth(**sets.get(p.name, {})) for p in files}


def main(
    folder: Annotated[Path | None, typer.Option(help="Photographs of your own, with truth.json.")] = None,
    out: Annotated[Path, typer.Option(help="Where pictures and figures go.")] = Path("out/photographs"),
    weights: Annotated[Path | None, typer.Option(help="Other weights than those that ship.")] = None,
) -> None:
    """Ask, print the table, write the pictures."""
    model = models.load("compact", weights=weights).model
    rows = []
    for path, truth in track(photographs(folder).items(), description="photographs"):
        bgr = cv2.imread(str(path))
        if bgr is None:
            raise typer.BadParameter(f"{path} cannot be read as a picture")
        frame = Frame(np.ascontiguousarray(bgr[..., ::-1]))
        encoded = model.encode(frame)
        said: dict[str, list[str]] = {outcome.name: [] for outcome in Outcome}
        for noun in sorted(set(nouns()) - truth.arguable):
            said[run(model, frame, f"the {noun}", encoded=encoded).outcome.name].append(noun)
        found = [*said["FOUND"], *said["AMBIGUOUS"]]
        shown = run(model, frame, ", ".join(f"the {n}" for n in found) or "the mug", encoded=encoded)
        out.mkdir(parents=True, exist_ok=True)
        write_png(out / f"{path.stem}.png", draw_overlay(frame.rgb, shown))
        absent = set(nouns()) - truth.there - truth.arguable
        rows.append({
            "file": path.name, "found": found, "uncertain": said["UNCERTAIN"], "there": sorted(truth.there),
            "there_found": len(truth.there & set(found)), "there_denied": len(truth.there & set(said["ABSENT"])),
            "absent": len(absent), "absent_found": len(absent & set(found)),
            "absent_uncertain": len(absent & set(said["UNCERTAIN"])),
        })  # fmt: skip
    write_json(out / "photographs.json", rows)
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """One line a photograph, and what they come to."""
    table = Table(title="Every noun of the catalogue asked of photographs")
    for name in ("photograph", "said to be there", "UNCERTAIN", "there", "of these found", "not there, said to be"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            str(row["file"]), ", ".join(row["found"]), ", ".join(row["uncertain"]), ", ".join(row["there"]),
            str(row["there_found"]), f"{row['absent_found']} of {row['absent']}",
        )  # fmt: skip
    totals = {k: sum(int(r[k]) for r in rows) for k in ("absent", "absent_found", "absent_uncertain", "there_found")}
    console = Console()
    console.print(table)
    console.print(
        f"not there: {totals['absent_found'] / totals['absent']:.1%} said to be there, "
        f"{totals['absent_uncertain'] / totals['absent']:.1%} UNCERTAIN; there: {totals['there_found']} of "
        f"{sum(len(r['there']) for r in rows)} found"
    )


if __name__ == "__main__":
    typer.run(main)
