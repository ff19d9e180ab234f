"""The dimensions and switches of an MVP-LM head, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, fields

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class MVPLMConfig:
    """The defaults are the published model: Swin-B maps and Phi-1.5 states.

    channels: of the vision maps at strides 4, 8, 16, 32; language_width: of the language states; width: the head's own;
    queries: dynamic queries N (30, 100 and 300 in the paper's table 8); stuff_queries: learned ones that panoptic adds;
    query_selection: False for separate learned queries and boxes (table 9); base_queries: False for the selected
    features alone, without what <PER> says (table 7, last row); denoising_queries, denoising_noise: MaskDINO's, for
    word tasks; mask_points: points at which masks are compared in matching and losses, None for every cell.
    Raises ValueError.
    """

    channels: tuple[int, int, int, int] = (128, 256, 512, 1024)
    language_width: int = 2048
    width: int = 256
    heads: int = 8
    encoder_layers: int = 6
    encoder_feedforward: int = 1024
    decoder_layers: int = 9
    decoder_feedforward: int = 2048
    points: int = 4
    queries: int = 100
    stuff_queries: int = 100
    query_selection: bool = True
    base_queries: bool = True
    denoising_queries: int = 100
    denoising_noise: float = 0.4
    mask_points: int | None = 12544

    def __post_init__(self) -> None:
        positive = {
            "language_width", "width", "heads", "encoder_layers", "encoder_feedforward", "decoder_layers",
            "decoder_feedforward", "points", "queries",
        }  # fmt: skip
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in positive and value < 1:
                raise ValueError(f"MVPLMConfig.{item.name} must be at least 1, not {value}")
        if len(self.channels) != len(STRIDES) or min(self.channels) < 1:
            raise ValueError(f"MVPLMConfig.channels must be {len(STRIDES)} positive numbers, not {self.channels}")
        if self.width % 32 or self.width % self.heads:
            raise ValueError(f"MVPLMConfig.width must be a multiple of 32 and of heads, not {self.width}")
        for name in ("stuff_queries", "denoising_queries"):
            if getattr(self, name) < 0:
                raise ValueError(f"MVPLMConfig.{name} must be at least 0, not {getattr(self, name)}")
        if not 0 <= self.denoising_noise <= 1:
            raise ValueError(f"MVPLMConfig.denoising_noise must be in [0, 1], not {self.denoising_noise}")
        if self.mask_points is not None and self.mask_points < 1:
            raise ValueError(f"MVPLMConfig.mask_points must be at least 1 or None, not {self.mask_points}")
        if not self.query_selection and not self.base_queries:
            raise ValueError("MVPLMConfig.base_queries must be set where query_selection is not: queries need a source")


def compact(language_width: int, **changes: object) -> MVPLMConfig:
    """CompactVLM's maps: trains on two cores. changes: any other field."""
    small = {
        "channels": (40, 112, 320, 320), "width": 96, "heads": 3, "encoder_layers": 2, "encoder_feedforward": 256,
        "decoder_layers": 3, "decoder_feedforward": 256, "queries": 30, "stuff_queries": 6, "denoising_queries": 30,
        "mask_points": None,
    }  # fmt: skip
    return MVPLMConfig(language_width=language_width, **{**small, **changes})  # type: ignore[arg-type]
