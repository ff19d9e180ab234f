"""The dimensions and switches of an MLLMSeg decoder, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class MLLMSegConfig:
    """The defaults are InternVL2.5-8B's dimensions: 34.4M parameters; at 1B, internvl_1b(), 27.8M.

    channels, strides: of the vision maps (published: one, the ViT's last layer without CLS, 32 x 32 cells of 448
    pixels); language_width: of the language states; width: of the decoder; stride: of its grid, twice as fine as the
    image tokens'; cell: each cell of the grid unfolds to cell x cell mask logits; groups: of DySample.

    The two inputs of the fusion (DSFF), for the ablation: vision_detail (the ViT's tokens) and language_semantics (the
    language model's states at the image tokens).

    prior: the share of cells that a mask is expected to cover; the last convolution then starts as an average with the
    bias at which masks have that probability (RetinaNet, for focal loss). None as published. It matters in short
    trainings: every mask's level hangs on that one bias, which Adam moves by a learning rate a step.

    as_released: the released code's faults, with which its weights were trained and give their published results. The
    language model's map is read one raster position too early, and the focal loss takes probabilities for logits.
    Raises ValueError.
    """

    channels: tuple[int, ...] = (1024,)
    strides: tuple[int, ...] = (14,)
    language_width: int = 4096
    width: int = 1024
    heads: int = 8
    feedforward: int = 1024
    dropout: float = 0.1
    stride: int = 14
    cell: int = 14
    groups: int = 4
    vision_detail: bool = True
    language_semantics: bool = True
    as_released: bool = False
    prior: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "int" and value < 1:
                raise ValueError(f"MLLMSegConfig.{item.name} must be at least 1, not {value}")
        if not self.channels or min(self.channels) < 1 or len(self.strides) != len(self.channels):
            raise ValueError(
                f"MLLMSegConfig.channels and strides must be as many positive numbers, not {self.channels} and "
                f"{self.strides}"
            )
        if any(s < 1 or (s < self.stride and self.stride % s) for s in self.strides):
            raise ValueError(
                f"MLLMSegConfig.stride must be a multiple of each finer map's stride {self.strides}, not {self.stride}"
            )
        if self.width % self.heads or self.width % self.groups:
            raise ValueError(f"MLLMSegConfig.width must be a multiple of heads and of groups, not {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"MLLMSegConfig.dropout must be in [0, 1), not {self.dropout}")
        if self.prior is not None and not 0 < self.prior < 1:
            raise ValueError(f"MLLMSegConfig.prior must be in (0, 1), not {self.prior}")
        if not self.vision_detail and not self.language_semantics:
            raise ValueError("MLLMSegConfig.language_semantics must be set where vision_detail is not")

    @property
    def mask_stride(self) -> int:
        """Input pixels to a mask logit: published, 1."""
        return max(1, self.stride // self.cell)


def internvl_8b(**changes: object) -> MLLMSegConfig:
    """On InternVL2.5-8B. changes: any other field."""
    return MLLMSegConfig(**changes)  # type: ignore[arg-type]


def internvl_1b(**changes: object) -> MLLMSegConfig:
    """On InternVL2.5-1B, whose language states have 896 channels."""
    return MLLMSegConfig(language_width=896, **changes)  # type: ignore[arg-type]


def compact(language_width: int, **changes: object) -> MLLMSegConfig:
    """CompactVLM's maps: trains on two cores. changes: any other field."""
    small = {
        "channels": (40, 112, 320, 320), "strides": (4, 8, 16, 32), "width": 128, "heads": 4, "feedforward": 128,
        "dropout": 0.0, "stride": 8, "cell": 2, "prior": 0.03,
    }  # fmt: skip
    return MLLMSegConfig(language_width=language_width, **{**small, **changes})  # type: ignore[arg-type]
