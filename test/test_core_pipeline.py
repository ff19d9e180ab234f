"""Decisions and the pipeline: the verdict rule, ids, exclusion, deadlines, and errors that never escape."""

import time

import numpy as np
import pytest
from core_fakes import FakeModel, candidate, frame

from refseg_ros.core.decision import decide, exclude, iou, unique
from refseg_ros.core.instruction import Number, Phrase
from refseg_ros.core.lifting import Lifter
from refseg_ros.core.outcome import ErrorCode, Outcome, RequestError, Verdict
from refseg_ros.core.pipeline import echo, error_segmentation, run
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import Frame

T = Thresholds()
ONE, MANY, TWO = Phrase("mug"), Phrase("mugs", Number.PLURAL), Phrase("two mugs", Number.COUNT, 2)
A, B, C = candidate(0, 0), candidate(22, 0, score=0.8), candidate(42, 0, score=0.7)
WEAK = candidate(0, 25, score=0.3)


@pytest.mark.parametrize(
    ("phrase", "score", "candidates", "verdict", "named"),
    [
        (ONE, 0.9, (A,), Verdict.FOUND, 1),
        (ONE, 0.9, (A, WEAK), Verdict.FOUND, 1),
        (ONE, 0.9, (A, B), Verdict.AMBIGUOUS, 2),
        (ONE, 0.9, (WEAK,), Verdict.UNCERTAIN, 1),
        (ONE, 0.9, (), Verdict.UNCERTAIN, 0),
        (ONE, 0.6, (A,), Verdict.FOUND, 1),
        (ONE, 0.5, (A, B), Verdict.UNCERTAIN, 2),
        (ONE, 0.4, (), Verdict.UNCERTAIN, 0),
        (ONE, 0.39, (A,), Verdict.ABSENT, 0),
        (MANY, 0.9, (A, B, C), Verdict.FOUND, 3),
        (MANY, 0.9, (A,), Verdict.FOUND, 1),
        (TWO, 0.9, (A, B), Verdict.FOUND, 2),
        (TWO, 0.9, (A, B, C), Verdict.AMBIGUOUS, 3),
        (TWO, 0.9, (A,), Verdict.UNCERTAIN, 1),
    ],
)
def test_verdict_rule(phrase, score, candidates, verdict, named):
    decision = decide(phrase, PhraseDecoding(score, candidates), T)
    assert (decision.verdict, len(decision.chosen)) == (verdict, named)


def test_one_thing_twice_is_one_candidate_and_overlaps_survive():
    assert len(unique([A, candidate(0, 0, 20, 19, 0.8)])) == 1
    assert len(unique([A, candidate(5, 0)])) == 2
    assert unique([Candidate(np.zeros((2, 2), np.bool_), (0, 0), 0.9)]) == ()
    assert iou(A, A) == 1.0 and iou(A, B) == 0.0
    assert iou(A, candidate(10, 0)) == pytest.approx(200 / 600)


def test_exclusion_takes_candidates_and_lowers_the_score():
    excluded = exclude(PhraseDecoding(0.95, (A,)), T)
    left = decide(ONE, PhraseDecoding(0.9, (A, B)), T, [excluded])
    assert left.verdict is Verdict.FOUND and left.chosen == (B,)
    gone = decide(ONE, PhraseDecoding(0.9, (A,)), T, [excluded])
    assert gone.verdict is Verdict.ABSENT and gone.score == pytest.approx(0.05)
    unsure = decide(ONE, PhraseDecoding(0.9, (A,)), T, [exclude(PhraseDecoding(0.5, (A,)), T)])
    assert unsure.verdict is Verdict.UNCERTAIN and unsure.chosen == ()
    assert exclude(PhraseDecoding(0.1, (A,)), T).candidates == ()


def test_run_numbers_instances_across_phrases_and_times_its_stages():
    model = FakeModel({"the mug": PhraseDecoding(0.9, (A,)), "the cans": PhraseDecoding(0.8, (B, C))})
    stages = []
    s = run(model, frame(depth=1.0), "the mug, the cans and the bowl", lifter=Lifter(), on_stage=stages.append)
    assert s.outcome is Outcome.FOUND and s.image_size == (64, 48) and s.model == "fake"
    assert [p.instances for p in s.phrases] == [(1,), (2, 3), ()]
    assert [i.phrase for i in s.instances] == [0, 1, 1]
    assert [o.instance for o in s.objects] == [1, 2, 3]
    assert stages == ["parse", "encode", "decode", "decide", "lift"]
    assert set(s.timings_ms) == {"encode", "decode", "model", "lift", "total"}
    assert s.timings_ms["model"] == pytest.approx(s.timings_ms["encode"] + s.timings_ms["decode"])


def test_excluded_things_are_never_instances_and_are_reported():
    model = FakeModel({"everything": PhraseDecoding(0.9, (A, B)), "the bowl": PhraseDecoding(0.9, (B,))})
    s = run(model, frame(), "everything but the bowl")
    assert s.excluded == ("the bowl",) and len(s.phrases) == 1
    assert [i.offset for i in s.instances] == [A.offset]


def test_an_encoding_given_is_used():
    model = FakeModel({"mug": PhraseDecoding(0.9, (A,))})
    assert run(model, frame(), "mug", encoded="before").outcome is Outcome.FOUND
    assert model.encoded == 0


def test_all_absent():
    assert run(FakeModel(), frame(), "mug").outcome is Outcome.ABSENT


class OutOfMemoryError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("boom"), ErrorCode.INTERNAL),
        (OutOfMemoryError("cuda"), ErrorCode.OUT_OF_MEMORY),
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
        (RequestError(ErrorCode.MODEL_OUTPUT, "bad"), ErrorCode.MODEL_OUTPUT),
    ],
)
def test_every_failure_is_an_error_outcome_and_the_next_request_succeeds(error, code):
    model = FakeModel({"mug": PhraseDecoding(0.9, (A,))})
    good = model.decode

    def fail(encoded, phrases):
        raise error

    model.decode = fail
    s = run(model, frame(), "mug")
    assert s.outcome is Outcome.ERROR and s.error.code is code and s.error.message
    assert not s.instances and "total" in s.timings_ms
    model.decode = good
    assert run(model, frame(), "mug").outcome is Outcome.FOUND


@pytest.mark.parametrize(
    "decodings",
    [
        [],
        [PhraseDecoding(0.9), PhraseDecoding(0.9)],
        [PhraseDecoding(float("nan"))],
        [PhraseDecoding(1.5)],
        [PhraseDecoding(0.9, (candidate(60, 40),))],
        [PhraseDecoding(0.9, (candidate(-1, 0),))],
        [PhraseDecoding(0.9, (candidate(score=float("nan")),))],
        [PhraseDecoding(0.9, (Candidate(np.ones((4, 4), np.uint8), (0, 0), 0.9),))],
    ],
)
def test_malformed_model_output_is_named(decodings):
    model = FakeModel()
    model.decode = lambda encoded, phrases: decodings
    s = run(model, frame(), "mug")
    assert s.outcome is Outcome.ERROR and s.error.code is ErrorCode.MODEL_OUTPUT


def test_deadline_and_cancellation_between_stages():
    model = FakeModel({"mug": PhraseDecoding(0.9, (A,))})
    s = run(model, frame(), "mug", deadline=time.monotonic() - 1)
    assert s.error.code is ErrorCode.DEADLINE_EXCEEDED and model.encoded == 0
    assert run(model, frame(), "mug", deadline=time.monotonic() + 60).outcome is Outcome.FOUND
    seen = []
    s = run(model, frame(), "mug", cancelled=lambda: len(seen) == 2, on_stage=seen.append)
    assert s.error.code is ErrorCode.CANCELLED and seen == ["parse", "encode"]


@pytest.mark.parametrize("bad", ["", "\x00", "x" * 5000, None, 7])
def test_bad_instructions_are_echoed_safely(bad):
    s = run(FakeModel(), frame(), bad)
    assert s.outcome is Outcome.ERROR and s.error.code.value.startswith("INSTRUCTION_")
    assert len(s.instruction) <= 1000 and "\x00" not in s.instruction


def test_a_frame_that_is_none_is_an_error_not_a_crash():
    model = FakeModel()
    model.encode = lambda f: f.rgb
    s = run(model, None, "mug")
    assert s.outcome is Outcome.ERROR and s.image_size == (0, 0)


def test_keyboard_interrupt_passes():
    model = FakeModel()

    def interrupt(frame):
        raise KeyboardInterrupt

    model.encode = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(model, frame(), "mug")


def test_error_segmentation_and_echo():
    s = error_segmentation("mug", (3, 2), "m", RequestError(ErrorCode.NO_FRAME, "No frame yet."))
    assert s.error.code is ErrorCode.NO_FRAME and s.image_size == (3, 2)
    echo("\ud800").encode("utf-8")


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_that_shows_nothing_is_an_error_and_no_absence(level):
    noise = np.random.default_rng(0).normal(0, 2, (480, 640, 3))
    rgb = np.clip(level + noise, 0, 255).astype(np.uint8)
    answer = run(FakeModel({"mug": PhraseDecoding(0.0)}), Frame(rgb), "mug")
    assert answer.outcome is Outcome.ERROR and answer.error.code is ErrorCode.IMAGE_INVALID
    rgb[200:280, 300:400] += np.uint8(8) if level < 200 else np.uint8(236)  # a thing, hardly to be seen
    assert run(FakeModel({"mug": PhraseDecoding(0.0)}), Frame(rgb), "mug").outcome is Outcome.ABSENT


def test_a_plain_wall_is_a_picture_like_any_other():
    assert run(FakeModel({"mug": PhraseDecoding(0.0)}), frame(), "mug").outcome is Outcome.ABSENT


def test_a_picture_of_one_pixel_shows_nothing():
    answer = run(FakeModel({"mug": PhraseDecoding(0.0)}), Frame(np.zeros((1, 1, 3), np.uint8)), "mug")
    assert answer.outcome is Outcome.ERROR and "lens" in answer.error.message
