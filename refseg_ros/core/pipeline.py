"""A request's way: parse, encode once a frame, decode once for all phrases, decide, lift.

run() never raises on account of a request: every failure ends in an ERROR Segmentation through report_exception.
Stages run to their end; the deadline and cancellation are looked at between them, so a request overruns its deadline
by at most one stage. Knows nothing of ROS, torch or where frames come from.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from refseg_ros.core import instruction as language
from refseg_ros.core.blind import refuse_blind
from refseg_ros.core.decision import Decision, check_decodings, decide, exclude
from refseg_ros.core.outcome import ErrorCode, Outcome, RequestError, combine, report_exception
from refseg_ros.core.plain_text import MAX_CHARACTERS
from refseg_ros.core.protocol import PhraseDecoding, SegmentationModel, Thresholds
from refseg_ros.core.types import Frame, Instance, Object3D, PhraseVerdict, Segmentation, crop_mask

STAGES = ("parse", "encode", "decode", "decide", "lift")


class Lifts(Protocol):
    """What run() needs of a Lifter: one Object3D an instance, in order."""

    def lift(self, frame: Frame, instances: Sequence[Instance]) -> tuple[Object3D, ...]: ...


class _Run:
    """The clock of one request: stages, deadline, cancellation and timings in milliseconds."""

    def __init__(
        self,
        deadline: float | None,
        cancelled: Callable[[], bool] | None,
        on_stage: Callable[[str], None] | None,
    ) -> None:
        self.deadline, self.cancelled, self.on_stage = deadline, cancelled, on_stage
        self.started = time.monotonic()
        self.timings: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """Enter a stage. Raises RequestError(CANCELLED or DEADLINE_EXCEEDED)."""
        if self.cancelled is not None and self.cancelled():
            raise RequestError(ErrorCode.CANCELLED, f"The request was cancelled before its stage '{name}'.")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise RequestError(
                ErrorCode.DEADLINE_EXCEEDED,
                f"The deadline passed before the stage '{name}', {self.elapsed_ms():.0f} ms after the start; "
                "allow more time or use a faster model.",
            )
        if self.on_stage is not None:
            self.on_stage(name)

    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started) * 1e3


def run(
    model: SegmentationModel,
    frame: Frame,
    instruction: str,
    *,
    encoded: Any = None,
    lifter: Lifts | None = None,
    deadline: float | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Segmentation:
    """Answer one instruction on one frame.

    encoded: what model.encode(frame) returned before, to encode once a frame; None encodes here. deadline: on
    time.monotonic()'s clock, seconds. cancelled: asked between stages. on_stage: told each stage's name.
    timings_ms: encode, decode, model (their sum), lift, total. Raises nothing but KeyboardInterrupt and SystemExit.
    """
    clock = _Run(deadline, cancelled, on_stage)
    try:
        return _run(model, frame, instruction, encoded, lifter, clock)
    except Exception as error:  # noqa: BLE001  (the boundary: every failure becomes an ERROR outcome)
        size = frame.size if isinstance(frame, Frame) else (0, 0)
        timings = clock.timings | {"total": clock.elapsed_ms()}
        return error_segmentation(instruction, size, getattr(model, "name", ""), error, timings)


def _run(
    model: SegmentationModel, frame: Frame, instruction: str, encoded: Any, lifter: Lifts | None, clock: _Run
) -> Segmentation:
    timings = clock.timings
    clock.stage("parse")
    phrases = language.parse(instruction)

    clock.stage("encode")
    refuse_blind(frame)
    begin = time.perf_counter()
    if encoded is None:
        encoded = model.encode(frame)
    timings["encode"] = (time.perf_counter() - begin) * 1e3

    clock.stage("decode")
    begin = time.perf_counter()
    decodings = model.decode(encoded, phrases)
    timings["decode"] = (time.perf_counter() - begin) * 1e3
    timings["model"] = timings["encode"] + timings["decode"]

    clock.stage("decide")
    check_decodings(decodings, len(phrases), frame.size)
    verdicts, instances = _number_instances(phrases, decodings, model.thresholds)

    objects: tuple[Object3D, ...] = ()
    timings["lift"] = 0.0
    if lifter is not None and instances:
        clock.stage("lift")
        begin = time.perf_counter()
        objects = lifter.lift(frame, instances)
        timings["lift"] = (time.perf_counter() - begin) * 1e3
    timings["total"] = clock.elapsed_ms()
    return Segmentation(
        instruction=instruction,
        outcome=combine(v.verdict for v in verdicts),
        image_size=frame.size,
        model=model.name,
        phrases=verdicts,
        instances=instances,
        objects=objects,
        timings_ms=timings,
        excluded=tuple(p.text for p in phrases if p.negated),
    )


def _number_instances(
    phrases: Sequence[language.Phrase], decodings: Sequence[PhraseDecoding], thresholds: Thresholds
) -> tuple[tuple[PhraseVerdict, ...], tuple[Instance, ...]]:
    """Verdicts and instances with ids 1..n across phrases. A phrase's index counts the phrases with a verdict."""
    exclusions = [exclude(d, thresholds) for p, d in zip(phrases, decodings, strict=True) if p.negated]
    verdicts: list[PhraseVerdict] = []
    instances: list[Instance] = []
    for phrase, decoding in zip(phrases, decodings, strict=True):
        if phrase.negated:
            continue
        decision: Decision = decide(phrase, decoding, thresholds, exclusions)
        first = len(instances) + 1
        for candidate in decision.chosen:
            mask, (dx, dy) = crop_mask(candidate.mask)
            x, y = int(candidate.offset[0]) + dx, int(candidate.offset[1]) + dy
            instances.append(Instance(len(instances) + 1, len(verdicts), float(candidate.score), mask, (x, y)))
        ids = tuple(range(first, len(instances) + 1))
        verdicts.append(PhraseVerdict(phrase.text, decision.verdict, decision.score, ids))
    return tuple(verdicts), tuple(instances)


def error_segmentation(
    instruction: str,
    size: tuple[int, int],
    model_name: str,
    error: BaseException,
    timings_ms: dict[str, float] | None = None,
) -> Segmentation:
    """The ERROR answer to a request that failed with `error`. size: (width, height), (0, 0) when unknown."""
    return Segmentation(
        instruction=echo(instruction),
        outcome=Outcome.ERROR,
        image_size=size,
        model=str(model_name),
        error=report_exception(error),
        timings_ms=timings_ms or {},
    )


def echo(instruction: object) -> str:
    """An instruction as an ERROR repeats it: at most MAX_CHARACTERS, nothing that cannot be printed or encoded."""
    text = instruction[:MAX_CHARACTERS] if isinstance(instruction, str) else repr(instruction)[:100]
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
