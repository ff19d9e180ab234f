"""`refseg segment`: one image and instruction, or a file of them with the model loaded once.

A --frames file has one JSON object a line: "image" and "instruction", and "depth" and "camera" (a file or the object
itself) where there is depth; paths are relative to the file, so a dataset's index.jsonl will do. Line n's masks and
points go to the folder named n (0000, 0001, ...) under --out. The exit code is 2 when any line's outcome is ERROR.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from refseg_ros.cli.exits import ERROR, OK, say, writing, wrong

DEFAULT_MODEL = "compact"
EXPORT_NAMES = ("contact-graspnet", "graspgen", "anygrasp")  # adapters.EXPORTS, without waiting for numpy


def command(
    out: Annotated[Path, typer.Option(help="Folder for the results; made if need be.")],
    image: Annotated[Path | None, typer.Option(help="Colour image file.")] = None,
    instruction: Annotated[str | None, typer.Option(help="What to look for, in words.")] = None,
    depth: Annotated[Path | None, typer.Option(help="16-bit PNG in mm or float32 .npy in m.")] = None,
    camera: Annotated[Path | None, typer.Option(help='JSON: {"width", "height", "k": [9 numbers]}.')] = None,
    frames: Annotated[Path | None, typer.Option(help="JSON lines instead of --image; see the docs.")] = None,
    model: Annotated[str, typer.Option(help="A name from `refseg models`.")] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    weights: Annotated[Path | None, typer.Option(help="Weights instead of the installed ones.")] = None,
    export: Annotated[
        list[str] | None, typer.Option(help="A grasp planner's input as well: contact-graspnet, graspgen, anygrasp.")
    ] = None,
) -> None:
    """Segment what an instruction names: result.json, overlay.png, masks, and objects where there is depth."""
    if (image is None) == (frames is None):
        raise wrong("Give either --image with --instruction, or --frames.")
    if image is not None and instruction is None:
        raise wrong("--image needs --instruction.")
    if frames is not None and any(x is not None for x in (instruction, depth, camera)):
        raise wrong("--instruction, --depth and --camera do not go with --frames; put them on its lines.")
    if (depth is None) != (camera is None):
        raise wrong("--depth and --camera go together.")
    if export and depth is None:
        raise wrong("--export needs --depth and --camera: a grasp planner works in 3-D.")
    if unknown := sorted(set(export or ()) - set(EXPORT_NAMES)):
        raise wrong(f"--export must be one of {', '.join(EXPORT_NAMES)}, not {unknown[0]}.")
    if device not in ("cpu", "cuda", "auto") and not device.startswith("cuda:"):
        raise wrong(f"--device must be cpu, cuda or auto, not {device}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lines = None if frames is None else frames.read_bytes().decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise wrong(f"{error.filename}: {error.strerror}; check the path.") from error

    from refseg_ros.cli import segmenting  # the slow half: numpy and cv2 now, torch when the model loads

    try:
        runner = segmenting.Runner(model, device, weights)
    except segmenting.UnknownModel as error:
        raise wrong(str(error)) from error
    with runner, writing():  # what cannot be read is an outcome, so an OSError here is of writing
        if lines is None:
            assert image is not None and instruction is not None
            failed = runner.one(image, instruction, depth, camera, out, export or ())
        else:
            assert frames is not None
            failed = runner.many([_line(text) for text in lines if text.strip()], frames.parent, out)
    if failed:
        say(failed)
    raise typer.Exit(ERROR if failed else OK)


def _line(text: str) -> dict[str, Any] | str:
    """One line of a --frames file, or the text itself where it is not a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text
