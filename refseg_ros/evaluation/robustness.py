"""How the figures fall as pictures and instructions get worse: a curve for each perturbation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from rich.progress import track

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.outcome import RequestError
from refseg_ros.core.protocol import PhraseDecoding, SegmentationModel
from refseg_ros.core.report import write_png
from refseg_ros.core.types import Frame
from refseg_ros.data.dataset import DatasetError, Sample
from refseg_ros.evaluation.evaluate import evaluate
from refseg_ros.evaluation.perturb import PERTURBATIONS, Perturbation, generator, is_plain, said_otherwise

FIGURES = ("gIoU", "N_acc", "T_acc", "outcome_right")
SHOWN = {"gIoU": "gIoU", "N_acc": "absent rejected", "T_acc": "targets answered"}


class _Kept:
    """A model that encodes each frame once, however often it is asked. It satisfies SegmentationModel."""

    def __init__(self, model: SegmentationModel) -> None:
        self.name, self.device, self.thresholds = model.name, model.device, model.thresholds
        self._model = model
        self._seen: dict[int, tuple[Frame, Any]] = {}

    def encode(self, frame: Frame) -> Any:
        if id(frame) not in self._seen:
            self._seen[id(frame)] = (frame, self._model.encode(frame))
        return self._seen[id(frame)][1]

    def decode(self, encoded: Any, phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        return self._model.decode(encoded, phrases)

    def close(self) -> None:
        self._seen = {}


def choose(samples: Sequence[Sample], images: int, per_image: int) -> list[Sample]:
    """Up to `per_image` plain samples of each of the first `images` images, spread over its types."""
    by_image: dict[Path, list[Sample]] = {}
    for sample in samples:
        if is_plain(sample):
            by_image.setdefault(sample.image, []).append(sample)
    chosen = []
    for found in list(by_image.values())[:images]:
        places = np.linspace(0, len(found) - 1, min(per_image, len(found))).round().astype(int)
        chosen += [found[n] for n in sorted(set(places.tolist()))]
    return chosen


def curves(model: SegmentationModel, samples: Sequence[Sample]) -> dict[str, list[dict[str, Any]]]:
    """By perturbation, a row a level: the level, FIGURES, and their intervals. Raises DatasetError."""
    frames: dict[Any, Frame] = {}

    def plain(sample: Sample) -> Frame:
        if sample.frame_key not in frames:
            frames[sample.frame_key] = _read(sample)
        return frames[sample.frame_key]

    kept = _Kept(model)
    out: dict[str, list[dict[str, Any]]] = {}
    jobs = [(p, level) for p in PERTURBATIONS.values() for level in p.levels]
    for change, level in track(jobs, description=f"{len(jobs)} levels"):
        if change.frame is None:
            report = evaluate(kept, said_otherwise(samples, change, level), read=plain).report()
        elif level == change.levels[0]:
            report = evaluate(kept, samples, read=plain).report()
        else:
            report = evaluate(model, samples, read=_changed(change, level, plain)).report()
        spans = report["intervals_95"]
        row = {"level": level, **{f: report[f] for f in FIGURES}, "intervals_95": {f: spans.get(f) for f in FIGURES}}
        out.setdefault(change.name, []).append(row)
    return out


def _read(sample: Sample) -> Frame:
    try:
        return sample.read_frame()
    except RequestError as error:
        raise DatasetError(error.message) from error


def _changed(change: Perturbation, level: Any, read: Callable[[Sample], Frame]) -> Callable[[Sample], Frame]:
    assert change.frame is not None
    how = change.frame
    return lambda sample: how(read(sample), level, generator(sample, change.name))


def draw_curves(rows: dict[str, list[dict[str, Any]]], model: str, path: Path) -> None:
    """A panel for each perturbation: figures over the levels, with the interval of gIoU."""
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    axes = figure.subplots(2, -(-len(rows) // 2), sharey=True)
    for axis, (name, levels) in zip(axes.flat, rows.items(), strict=False):
        places = range(len(levels))
        spans = [row["intervals_95"]["gIoU"] or (np.nan, np.nan) for row in levels]
        low, high = ([np.nan if s[k] is None else s[k] for s in spans] for k in (0, 1))
        axis.fill_between(places, low, high, alpha=0.15)
        for figure_name, label in SHOWN.items():
            values = [np.nan if row[figure_name] is None else row[figure_name] for row in levels]
            axis.plot(places, values, "o-", label=label)
        turned = any(len(str(row["level"])) > 5 for row in levels)
        axis.set_xticks(places, [str(row["level"]) for row in levels], rotation=25 if turned else 0)
        axis.set(title=name, xlabel=PERTURBATIONS[name].unit, ylim=(0, 1.03))
        axis.grid(alpha=0.3)
    axes.flat[0].legend(loc="lower left")
    figure.suptitle(f"{model}: how the figures fall (shaded: 95 % interval of gIoU over images)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def draw_levels(sample: Sample, path: Path) -> None:
    """What one picture looks like at every level: a row for each perturbation of pictures."""
    frame, rows = _read(sample), []
    for change in PERTURBATIONS.values():
        if change.frame is None or change.name == "depth holes":
            continue
        tiles = []
        for level in change.levels:
            seen = change.frame(frame, level, generator(sample, change.name)).rgb
            tile = cv2.resize(seen, (320, round(320 * seen.shape[0] / seen.shape[1])), interpolation=cv2.INTER_AREA)
            cv2.putText(tile, f"{change.name} {level}", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 60, 60), 2)
            tiles.append(tile)
        rows.append(np.concatenate(tiles, 1))
    write_png(path, np.concatenate(rows))  # OpenCV's own writing says nothing of what it could not write
