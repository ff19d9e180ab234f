"""GSVA's head: several [SEG] and explicit [REJ] in one answer, and SAM's mask decoder."""

from refseg_ros.models.heads.gsva.config import GSVAConfig, compact, llama2_13b, vicuna_7b
from refseg_ros.models.heads.gsva.head import GSVAEncoded, GSVAHead, GSVAOutput
from refseg_ros.models.heads.gsva.losses import LossWeights, losses
from refseg_ros.models.heads.gsva.released import from_released
from refseg_ros.models.heads.gsva.slots import Slots, slots_of

__all__ = [
    "GSVAConfig", "GSVAEncoded", "GSVAHead", "GSVAOutput", "LossWeights", "Slots", "compact", "from_released",
    "llama2_13b", "losses", "slots_of", "vicuna_7b",
]  # fmt: skip
