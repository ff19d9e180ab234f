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
SILENT_S = 3.0


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
    name: str, state: str, health: Health, matcher: StampMatcher, worker: InferenceWorker | None, camera: str = "",
    failure: str = "",
) -> DiagnosticStatus:
    """One status with everything a person asks first: level, then values. camera: why a request of this moment would
    have no 3-D, or ""; failure: why the last transition failed, or ""."""
    problems: list[tuple[bytes, str]] = [(DiagnosticStatus.ERROR, failure)] if failure else []
    values: dict[str, str] = {"state": state}
    if worker is not None:
        values |= {"model": worker.model.name, "device": worker.model.device, "queue": str(worker.waiting())}
        if worker.latencies_ms:
            p50, p95 = np.percentile(list(worker.latencies_ms), [50, 95])
            values |= {"latency_p50_ms": f"{p50:.1f}", "latency_p95_ms": f"{p95:.1f}"}
        busy = worker.busy_since
        if busy is not None and time.monotonic() - busy > STALLED_S:
            seconds = time.monotonic() - busy
            problems.append((DiagnosticStatus.ERROR, f"a request has been running for {seconds:.0f} s"))
    values |= {k: f"{v:.1f}" for k, v in health.rates(matcher.counts).items()}
    values |= {k: str(v) for k, v in sorted(matcher.counts.items())}
    values |= {f"outcome_{k}": str(v) for k, v in sorted(health.outcomes.items())}
    for topic, count in sorted(health.qos_mismatches.items()):
        problems.append((DiagnosticStatus.WARN, f"{topic}: a publisher or subscriber has an incompatible QoS"))
        values[f"qos_mismatch {topic}"] = str(count)
    newest = matcher.newest()
    if newest is not None:
        age = time.monotonic() - newest.received_s
        values["image_age_s"] = f"{age:.1f}"
        if age > SILENT_S:
            problems.append((DiagnosticStatus.WARN, f"the last colour image came {age:.0f} s ago; check the camera"))
    elif state == "active":
        problems.append((DiagnosticStatus.WARN, "no colour image has arrived; check the topic and its QoS"))
    if camera:
        problems.append((DiagnosticStatus.WARN, f"objects have no 3-D: {camera}"))
    values["last_error"] = health.last_error
    pairs = [KeyValue(key=k, value=v) for k, v in values.items()]
    level = max((level for level, _ in problems), default=DiagnosticStatus.OK)
    message = "; ".join(text for _, text in problems) or state
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id="refseg", values=pairs)


def array(stamp: object, one: DiagnosticStatus) -> DiagnosticArray:
    """A stamped array of one status."""
    out = DiagnosticArray(status=[one])
    out.header.stamp = stamp
    return out
