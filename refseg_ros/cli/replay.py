"""`refseg replay`: a recorded bag (MCAP or sqlite3) instead of a camera; no ROS needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refseg_ros.cli.exits import ERROR, OK, say, writing, wrong
from refseg_ros.cli.segment import DEFAULT_MODEL


def command(
    bag: Annotated[Path, typer.Argument(help="An .mcap file, or the folder of a bag.")],
    instruction: Annotated[str, typer.Option(help="What to look for, in words.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; made if need be.")],
    image: Annotated[str, typer.Option(help="Colour topic.")] = "/image_raw",
    depth: Annotated[str, typer.Option(help="Depth topic, aligned to colour.")] = "/depth/image_raw",
    camera_info: Annotated[str, typer.Option(help="Colour camera_info topic.")] = "/camera_info",
    depth_camera_info: Annotated[str, typer.Option(help="Depth camera_info topic.")] = "/depth/camera_info",
    color_rectified: Annotated[
        bool, typer.Option("--color-rectified", help="The colour images are rectified: P of their camera info holds.")
    ] = False,
    depth_rectified: Annotated[
        bool, typer.Option("--depth-rectified", help="The depth images are, or are aligned to rectified colour.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Answer for each so-many-th image.")] = 1,
    model: Annotated[str, typer.Option(help="A name from `refseg models`.")] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Weights instead of the installed ones.")] = None,
) -> None:
    """Answer one instruction for the images of a bag: results.jsonl, and overlays, masks and objects per image."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise wrong(f"{error.filename}: {error.strerror}; check the path.") from error

    from refseg_ros.cli import replaying
    from refseg_ros.cli.segmenting import Runner, UnknownModel

    topics = replaying.Topics(image, depth, camera_info, depth_camera_info)
    try:
        with Runner(model, device, weights) as runner, writing():
            rectified = replaying.Rectified(color_rectified, depth_rectified)
            count, errors = replaying.replay(bag, topics, instruction, out, runner, every, rectified)
    except (UnknownModel, replaying.BagError) as error:
        raise wrong(str(error)) from error
    say(f"{count} images answered, {errors} with ERROR; {out}/results.jsonl")
    raise typer.Exit(ERROR if errors else OK)
