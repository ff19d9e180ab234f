"""The dimensions of a box-prompted mask decoder, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass

from refseg_ros.models.heads.gsva.config import GSVAConfig
from refseg_ros.models.heads.gsva.config import compact as gsva_compact


@dataclass(frozen=True, kw_only=True)
class BoxPromptConfig(GSVAConfig):
    """The mask decoder is GSVA's, so that one can start from the other; language_width is the pointer's.

    box_jitter: in training each side of a box moves by up to this share of its length; pointer_width: of the space in
    which phrases and places are compared; fold: places along each side of an image token. Raises ValueError.
    """

    box_jitter: float = 0.1
    pointer_width: int = 64
    fold: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.box_jitter < 0.5:
            raise ValueError(f"BoxPromptConfig.box_jitter must be in [0, 0.5), not {self.box_jitter}")


def compact(language_width: int, **changes: object) -> BoxPromptConfig:
    """CompactVLM's maps: trains on two cores. changes: any other field."""
    decoder = gsva_compact(language_width)
    small = {name: getattr(decoder, name) for name in GSVAConfig.__dataclass_fields__}
    return BoxPromptConfig(**{**small, **changes})
