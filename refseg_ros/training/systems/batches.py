"""Batches of conversations from several sources of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refseg_ros.models.systems.system import Conversation, System, Truth
from refseg_ros.training.systems.config import StageConfig
from refseg_ros.training.systems.facts import PictureSet
from refseg_ros.training.systems.mixture import Mixture, MixtureConfig


@dataclass(frozen=True, eq=False)
class Batch:
    """Conversations about some pictures of a set. rows: which of `indices` each is about, ascending."""

    pictures: PictureSet
    indices: tuple[int, ...]
    rows: tuple[int, ...]
    conversations: tuple[Conversation, ...]
    truths: tuple[Truth, ...]


@dataclass(frozen=True, eq=False)
class Batches:
    """sources: with how often each is drawn. Pictures of one batch come from one source and have one padded size."""

    system: System
    sources: Sequence[tuple[PictureSet, float]]
    mixture: MixtureConfig

    def drawn(self, stage: StageConfig, seed: int, steps: int = 0, process: int = 0) -> Iterator[Batch]:
        """Random batches without end. Another start for each process and for each step a run resumes at."""
        mixture = Mixture(stage.mixture or self.mixture, hash((seed, steps, process)))
        while True:
            (source,) = mixture.rng.choices([s for s, _ in self.sources], [w for _, w in self.sources])
            indices = [mixture.rng.randrange(len(source)) for _ in range(stage.pictures)]
            batch = self._batch(source, indices, mixture, stage.conversations)
            if batch is not None:
                yield batch

    def fixed(self, stage: StageConfig, pictures: int) -> Iterator[Batch]:
        """The same conversations about the first `pictures` of each source, every time."""
        mixture = Mixture(stage.mixture or self.mixture, 0)
        for source, _ in self.sources:
            for start in range(0, min(pictures, len(source)), stage.pictures):
                indices = list(range(start, min(start + stage.pictures, pictures, len(source))))
                batch = self._batch(source, indices, mixture, stage.conversations)
                if batch is not None:
                    yield batch

    def _batch(self, source: PictureSet, indices: list[int], mixture: Mixture, each: int) -> Batch | None:
        """Pictures of another padded size than the first's are left out, and so are those nothing is said of."""
        first = source.geometry(self.system.backbone, indices[0]).padded
        kept: list[int] = []
        rows: list[int] = []
        pairs: list[tuple[Conversation, Truth]] = []
        for index in indices:
            geometry = source.geometry(self.system.backbone, index)
            drawn = mixture.draw(self.system, source, index, geometry, each) if geometry.padded == first else []
            if drawn:
                rows += [len(kept)] * len(drawn)
                kept.append(index)
                pairs += drawn
        if not kept:
            return None
        return Batch(source, tuple(kept), tuple(rows), tuple(c for c, _ in pairs), tuple(t for _, t in pairs))

