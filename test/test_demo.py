"""The demo's requests and its scorer: what is counted right, and what is not."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from refseg_ros.core.box_edges import box_corners
from refseg_ros.core.outcome import Outcome, Verdict
from refseg_ros.core.types import OrientedBox
from refseg_ros.demo.page import summary, write_page
from refseg_ros.demo.requests import KINDS, DemoRequest, choose_requests, missing_kinds
from refseg_ros.demo.score import Answer, Grade, report_entry, score
from refseg_ros.demo.truth import read_truth
from refseg_ros.demo.view3d import view

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


def test_nobody_is_asked_for_what_a_person_would_have_to_look_for(truth):
    large = np.kron(truth.instance_ids, np.ones((60, 60), np.int32))
    large[large == 1] = -1
    large[:10, :20] = 1  # 200 of two million pixels
    hard = replace(truth, instance_ids=large)
    asked = [t for r in choose_requests(hard, 0) for t in r.targets]
    assert asked and not any(1 in t for t in asked)
    assert "pair" in missing_kinds(hard) and "single" not in missing_kinds(hard)


def answer(request, masks=None, outcome=None, verdicts=None, centroids=()):
    said = request.verdicts if verdicts is None else verdicts
    return Answer(
        outcome or request.expected, tuple(("p", v, 0.9) for v in said), masks or {}, tuple(centroids), 12.0
    )


def test_right_needs_outcome_verdicts_and_overlap(truth):
    single = DemoRequest("single", "the mug", Outcome.FOUND, (Verdict.FOUND,), (frozenset([0]),))
    good = truth.mask(frozenset([0]))
    right = score(single, answer(single, {0: good}, centroids=[(0, np.array([0, 0, 1.005]))]), truth)
    assert right.grade is Grade.RIGHT and right.iou == 1.0 and right.centroid_error_mm == pytest.approx(5.0)
    assert score(single, answer(single, {0: ~good}), truth).grade is Grade.WRONG
    assert score(single, answer(single), truth).grade is Grade.WRONG
    absent = answer(single, outcome=Outcome.ABSENT, verdicts=(Verdict.ABSENT,))
    assert score(single, absent, truth).grade is Grade.WRONG


def test_undecided_is_neither_right_nor_wrong_and_only_where_nothing_wrong_was_said(truth):
    both = (frozenset([0]), frozenset([1]))
    pair = DemoRequest("pair", "the mug and the can", Outcome.FOUND, (Verdict.FOUND,) * 2, both)
    good = {0: truth.mask(frozenset([0]))}
    doubt = (Verdict.FOUND, Verdict.UNCERTAIN)

    def grade(masks, verdicts, outcome=Outcome.UNCERTAIN):
        return score(pair, answer(pair, masks, outcome, verdicts), truth).grade

    assert grade(good, doubt) is Grade.UNDECIDED and grade({}, (Verdict.UNCERTAIN,) * 2) is Grade.UNDECIDED
    assert grade({}, doubt) is Grade.WRONG, "a mask that is not there is no doubt"
    assert grade(good, (Verdict.ABSENT, Verdict.UNCERTAIN)) is Grade.WRONG
    assert grade(good, (Verdict.UNCERTAIN,)) is Grade.WRONG, "half of what was asked was lost"
    assert grade(good, doubt, Outcome.ERROR) is Grade.WRONG
    assert summary([{"grade": "right"}, {"grade": "undecided"}]) == "1 of 2 right, 1 undecided"


def test_an_error_is_never_a_right_rejection(truth):
    request = next(r for r in choose_requests(truth, 0) if r.kind == "absent")
    assert score(request, answer(request), truth).grade is Grade.RIGHT
    error = answer(request, outcome=Outcome.ERROR, verdicts=())
    scored = score(request, error, truth)
    assert scored.grade is Grade.WRONG and scored.iou is None
    assert report_entry(request, error, scored)["outcome"] == "ERROR"


def test_the_turning_view_holds_what_is_near_the_boxes_and_their_edges(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform((-0.3, -0.2, 0.7), (0.3, 0.2, 1.1), (60_000, 3)).astype(np.float32)
    points[:500], points[500:600] = np.nan, (0, 0, 3)
    box = box_corners(OrientedBox((0.1, 0.0, 0.9), (0.1, 0.05, 0.2), (0.0, 0.0, 0.0, 1.0)))
    data = view(points, rng.integers(0, 256, points.shape, np.uint8), [(2, box)])
    count = len(base64.b64decode(data["rgb"])) // 3
    assert 20_000 < count <= 2 * 24_000 and len(base64.b64decode(data["xyz_mm"])) == 6 * count
    xyz = np.frombuffer(base64.b64decode(data["xyz_mm"]), "<i2").reshape(-1, 3)
    assert xyz[:, 2].max() < 1200 and data["centre_mm"] == [100, 0, 900]
    assert data["boxes"][0]["name"] == "2" and len(data["boxes"][0]["corners_mm"]) == 8 and len(data["edges"]) == 12
    assert view(points[:500], np.zeros((500, 3), np.uint8), []) is None
    row = {"kind": "single", "instruction": "<b>", "expected": "FOUND", "outcome": "FOUND", "iou": 1.0}
    row |= {"grade": "right", "centroid_error_mm": 1.0, "latency_ms": 1.0, "picture": None, "error": None}
    row |= {"objects": [], "view": data}
    write_page(tmp_path / "page.html", [row | {"phrases": [], "expected_verdicts": ["FOUND"]}], "m", 1)
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;" in page and 'data-view="v1"' in page and "canvas[data-view]" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched from anywhere


def test_the_view_turns_about_the_tables_normal():
    """A camera that looks down by 0.6 rad: what lies on a line away from the table stays on one that goes up."""
    up = (0.0, -np.cos(0.6), -np.sin(0.6))
    points = np.array([[0, 0, 1.0]]) + np.linspace(0, 0.2, 50)[:, None] * up
    data = view(points.astype(np.float32), np.zeros((50, 3), np.uint8), [], up)
    xyz = np.frombuffer(base64.b64decode(data["xyz_mm"]), "<i2").reshape(-1, 3)
    assert np.ptp(xyz[:, 1]) == 200 and np.ptp(xyz[:, 2]) <= 1 and xyz[0, 1] > xyz[-1, 1]
    assert data["pitch"] == pytest.approx(-0.6)
