"""The dimensions of a GSVA mask head, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class GSVAConfig:
    """The defaults are LLaVA-Vicuna-7B's states and SAM's mask decoder.

    channels, strides: of the vision maps (published: one, SAM's neck); language_width: of the language states; width:
    of the mask decoder; stride: of its grid, masks are four times finer; layers, heads, feedforward: of the two-way
    transformer; candidates: further masks of SAM's decoder for an ambiguous point, of which GSVA uses none.
    Raises ValueError.
    """

    channels: tuple[int, ...] = (256,)
    strides: tuple[int, ...] = (16,)
    language_width: int = 4096
    width: int = 256
    stride: int = 16
    layers: int = 2
    heads: int = 8
    feedforward: int = 2048
    candidates: int = 3

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "int" and item.name != "candidates" and value < 1:
                raise ValueError(f"GSVAConfig.{item.name} must be at least 1, not {value}")
        if not self.channels or min(self.channels) < 1 or len(self.strides) != len(self.channels):
            raise ValueError(
                f"GSVAConfig.channels and strides must be as many positive numbers, not {self.channels} and "
                f"{self.strides}"
            )
        if any(s < 1 or (s < self.stride and self.stride % s) for s in self.strides):
            raise ValueError(
                f"GSVAConfig.stride must be a multiple of each finer map's stride {self.strides}, not {self.stride}"
            )
        if self.width % (2 * self.heads) or self.width % 8:
            raise ValueError(f"GSVAConfig.width must be a multiple of 8 and of twice heads, not {self.width}")
        if self.candidates < 0:
            raise ValueError(f"GSVAConfig.candidates must be at least 0, not {self.candidates}")


def vicuna_7b(**changes: object) -> GSVAConfig:
    """LLaVA-Vicuna-7B and SAM ViT-H. changes: any other field."""
    return GSVAConfig(**changes)  # type: ignore[arg-type]


def llama2_13b(**changes: object) -> GSVAConfig:
    """LLaVA-Vicuna-13B or Llama2-13B, whose states have 5120 channels, and SAM ViT-H."""
    return GSVAConfig(language_width=5120, **changes)  # type: ignore[arg-type]


def compact(language_width: int, **changes: object) -> GSVAConfig:
    """CompactVLM's maps: trains on two cores. changes: any other field."""
    small = {
        "channels": (40, 112, 320, 320), "strides": (4, 8, 16, 32), "width": 128, "heads": 4, "feedforward": 256,
        "candidates": 0,
    }  # fmt: skip
    return GSVAConfig(language_width=language_width, **{**small, **changes})  # type: ignore[arg-type]
