"""`refseg convert`: public data sets to the dataset form that `refseg eval` and training read."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from refseg_ros.cli.exits import say, wrong


class Kind(str, Enum):
    """What can be read; RefCOCO+ and RefCOCOg have RefCOCO's form."""

    refcoco = "refcoco"
    grefcoco = "grefcoco"
    sa1b = "sa1b"
    coco_panoptic = "coco-panoptic"


def command(
    kind: Annotated[Kind, typer.Option("--from", help="Format of the source.")],
    source: Annotated[Path, typer.Option(help="Folder of the labels: refs(...).p and instances.json, ...")],
    out: Annotated[Path, typer.Option(help="Folder for the dataset; made if need be.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images; without it the source.")] = None,
    split: Annotated[
        str, typer.Option(help="train, val, testA, ...; for coco-panoptic the name of the JSON file.")
    ] = "val",
    by: Annotated[str, typer.Option(help="Whose splits, where there are several: unc, umd, google.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many lines; 0: all.")] = 0,
    least_iou: Annotated[float, typer.Option(min=0, max=1, help="sa1b: least predicted_iou of a mask.")] = 0.0,
    least_stability: Annotated[float, typer.Option(min=0, max=1, help="sa1b: least stability_score.")] = 0.0,
) -> None:
    """Bring RefCOCO, RefCOCO+, RefCOCOg, gRefCOCO, SA-1B or COCO-panoptic labels into the dataset form."""
    from itertools import islice

    from rich.progress import track

    from refseg_ros.data.coco_panoptic import read_coco_panoptic
    from refseg_ros.data.dataset import DatasetError
    from refseg_ros.data.refer import read_grefcoco, read_refcoco
    from refseg_ros.data.sa1b import read_sa1b
    from refseg_ros.data.writer import write_dataset

    pictures = images or source
    if kind is Kind.refcoco:
        lines = read_refcoco(source, pictures, split, by)
    elif kind is Kind.grefcoco:
        lines = read_grefcoco(source, pictures, split, by)
    elif kind is Kind.sa1b:
        lines = read_sa1b(source, pictures, least_iou, least_stability)
    else:
        lines = read_coco_panoptic(source, pictures, split)
    try:
        written = write_dataset(track(islice(lines, limit or None), description=f"converting {source.name}"), out)
    except DatasetError as error:
        raise wrong(str(error)) from error
    except OSError as error:
        raise wrong(f"{error.filename}: {error.strerror}; check the path.") from error
    say(f"wrote {written} instructions to {out}")
