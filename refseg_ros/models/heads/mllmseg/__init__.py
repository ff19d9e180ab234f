"""MLLMSeg's head: detail and semantics fused, and a light decoder of one [SEG] state a phrase."""

from refseg_ros.models.heads.mllmseg.config import MLLMSegConfig, compact, internvl_1b, internvl_8b
from refseg_ros.models.heads.mllmseg.head import MLLMSegEncoded, MLLMSegHead
from refseg_ros.models.heads.mllmseg.losses import LossWeights, losses
from refseg_ros.models.heads.mllmseg.released import from_released

__all__ = [
    "LossWeights", "MLLMSegConfig", "MLLMSegEncoded", "MLLMSegHead", "compact", "from_released", "internvl_1b",
    "internvl_8b", "losses",
]  # fmt: skip
