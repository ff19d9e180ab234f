"""Boxes as prompts of SAM's mask decoder, and a pointer that teaches where a phrase's targets are."""

from refseg_ros.models.heads.box_prompt.config import BoxPromptConfig, compact
from refseg_ros.models.heads.box_prompt.head import BoxPromptHead, BoxPromptOutput
from refseg_ros.models.heads.box_prompt.losses import LossWeights, losses, pointing_loss

__all__ = ["BoxPromptConfig", "BoxPromptHead", "BoxPromptOutput", "LossWeights", "compact", "losses", "pointing_loss"]
