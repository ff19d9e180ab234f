"""A model over a dataset, free-running: every instruction as a person would send it, every answer as it comes.

An answer "says nothing" when its outcome is ABSENT, or when it is UNCERTAIN with every belief below one half: the
protocol knows no third answer. An ERROR says neither: it counts as a wrong answer wherever it comes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import Outcome, RequestError, Verdict, combine
from refseg_ros.core.pipeline import error_segmentation, run
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.data.dataset import Sample
from refseg_ros.evaluation.calibration import expected_calibration_error
from refseg_ros.evaluation.matching import box_iou, box_of, instance_f1, match
from refseg_ros.evaluation.metrics import GeneralizedReferringMetrics, without_nan

BoolArray = npt.NDArray[np.bool_]
NAMES = [v.name for v in Verdict]


@dataclass
class Tally:
    """Everything that is counted over a set of samples."""

    metrics: GeneralizedReferringMetrics = field(default_factory=GeneralizedReferringMetrics)
    outcome_right: list[bool] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    box: list[bool] = field(default_factory=list)
    belief: list[tuple[float, bool]] = field(default_factory=list)
    absent_said: Counter[str] = field(default_factory=Counter)
    centroid_mm: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Plain values; None where there is nothing to say."""
        beliefs = np.array(self.belief, np.float64).reshape(-1, 2)
        absent = sum(self.absent_said.values())
        out: dict[str, Any] = {"count": len(self.metrics), **self.metrics.compute()}
        out["outcome_right"] = _mean(self.outcome_right)
        out["instance_F1_is_1"] = _mean([f == 1.0 for f in self.f1])
        out["box_accuracy"] = _mean(self.box)
        out["absent_said_found"] = self.absent_said["FOUND"] / absent if absent else None
        out["absent_said_uncertain"] = self.absent_said["UNCERTAIN"] / absent if absent else None
        out["calibration"] = without_nan({"ece": expected_calibration_error(beliefs[:, 0], beliefs[:, 1])})
        out["centroid_error_mm"] = spread(self.centroid_mm)
        return without_nan(out)


def _mean(values: Sequence[float | bool]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile."""
    if not len(values):
        return {"median": None, "p95": None}
    return {"median": round(float(np.median(values)), 3), "p95": round(float(np.percentile(values, 95)), 3)}


@dataclass
class Evaluation:
    """Tallies over all samples and by type, the confusion of verdicts, and times."""

    min_pixels: int = 0
    everything: Tally = field(init=False)
    by_type: dict[str, Tally] = field(default_factory=dict)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_ms: list[float] = field(default_factory=list)
    further_ms: list[float] = field(default_factory=list)
    image_ms: dict[Any, float] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.everything = self._tally()

    def _tally(self) -> Tally:
        return Tally(GeneralizedReferringMetrics(self.min_pixels))

    def add(self, sample: Sample, answer: Segmentation, size: tuple[int, int]) -> None:
        """Score one answer. size: (width, height) of the image. Raises DatasetError for a mask that cannot be read."""
        truths = sample.verdicts()
        said = _verdicts(answer, len(truths))
        self.confusion.update(zip((t.name for t in truths), said, strict=True))
        if answer.error is not None:
            self.errors[answer.error.code.value] += 1
        true = [(t.phrase, t, t.read(size)) for t in sample.targets]
        nothing = says_nothing(answer)
        predicted = [] if nothing else [(i.phrase, i.id, i.full_mask(size)) for i in answer.instances]
        for tally in (self.everything, self.by_type.setdefault(sample.kind or "untyped", self._tally())):
            tally.metrics.update(
                union([m for _, _, m in predicted], size), union([m for _, _, m in true], size), nothing, not true
            )
            tally.outcome_right.append(answer.outcome.name == _expected(truths))
            tally.f1.append(instance_f1([m for _, _, m in predicted], [m for _, _, m in true]))
            if len(true) == 1 and len(truths) == 1:
                tally.box.append(_box_right([m for _, _, m in predicted], true[0][2]))
            if len(answer.phrases) == len(truths):
                tally.belief += [
                    (p.score, t is not Verdict.ABSENT) for p, t in zip(answer.phrases, truths, strict=True)
                ]
            tally.absent_said.update(s for s, t in zip(said, truths, strict=True) if t is Verdict.ABSENT)
            tally.centroid_mm += _centroid_errors(answer, predicted, true)

    def report(self) -> dict[str, Any]:
        """The contract's JSON."""
        out = self.everything.summary()
        out["intervals_95"] = {
            k: [round(v, 4) if v == v else None for v in span]
            for k, span in self.everything.metrics.intervals().items()
        }
        out["by_type"] = {kind: tally.summary() for kind, tally in sorted(self.by_type.items())}
        heard = sorted({s for _, s in self.confusion} | set(NAMES), key=lambda n: (n not in NAMES, n))
        out["by_phrase_verdict"] = {t: {s: self.confusion[t, s] for s in heard} for t in NAMES[:3]}
        out["errors"] = dict(self.errors)
        out["ms_per_image"] = spread(list(self.image_ms.values()))
        out["ms_first_phrase"], out["ms_further_request"] = spread(self.first_ms), spread(self.further_ms)
        return out


def evaluate(model: SegmentationModel, samples: Iterable[Sample], min_pixels: int = 0) -> Evaluation:
    """Answer and score every sample. Samples of one frame that follow each other are encoded once.

    ms_first_phrase is an answer with its encoding, ms_further_request one that found the frame encoded,
    ms_per_image the sum over the samples of a frame; reading files is in none of them.
    """
    result, lifter = Evaluation(min_pixels), Lifter()
    key: Any = None
    frame: Frame | None = None
    encoded: Any = None
    for sample in samples:
        began = time.perf_counter()
        fresh = sample.frame_key != key
        try:
            if fresh:
                key, frame, encoded = sample.frame_key, None, None
                frame = sample.read_frame()
                began = time.perf_counter()
                encoded = model.encode(frame)
            if frame is None:
                raise ValueError(f"the image {sample.image} could not be read before")
            answer = run(model, frame, sample.instruction, encoded=encoded, lifter=lifter)
        except (RequestError, RuntimeError, ValueError) as error:  # an answer like any other: ERROR
            answer = error_segmentation(sample.instruction, (0, 0), model.name, error)
        spent = (time.perf_counter() - began) * 1e3
        (result.first_ms if fresh else result.further_ms).append(spent)
        result.image_ms[key] = result.image_ms.get(key, 0.0) + spent
        result.add(sample, answer, frame.size if frame is not None else _size_of(sample))
    return result


def _size_of(sample: Sample) -> tuple[int, int]:
    camera = sample.camera or {}
    return int(camera.get("width", 1)), int(camera.get("height", 1))


def says_nothing(answer: Segmentation) -> bool:
    """Whether an answer counts as "nothing fits" for a protocol that knows two answers."""
    if answer.outcome is Outcome.UNCERTAIN:
        return all(p.score < 0.5 for p in answer.phrases)
    return answer.outcome is Outcome.ABSENT


def _expected(truths: Sequence[Verdict]) -> str:
    return combine(truths).name


def _verdicts(answer: Segmentation, count: int) -> list[str]:
    """One word a true phrase; where the answer has other phrases than the truth, the whole answer's outcome."""
    if len(answer.phrases) == count:
        return [p.verdict.name for p in answer.phrases]
    return [answer.outcome.name] * count


def union(masks: Sequence[BoolArray], size: tuple[int, int]) -> BoolArray:
    """All masks as one: bool (H, W)."""
    out = np.zeros((size[1], size[0]), np.bool_)
    for mask in masks:
        out |= mask
    return out


def _box_right(predicted: Sequence[BoolArray], true: BoolArray) -> bool:
    """REC: the box of the answer's only thing overlaps the true one by more than half."""
    boxes, truth = [box_of(m) for m in predicted], box_of(true)
    return len(boxes) == 1 and boxes[0] is not None and truth is not None and box_iou(boxes[0], truth) > 0.5


def _centroid_errors(answer: Segmentation, predicted: list[Any], true: list[Any]) -> list[float]:
    """Millimetres between the centroids of things that match and have one on both sides."""
    objects = {o.instance: o for o in answer.objects if o.valid}
    errors = []
    for i, j, _ in match([m for _, _, m in predicted], [m for _, _, m in true]):
        thing, place = objects.get(predicted[i][1]), true[j][1].centroid_m
        if thing is not None and place is not None:
            errors.append(1000 * float(np.linalg.norm(np.asarray(thing.centroid_m) - np.asarray(place))))
    return errors
