"""The demo's requests and its scorer: what is counted right, and what is not."""

from __future__ import annotations

import base64
import json

import cv2
import numpy as np
import pytest

from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.demo.requests import KINDS, DemoRequest, choose_requests, missing_kinds
from refseg_ros.demo.score import Answer, report_entry, score
from refseg_ros.demo.truth import read_truth

IDS = np.zeros((20, 30), np.uint8)
IDS[2:8, 2:8], IDS[10:16, 10:20] = 1, 2


def expression(kind, text, *targets, expect=None):
    phrases = text.split(" and ")
    return {"text": text, "type": kind, "phrases": phrases, "targets": [list(t) for t in targets], "expect": expect}


EXPRESSIONS = [
    expression("name", "the mug", [0]),
    expression("attribute", "the red mug", [0]),
    expression("attribute", "the blue can", [1]),
    expression("name", "the can", [1]),
    expression("relation", "the mug left of the can", [0]),
    expression("superlative", "the leftmost object", [0]),
    expression("all-of", "all the cans", [0, 1]),
    expression("pair", "the mug and the can", [0], [1]),
    expression("absent-name", "the bowl", []),
    expression("absent-name", "the plate", []),
    expression("ambiguous", "the thing", [0, 1], expect="AMBIGUOUS"),
]


@pytest.fixture
def truth():
    png = base64.b64encode(cv2.imencode(".png", IDS)[1].tobytes()).decode()
    objects = [{"id": 0, "noun": "mug", "centroid_m": [0, 0, 1]}, {"id": 1, "noun": "can", "centroid_m": [0.1, 0, 1]}]
    data = {"scene_seed": 4, "objects": objects, "instance_png": png, "expressions": EXPRESSIONS}
    return read_truth(json.dumps(data))


def test_one_request_of_each_kind(truth):
    assert missing_kinds(truth) == []
    requests = choose_requests(truth, 0)
    assert [r.kind for r in requests] == [kind for kind, _ in KINDS]
    assert requests == choose_requests(truth, 0)
    by_kind = {r.kind: r for r in requests}
    assert by_kind["half absent"].verdicts == (Verdict.FOUND, Verdict.ABSENT)
    assert by_kind["ambiguous"].expected is Outcome.AMBIGUOUS
    assert by_kind["empty"].expected is Outcome.ERROR and by_kind["empty"].instruction == ""


def answer(request, masks=None, outcome=None, verdicts=None, centroids=()):
    said = request.verdicts if verdicts is None else verdicts
    return Answer(
        outcome or request.expected, tuple(("p", v, 0.9) for v in said), masks or {}, tuple(centroids), 12.0
    )


def test_right_needs_outcome_verdicts_and_overlap(truth):
    single = DemoRequest("single", "the mug", Outcome.FOUND, (Verdict.FOUND,), (frozenset([0]),))
    good = truth.mask(frozenset([0]))
    right = score(single, answer(single, {0: good}, centroids=[(0, np.array([0, 0, 1.005]))]), truth)
    assert right.right and right.iou == 1.0 and right.centroid_error_mm == pytest.approx(5.0)
    assert not score(single, answer(single, {0: ~good}), truth).right
    assert not score(single, answer(single), truth).right
    absent = answer(single, outcome=Outcome.ABSENT, verdicts=(Verdict.ABSENT,))
    assert not score(single, absent, truth).right


def test_an_error_is_never_a_right_rejection(truth):
    request = next(r for r in choose_requests(truth, 0) if r.kind == "absent")
    assert score(request, answer(request), truth).right
    error = answer(request, outcome=Outcome.ERROR, verdicts=())
    scored = score(request, error, truth)
    assert not scored.right and scored.iou is None
    assert report_entry(request, error, scored)["outcome"] == "ERROR"
