"""What /diagnostics says first, for each thing that can be wrong."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")

from diagnostic_msgs.msg import DiagnosticStatus

from refseg_ros.nodes.diagnostics import Health, status
from refseg_ros.nodes.sync import COLOR, StampMatcher


def worker(busy_for_s=None):
    busy = None if busy_for_s is None else time.monotonic() - busy_for_s
    model = SimpleNamespace(name="colour", device="cpu")
    return SimpleNamespace(model=model, waiting=lambda: 2, latencies_ms=[10.0, 20.0, 30.0], busy_since=busy)


def seeing(age_s=0.0):
    matcher = StampMatcher()
    matcher.add(COLOR, 1, "image", time.monotonic() - age_s)
    return matcher


def of(matcher, at_work, state="active", health=None, camera=""):
    made = status("refseg", state, health or Health(), matcher, at_work, camera)
    return made.level, made.message, {v.key: v.value for v in made.values}


def test_all_is_well():
    level, message, values = of(seeing(), worker(busy_for_s=1.0))
    assert (level, message) == (DiagnosticStatus.OK, "active")
    assert values["queue"] == "2" and values["latency_p50_ms"] == "20.0" and values["color_received"] == "1"


def test_a_request_that_never_ends_is_an_error():
    level, message, _ = of(seeing(), worker(busy_for_s=60.0))
    assert level == DiagnosticStatus.ERROR and "running for 60 s" in message


def test_no_image_yet_matters_only_to_who_is_active():
    assert of(StampMatcher(), worker())[:2] == (
        DiagnosticStatus.WARN, "no colour image has arrived; check the topic and its QoS"
    )  # fmt: skip
    assert of(StampMatcher(), worker(), "inactive")[:2] == (DiagnosticStatus.OK, "inactive")


def test_a_camera_that_stopped_is_a_warning_with_its_age():
    level, message, values = of(seeing(age_s=8.0), worker())
    assert level == DiagnosticStatus.WARN and "8 s ago" in message and values["image_age_s"] == "8.0"


def test_no_problem_hides_another():
    health = Health()
    health.qos_mismatches |= {"image_raw": 1, "instruction": 2}
    level, message, values = of(seeing(age_s=8.0), worker(busy_for_s=60.0), health=health)
    assert level == DiagnosticStatus.ERROR
    assert all(said in message for said in ("running for", "image_raw:", "instruction:", "8 s ago"))
    assert values["qos_mismatch instruction"] == "2"


def test_what_costs_every_object_its_3d_is_a_warning():
    level, message, _ = of(seeing(), worker(), camera="no camera info has arrived")
    assert (level, message) == (DiagnosticStatus.WARN, "objects have no 3-D: no camera info has arrived")
