"""MVP-LM's head: dynamic queries, a deformable pixel decoder, and one decoder for words and sentences."""

from refseg_ros.models.heads.mvp_lm.config import MVPLMConfig, compact
from refseg_ros.models.heads.mvp_lm.head import MVPLMHead, MVPLMOutput, Task
from refseg_ros.models.heads.mvp_lm.language import Instruction, average_spans
from refseg_ros.models.heads.mvp_lm.losses import losses
from refseg_ros.models.heads.mvp_lm.matching import LossWeights
from refseg_ros.models.heads.mvp_lm.targets import Target, target_of

__all__ = [
    "Instruction", "LossWeights", "MVPLMConfig", "MVPLMHead", "MVPLMOutput", "Target", "Task", "average_spans",
    "compact", "losses", "target_of",
]  # fmt: skip
