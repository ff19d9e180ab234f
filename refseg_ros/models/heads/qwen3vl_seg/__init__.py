"""Qwen3-VL-Seg's head: a light box-guided mask decoder on a language model's boxes and <mask_token> states."""

from refseg_ros.models.heads.qwen3vl_seg.config import Qwen3VLSegConfig, compact, qwen3_vl_4b
from refseg_ros.models.heads.qwen3vl_seg.gate import box_gate
from refseg_ros.models.heads.qwen3vl_seg.head import Qwen3VLSegEncoded, Qwen3VLSegHead, Qwen3VLSegOutput
from refseg_ros.models.heads.qwen3vl_seg.losses import LossWeights, losses
from refseg_ros.models.heads.qwen3vl_seg.objects import Objects, objects_of

__all__ = [
    "LossWeights", "Objects", "Qwen3VLSegConfig", "Qwen3VLSegEncoded", "Qwen3VLSegHead", "Qwen3VLSegOutput", "box_gate",
    "compact", "losses", "objects_of", "qwen3_vl_4b",
]  # fmt: skip
