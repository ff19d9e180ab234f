"""A model over a dataset, free-running: every instruction as a person would send it, every answer as it comes.

An answer "says nothing" when its outcome is ABSENT, or when it is UNCERTAIN with every belief below one half: the
protocol knows no third answer. An ERROR says neither: it counts as a wrong answer wherever it comes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import Outcome, RequestError, Verdict, combine
from refseg_ros.core.pipeline import error_segmentation, run
from refseg_ros.core.protocol import SegmentationModel
from refseg_ros.core.types import Frame, Segmentation
from refseg_ros.data.dataset import DatasetError, Sample, Target
from refseg_ros.evaluation.matching import grec_f1, instance_f1, match, rec_right
from refseg_ros.evaluation.metrics import GeneralizedReferringMetrics
from refseg_ros.evaluation.tally import Score, Tally, spread

BoolArray = npt.NDArray[np.bool_]
Watcher = Callable[[Sample, Frame, Segmentation, Score], None]


@dataclass
class Evaluation:
    """Tallies over all samples and by type, and times."""

    min_pixels: int = 0
    everything: Tally = field(init=False)
    by_type: dict[str, Tally] = field(default_factory=dict)
    first_ms: list[float] = field(default_factory=list)
    further_ms: list[float] = field(default_factory=list)
    image_ms: dict[Any, float] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.everything = self._tally()

    def _tally(self) -> Tally:
        return Tally(GeneralizedReferringMetrics(self.min_pixels))

    def add(self, sample: Sample, answer: Segmentation, size: tuple[int, int], image: int) -> Score:
        """Score one answer. size: (width, height) of the image; image: a number for it. Raises DatasetError for a mask
        that cannot be read."""
        true = [(t, t.read(size)) for t in sample.targets]
        truths = sample.verdicts()
        said = _verdicts(answer, len(truths))
        if answer.error is not None:
            self.errors[answer.error.code.value] += 1
        nothing = says_nothing(answer)
        predicted = [] if nothing else [(i.id, i.full_mask(size)) for i in answer.instances]
        ours, theirs = [m for _, m in predicted], [m for _, m in true]
        pred_mask, true_mask = union(ours, size), union(theirs, size)
        tallies = (self.everything, self.by_type.setdefault(sample.kind or "untyped", self._tally()))
        for tally in tallies:
            for metrics in (tally.metrics, tally.small_is_nothing):
                if answer.error is not None:
                    iou = metrics.update_failed(true_mask, not true, image)
                else:
                    iou = metrics.update(pred_mask, true_mask, nothing, not true, image)
        failed = answer.error is not None
        alone = len(true) == 1 and len(truths) == 1
        heard = answer.phrases if len(answer.phrases) == len(truths) else ()
        # Masks given to the wrong phrase are wrong, which the protocols' figures over all masks cannot see.
        own = ([i.phrase for i in answer.instances], [t.phrase for t in sample.targets]) if heard and ours else None
        score = Score(
            image=image,
            iou=iou,
            truths=tuple(t.name for t in truths),
            said=tuple(said),
            outcome_right=answer.outcome.name == combine(truths).name,
            f1=0.0 if failed else instance_f1(ours, theirs, own),
            grec=0.0 if failed else grec_f1(ours, theirs),
            box=rec_right(ours, theirs[0]) if alone else None,
            beliefs=tuple((p.score, t is not Verdict.ABSENT) for p, t in zip(heard, truths, strict=False)),
            centroid_mm=tuple(_centroid_errors(answer, predicted, true)),
        )
        for tally in tallies:
            tally.scores.append(score)
        return score

    def report(self) -> dict[str, Any]:
        """The contract's JSON."""
        out = self.everything.summary()
        out["by_type"] = {kind: tally.summary() for kind, tally in sorted(self.by_type.items())}
        out["by_phrase_verdict"] = self.everything.confusion()
        out["errors"] = dict(self.errors)
        out["ms_per_image"] = spread(list(self.image_ms.values()))
        out["ms_first_phrase"], out["ms_further_request"] = spread(self.first_ms), spread(self.further_ms)
        return out


def evaluate(
    model: SegmentationModel, samples: Iterable[Sample], min_pixels: int = 0, watch: Watcher | None = None,
    read: Callable[[Sample], Frame] = Sample.read_frame, into: Evaluation | None = None,
) -> Evaluation:
    """Answer and score every sample. Samples of one frame that follow each other are encoded once.

    watch: shown every answer; read: gives a sample's frame; into: an empty evaluation that is filled (min_pixels is its
    own then), so that what is scored is not lost when something raises. ms_first_phrase is an answer with its encoding,
    ms_further_request one that found the frame encoded, ms_per_image the sum over the samples of a frame; reading files
    is in none of them. Raises DatasetError for files that cannot be read.
    """
    result, lifter = into or Evaluation(min_pixels), Lifter()
    key: Any = None
    images: dict[Any, int] = {}
    frame: Frame | None = None
    encoded: Any = None
    for sample in samples:
        fresh = frame is None or sample.frame_key != key
        if fresh:
            key, encoded = sample.frame_key, None
            try:
                frame = read(sample)
            except RequestError as error:
                raise DatasetError(error.message) from error
        assert frame is not None
        began = time.perf_counter()
        try:
            if encoded is None:
                encoded = model.encode(frame)
            answer = run(model, frame, sample.instruction, encoded=encoded, lifter=lifter)
        except (RequestError, RuntimeError, ValueError) as error:  # an answer like any other: ERROR
            answer = error_segmentation(sample.instruction, (0, 0), model.name, error)
        spent = (time.perf_counter() - began) * 1e3
        (result.first_ms if fresh else result.further_ms).append(spent)
        result.image_ms[key] = result.image_ms.get(key, 0.0) + spent
        score = result.add(sample, answer, frame.size, images.setdefault(sample.image, len(images)))
        if watch is not None:
            watch(sample, frame, answer, score)
    return result


def says_nothing(answer: Segmentation) -> bool:
    """Whether an answer counts as "nothing fits" for a protocol that knows two answers."""
    if answer.outcome is Outcome.UNCERTAIN:
        return all(p.score < 0.5 for p in answer.phrases)
    return answer.outcome is Outcome.ABSENT


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


def _centroid_errors(
    answer: Segmentation, predicted: list[tuple[int, BoolArray]], true: list[tuple[Target, BoolArray]]
) -> list[float]:
    """Millimetres between the centroids of things that match and have one on both sides."""
    objects = {o.instance: o for o in answer.objects if o.valid}
    errors = []
    for i, j, _ in match([m for _, m in predicted], [m for _, m in true]):
        thing, place = objects.get(predicted[i][0]), true[j][0].centroid_m
        if thing is not None and place is not None:
            errors.append(1000 * float(np.linalg.norm(np.asarray(thing.centroid_m) - np.asarray(place))))
    return errors
