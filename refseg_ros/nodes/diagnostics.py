"""What /diagnostics says of the node."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from refseg_ros.nodes.sync import StampMatcher
from refseg_ros.nodes.worker import InferenceWorker

STALLED_S = 30.0


@dataclass
class Health:
    """Counters that the node keeps for its whole life."""

    outcomes: Counter[str] = field(default_factory=Counter)
    qos_mismatches: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    last_counts: dict[str, int] = field(default_factory=dict)
    last_time: float = field(default_factory=time.monotonic)

    def rates(self, counts: Counter[str]) -> dict[str, float]:
        """Messages a second of each kind since the last call."""
        now = time.monotonic()
        seconds = max(now - self.last_time, 1e-3)
        seen = dict(counts)  # in one step: the worker's thread counts too
        keys = [k for k in seen if k.endswith("_received")]
        out = {k.removesuffix("_received") + "_rate_hz": (seen[k] - self.last_counts.get(k, 0)) / seconds for k in keys}
        self.last_counts, self.last_time = seen, now
        return out


def status(
    name: str, state: str, health: Health, matcher: StampMatcher, worker: InferenceWorker | None
) -> DiagnosticStatus:
    """One status with everything a person asks first: level, then values."""
    level, message = DiagnosticStatus.OK, state
    values: dict[str, str] = {"state": state}
    if worker is not None:
        values |= {"model": worker.model.name, "device": worker.model.device, "queue": str(worker.waiting())}
        if worker.latencies_ms:
            p50, p95 = np.percentile(list(worker.latencies_ms), [50, 95])
            values |= {"latency_p50_ms": f"{p50:.1f}", "latency_p95_ms": f"{p95:.1f}"}
        busy = worker.busy_since
        if busy is not None and time.monotonic() - busy > STALLED_S:
            level, message = DiagnosticStatus.ERROR, f"a request has been running for {time.monotonic() - busy:.0f} s"
    values |= {k: f"{v:.1f}" for k, v in health.rates(matcher.counts).items()}
    values |= {k: str(v) for k, v in sorted(matcher.counts.items())}
    values |= {f"outcome_{k}": str(v) for k, v in sorted(health.outcomes.items())}
    for topic, count in sorted(health.qos_mismatches.items()):
        level = max(level, DiagnosticStatus.WARN)
        message = f"{topic}: a publisher or subscriber has an incompatible QoS"
        values[f"qos_mismatch {topic}"] = str(count)
    if state == "active" and not matcher.counts["color_received"]:
        level, message = max(level, DiagnosticStatus.WARN), "no colour image has arrived; check the topic and its QoS"
    values["last_error"] = health.last_error
    pairs = [KeyValue(key=k, value=v) for k, v in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id="refseg", values=pairs)


def array(stamp: object, one: DiagnosticStatus) -> DiagnosticArray:
    """A stamped array of one status."""
    out = DiagnosticArray(status=[one])
    out.header.stamp = stamp
    return out
