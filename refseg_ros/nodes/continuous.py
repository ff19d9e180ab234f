"""Continuous mode: one instruction, asked again and again until another takes its place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode

from refseg_ros.core.outcome import ErrorCode
from refseg_ros.core.tracking import Tracker, TrackingConfig

if TYPE_CHECKING:
    from refseg_ros.nodes.requests import Submit
    from refseg_ros.nodes.worker import Job


class Continuous:
    """Asks at once and then every period_s, seconds; its answers share one numbering of what they follow."""

    def __init__(
        self, node: LifecycleNode, submit: Submit, counts: Counter[str], instruction: str, period_s: float
    ) -> None:
        self._node, self._submit, self._counts, self._instruction = node, submit, counts, instruction
        memory_s: Any = node.get_parameter("track_memory_s").value
        self._tracker = Tracker(TrackingConfig(memory_s=memory_s))
        self._unanswered = False
        self._job: Job | None = None
        self._timer: Any = node.create_timer(period_s, self._ask)
        self._ask()

    def stop(self, code: ErrorCode) -> None:
        """Ask no more; a request in hand is answered with `code`, so that nothing more is said of this instruction."""
        self._node.destroy_timer(self._timer)
        if self._unanswered and self._job is not None:
            self._job.cancel(code)

    def _ask(self) -> None:
        """Skips a turn while the last one is unanswered: continuous mode never fills the queue."""
        if self._unanswered:
            self._counts["continuous_skipped"] += 1
            return
        self._unanswered = True
        self._job = self._submit(self._instruction, self._answered, 0.0, tracker=self._tracker)

    def _answered(self, _: Any) -> None:
        self._unanswered = False
