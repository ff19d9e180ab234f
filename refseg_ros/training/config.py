"""What a training run is told, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class TrainingConfig:
    """scenes: folder with train/ and val/; work: caches, checkpoints, curves; minutes: wall clock of one stage;
    steps: its length instead, where it is not 0;
    workers: processes that prepare pictures, 0 for none of their own; start: weights to begin with, or from nothing."""

    scenes: Path
    work: Path
    minutes: float = 12.0
    steps: int = 0
    batch: int = 12
    learning_rate: float = 1e-3
    depth_dropout: float = 0.25
    threads: int = 2
    seed: int = 0
    most_scenes: int = 5000
    workers: int = 0
    start: Path | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (int, float)) and item.name != "seed" and value < 0:
                raise ValueError(f"TrainingConfig.{item.name} must be at least 0, not {value}")
        if not 0 <= self.depth_dropout <= 1:
            raise ValueError(f"TrainingConfig.depth_dropout must be in [0, 1], not {self.depth_dropout}")
        if not (self.scenes / "train").is_dir():
            raise ValueError(f"TrainingConfig.scenes: {self.scenes}/train does not exist; generate the scenes first")


def training_files(folder: Path, most: int) -> list[Path]:
    """The first `most` training files of a folder."""
    return sorted(folder.glob("scene_*.npz"))[:most]
