"""The dimensions and switches of a Qwen3-VL-Seg mask decoder, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Qwen3VLSegConfig:
    """The defaults are Qwen3-VL-4B's dimensions and the published size, 17M parameters.

    channels, strides: of the vision maps, the top layer last; language_width: of the language states; width: D, the
    decoder's own; stride: of the memory; frequencies: of a box's Fourier features; pixel_width: channels of the mask
    features at a quarter of the stride; stem_width: of the CNN stem on RGB; places: side of the learned position table.

    The gate: gate_margin is how much a box grows to each side, gate_alpha how steep its sides are, gate_by_peak whether
    it is divided by its own peak. The published gate (False) is almost shut for small boxes; see gate.py.
    box_jitter: in training each side of a box moves by up to this share of its length.

    Ablations, one a part: spatial_injection False: memory of language states alone; box_queries False: queries know the
    language state, not the box; pixel_fusion False: no RGB, no gate; refinement False: the first mask is the answer.
    Raises ValueError.
    """

    channels: tuple[int, ...] = (1024, 1024, 1024, 1024)
    strides: tuple[int, ...] = (16, 16, 16, 16)
    language_width: int = 2560
    width: int = 384
    layers: int = 3
    heads: int = 8
    widening: int = 4
    stride: int = 16
    frequencies: int = 32
    pixel_width: int = 128
    stem_width: int = 64
    places: int = 32
    gate_margin: float = 0.15
    gate_alpha: float = 20.0
    gate_by_peak: bool = True
    box_jitter: float = 0.1
    spatial_injection: bool = True
    box_queries: bool = True
    pixel_fusion: bool = True
    refinement: bool = True

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "int" and value < 1:
                raise ValueError(f"Qwen3VLSegConfig.{item.name} must be at least 1, not {value}")
        if not self.channels or min(self.channels) < 1 or len(self.strides) != len(self.channels):
            raise ValueError(
                f"Qwen3VLSegConfig.channels and strides must be as many positive numbers, not {self.channels} and "
                f"{self.strides}"
            )
        if any(s < 1 or (s < self.stride and self.stride % s) for s in self.strides) or self.stride % 4:
            raise ValueError(
                f"Qwen3VLSegConfig.stride must be a multiple of 4 and of each finer map's stride {self.strides}, "
                f"not {self.stride}"
            )
        if self.width % self.heads or self.width % GROUPS or self.pixel_width % GROUPS or self.stem_width % GROUPS:
            raise ValueError(
                f"Qwen3VLSegConfig.width, pixel_width and stem_width must be multiples of {GROUPS}, width of heads "
                f"too, not {self.width}, {self.pixel_width}, {self.stem_width}"
            )
        if self.gate_margin < 0 or self.gate_alpha <= 0 or not 0 <= self.box_jitter < 0.5:
            raise ValueError(
                "Qwen3VLSegConfig needs gate_margin >= 0, gate_alpha > 0 and box_jitter in [0, 0.5), not "
                f"{self.gate_margin}, {self.gate_alpha}, {self.box_jitter}"
            )


GROUPS = 8


def qwen3_vl_4b(**changes: object) -> Qwen3VLSegConfig:
    """On Qwen3-VL-4B: ViT blocks 5, 11, 17 and 23, language states of 2560. changes: any other field."""
    return Qwen3VLSegConfig(**changes)  # type: ignore[arg-type]


def compact(language_width: int, **changes: object) -> Qwen3VLSegConfig:
    """CompactVLM's maps: trains on two cores. changes: any other field."""
    small = {
        "channels": (40, 112, 320, 320), "strides": (4, 8, 16, 32), "width": 96, "layers": 2, "heads": 4, "widening": 2,
        "frequencies": 16, "pixel_width": 48, "stem_width": 24, "places": 10,
    }  # fmt: skip
    return Qwen3VLSegConfig(language_width=language_width, **{**small, **changes})  # type: ignore[arg-type]
