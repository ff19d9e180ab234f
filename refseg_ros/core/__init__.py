"""What the product means: types, instructions, outcomes, lifting. numpy only; no rclpy, no torch."""

from refseg_ros.core.outcome import ErrorCode, ErrorReport, Outcome, RequestError, Verdict, combine
from refseg_ros.core.types import Frame, Instance, Intrinsics, Object3D, PhraseVerdict, Plane, Segmentation

__all__ = [
    "ErrorCode",
    "ErrorReport",
    "Frame",
    "Instance",
    "Intrinsics",
    "Object3D",
    "Outcome",
    "PhraseVerdict",
    "Plane",
    "RequestError",
    "Segmentation",
    "Verdict",
    "combine",
]
