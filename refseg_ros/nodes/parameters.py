"""Every parameter of the node: default, range, meaning, and whether it may change while the node runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

Value = bool | int | float | str


@dataclass(frozen=True)
class Spec:
    """low, high: the allowed range of a number; choices: of a text; fixed: takes effect at the next configure;
    read_only: set at start only."""

    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = False
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        note = " Takes effect at the next configure." if self.fixed else ""
        options = f" One of: {', '.join(self.choices)}." if self.choices else ""
        out = ParameterDescriptor(description=self.description + options + note, read_only=self.read_only)
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                out.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high, step=0.0)]
            else:
                out.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)]
        return out


SPECS: dict[str, Spec] = {
    "autostart": Spec(True, "Configure and activate at start-up, with no lifecycle manager.", fixed=True),
    "model": Spec("compact", "Model name; `refseg models` lists them.", fixed=True),
    "device": Spec("auto", "cpu, cuda, cuda:N, or auto (cuda where there is one).", fixed=True),
    "weights": Spec("", "Path of a weights file; empty: the model's own.", fixed=True),
    "threads": Spec(0, "CPU threads of the model; 0: as many as cores.", 0, 256, fixed=True),
    "color_transport": Spec(
        "raw", "How image_raw comes; compressed: on image_raw/compressed.", choices=("raw", "compressed"), fixed=True
    ),
    "depth_transport": Spec(
        "raw", "How depth/image_raw comes; any but raw: on depth/image_raw/ and its name.",
        choices=("raw", "compressed", "compressedDepth"), fixed=True,
    ),
    "color_rectified": Spec(
        False, "The colour images, a goal's own too, are rectified: P of their camera info holds, and not K and D."
    ),
    "depth_rectified": Spec(
        False, "The depth images are rectified, or aligned to rectified colour: P of depth/camera_info holds."
    ),
    "queue_size": Spec(128, "Requests that may wait; one more is answered QUEUE_FULL at once.", 1, 10000),
    "default_deadline_s": Spec(0.0, "Deadline of a request that names none, seconds; 0: none.", 0.0, 3600.0),
    "continuous_period_s": Spec(0.5, "Period of continuous mode when the request names none, seconds.", 0.02, 3600.0),
    "sync_slop_s": Spec(
        0.0, "Largest stamp difference to depth, seconds; 0: half a frame period, at most 0.05.", 0.0, 1.0
    ),
    "depth_wait_s": Spec(0.1, "How long a colour image waits for its depth, seconds.", 0.0, 5.0),
    "frame_wait_s": Spec(2.0, "How long a request waits for a first image, seconds.", 0.0, 60.0),
    "max_frame_age_s": Spec(2.0, "A newest image older than this is STALE_FRAME, seconds; 0: any age.", 0.0, 3600.0),
    "accept_threshold": Spec(-1.0, "Belief from which a phrase is FOUND; negative: the model's own.", -1.0, 1.0),
    "reject_threshold": Spec(-1.0, "Belief below which a phrase is ABSENT; negative: the model's own.", -1.0, 1.0),
    "depth_min_m": Spec(0.05, "Nearest depth taken for a reading, metres.", 0.0, 10.0),
    "depth_max_m": Spec(10.0, "Farthest depth taken for a reading, metres.", 0.1, 200.0),
    "lift_on": Spec(
        "numpy", "What tests each pixel's depth: numpy, or torch on the model's device. The objects are the same.",
        choices=("numpy", "torch"),
    ),
    "track_memory_s": Spec(
        3.0, "How long continuous mode, from the next set_instruction on, remembers a thing unseen, s.", 0.0, 600.0
    ),
    "publish_points": Spec(True, "Put the points into each object (needs bandwidth)."),
    "publish_overlay": Spec(True, "Draw and publish ~/overlay when somebody listens."),
    "target_frame": Spec("", "Frame of a copy of the objects, on ~/target/objects; empty: none."),
    "target_wait_s": Spec(0.2, "How long that copy waits for a transform that is late, seconds.", 0.0, 5.0),
}


def declare(node: Node, specs: Mapping[str, Spec] = SPECS) -> None:
    """Declare all parameters. A bad value from a file or the command line raises rclpy's own exception."""
    for name, spec in specs.items():
        node.declare_parameter(name, spec.default, spec.descriptor())


def values(node: Node, specs: Mapping[str, Spec] = SPECS) -> dict[str, Any]:
    """Name -> value."""
    return {name: node.get_parameter(name).value for name in specs}


def check_choices(specs: Mapping[str, Spec], changed: list[Parameter]) -> SetParametersResult:
    """Whether every text that has choices is one of them; the reason if not."""
    for parameter in changed:
        spec = specs.get(parameter.name)
        if spec is not None and spec.choices and parameter.value not in spec.choices:
            reason = f"{parameter.name} must be one of {', '.join(spec.choices)}, not {parameter.value!r}"
            return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)


def check(current: dict[str, Any], changed: list[Parameter]) -> SetParametersResult:
    """Whether a set of changes is accepted; the reason if not. Ranges have been checked by rclpy already."""
    after = current | {p.name: p.value for p in changed if p.name in SPECS}
    chosen = check_choices(SPECS, changed)
    if not chosen.successful:
        return chosen
    accept, reject = after["accept_threshold"], after["reject_threshold"]
    if accept >= 0 and reject >= 0 and reject > accept:
        reason = f"reject_threshold ({reject:g}) must not exceed accept_threshold ({accept:g})"
        return SetParametersResult(successful=False, reason=reason)
    if after["depth_min_m"] >= after["depth_max_m"]:
        reason = f"depth_min_m ({after['depth_min_m']:g}) must be below depth_max_m ({after['depth_max_m']:g})"
        return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
