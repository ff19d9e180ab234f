"""What `refseg segment` does once its command line is right: load, read, run, write."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import track

from refseg_ros.adapters import EXPORTS
from refseg_ros.core.encode_once import EncodeOnce
from refseg_ros.core.files import read_frame
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import ErrorCode, Outcome, RequestError
from refseg_ros.core.overlay import draw_overlay
from refseg_ros.core.pipeline import error_segmentation, run
from refseg_ros.core.report import lines_of, to_dict, write_files, write_json, write_png
from refseg_ros.core.types import Frame, Segmentation

_OURS = re.compile(
    r"(mask_\d+\.png|object_\d+\.ply|overlay\.png|result\.json|(contact_graspnet|anygrasp)\.npz|graspgen_\d+\.json)"
)


class UnknownModel(Exception):
    """The command line names a model that is not there."""


class Runner:
    """A loaded model and a lifter. A model that fails to load makes every answer an ERROR with that failure.

    Raises UnknownModel.
    """

    def __init__(self, name: str, device: str, weights: Path | None = None) -> None:
        self.name = name
        self._lifter = Lifter()
        self._model: EncodeOnce | None = None
        self._failure: Exception | None = None
        self._last: tuple[Any, Frame] | None = None
        try:
            from refseg_ros import models

            self._model = EncodeOnce(models.load(name, device=device, weights=weights).model)
        except RequestError as error:
            if error.code is ErrorCode.MODEL_UNKNOWN:
                raise UnknownModel(error.message) from error
            self._failure = error
        except Exception as error:  # noqa: BLE001  (a boundary: becomes an ERROR outcome in _answer)
            self._failure = error

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._model is not None:
            self._model.close()

    def one(
        self, image: Path, instruction: str, depth: Path | None, camera: Path | None, out: Path,
        exports: Sequence[str] = (),
    ) -> str:
        """One frame to OUT/result.json and the files beside it; exports: names of adapters.EXPORTS, written unless the
        outcome is ERROR. Returns what failed, in a sentence, or ""."""
        for old in out.iterdir():
            if _OURS.fullmatch(old.name) and old.is_file():
                old.unlink()
        segmentation, frame = self._answer(image, instruction, depth, camera)
        write_files(segmentation, out)
        if frame is not None:
            write_png(out / "overlay.png", draw_overlay(frame.rgb, segmentation, frame.intrinsics))
        write_json(out / "result.json", to_dict(segmentation))
        if frame is None or segmentation.error is not None:
            return _failed(segmentation)
        try:
            for name in exports:
                EXPORTS[name](frame, segmentation, out)
        except ValueError as error:
            return f"{name} could not be written: {error}."
        return ""

    def many(self, lines: Sequence[dict[str, Any] | str], base: Path, out: Path) -> str:
        """Many frames to OUT/results.jsonl; returns a sentence on how many ended in ERROR, or ""."""
        messages = []
        with lines_of(out / "results.jsonl") as results:
            for number, line in enumerate(track(lines, description=f"{len(lines)} lines")):
                segmentation = self._answer_line(line, base)
                prefix = f"{number:04d}/"
                write_files(segmentation, out, prefix)
                results.append(json.dumps(to_dict(segmentation, prefix), allow_nan=False))
                if segmentation.outcome is Outcome.ERROR:
                    messages.append(f"line {number + 1}: {_failed(segmentation)}")
        return f"{len(messages)} of {len(lines)} lines ended in ERROR; {messages[0]}" if messages else ""

    def _answer_line(self, line: dict[str, Any] | str, base: Path) -> Segmentation:
        image, instruction = ("", line) if isinstance(line, str) else (line.get("image"), line.get("instruction"))
        if not isinstance(line, dict) or not isinstance(image, str) or not isinstance(instruction, str):
            what = 'The line is not a JSON object with "image" and "instruction"; correct it.'
            shown = instruction if isinstance(instruction, str) else ""
            return error_segmentation(shown, (0, 0), self.name, RequestError(ErrorCode.IMAGE_UNREADABLE, what))
        depth, camera = line.get("depth"), line.get("camera")
        return self._answer(
            base / image,
            instruction,
            base / depth if isinstance(depth, str) else None,
            base / camera if isinstance(camera, str) else camera,
        )[0]

    def _answer(
        self, image: Path, instruction: str, depth: Path | None, camera: Any
    ) -> tuple[Segmentation, Frame | None]:
        return self.answer(lambda: self._frame(image, depth, camera), instruction)

    def answer(self, read: Callable[[], Frame], instruction: str) -> tuple[Segmentation, Frame | None]:
        """The answer about the frame that read() gives, and the frame; a read() that raises is an ERROR outcome."""
        begin, frame = time.monotonic(), None
        try:
            frame = read()
            if self._model is None:
                raise self._failure or RuntimeError("no model")
        except Exception as error:  # noqa: BLE001  (the boundary: report_exception names it)
            size = frame.size if frame is not None else (0, 0)
            timings = {"total": (time.monotonic() - begin) * 1e3}
            return error_segmentation(instruction, size, self.name, error, timings), frame
        lifter = self._lifter if frame.depth is not None else None
        return run(self._model, frame, instruction, lifter=lifter), frame

    def _frame(self, image: Path, depth: Path | None, camera: Any) -> Frame:
        """The frame of these files; the last one read is kept, so that one image is read and encoded once."""
        key = (image, depth, json.dumps(camera, default=str))
        if self._last is None or self._last[0] != key:
            self._last = (key, read_frame(image, depth, camera))
        return self._last[1]


def _failed(segmentation: Segmentation) -> str:
    return "" if segmentation.error is None else f"{segmentation.error.code.value}: {segmentation.error.message}"
