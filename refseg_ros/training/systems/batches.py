"""Batches of conversations from several sources of pictures."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from refseg_ros.models.backbones.base import Backbone
from refseg_ros.models.backbones.geometry import Size
from refseg_ros.models.systems.mvp_lm import MvpLm
from refseg_ros.models.systems.system import Conversation, System, Truth
from refseg_ros.training.runs import ConfigError
from refseg_ros.training.systems.config import StageConfig
from refseg_ros.training.systems.facts import PictureSet
from refseg_ros.training.systems.mixture import TASKS, Mixture, MixtureConfig, available

EMPTY_DRAWS = 1000  # in turn from one source: it has nothing to say
LOOKED_AT = 200  # pictures of each source, to tell which tasks it has data for


@dataclass(frozen=True, eq=False)
class Source:
    """pictures; weight: how often they are drawn beside other sources; tasks: what they are asked, of TASKS."""

    pictures: PictureSet
    weight: float = 1.0
    tasks: tuple[str, ...] = TASKS


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
    """Pictures of one batch come from one source and have one padded size."""

    system: System
    sources: Sequence[Source]
    mixture: MixtureConfig
    _alike: dict[int, dict[int, list[int]]] = field(default_factory=dict, init=False, repr=False)

    def drawn(self, stage: StageConfig, seed: int, steps: int = 0, process: int = 0) -> Iterator[Batch]:
        """Random batches without end. Another start for each process and for each step a run resumes at.

        Raises ConfigError for a source of which nothing can be said.
        """
        mixture = Mixture(stage.mixture or self.mixture, hash((seed, steps, process)))
        empty = [0] * len(self.sources)
        while True:
            (number,) = mixture.rng.choices(range(len(self.sources)), [s.weight for s in self.sources])
            source = self.sources[number]
            batch = self._batch(source, self._drawn(number, stage.pictures, mixture.rng), mixture, stage.conversations)
            empty[number] = 0 if batch is not None else empty[number] + 1
            if batch is not None:
                yield batch
            elif empty[number] == EMPTY_DRAWS:
                wanted = [t for t in _wanted(self.system, mixture.config) if t in source.tasks] or ["any of its tasks"]
                raise ConfigError(
                    f"train: {source.pictures.folder} has nothing for {', '.join(wanted)}; leave it out, or give it "
                    "another mixture"
                )

    def fixed(self, stage: StageConfig, pictures: int) -> Iterator[Batch]:
        """The same conversations about the first `pictures` of each source, every time."""
        mixture = Mixture(stage.mixture or self.mixture, 0)
        for source in self.sources:
            seen = range(min(pictures, len(source.pictures)))
            for group in _of_one_size(source.pictures, self.system.backbone, seen):
                for start in range(0, len(group), stage.pictures):
                    batch = self._batch(source, group[start : start + stage.pictures], mixture, stage.conversations)
                    if batch is not None:
                        yield batch

    def lacking(self, stages: Iterable[StageConfig]) -> list[str]:
        """What the stages weight, or the answers hold, and no source has."""
        wanted = {task for stage in stages for task in _wanted(self.system, stage.mixture or self.mixture)}
        if isinstance(self.system, MvpLm) and self.system.with_caption:
            wanted.add("captions")
        for source in self.sources:
            for index in range(0, len(source.pictures), max(1, len(source.pictures) // LOOKED_AT)):
                there = available(source.pictures.facts(index))
                wanted -= {task for task in there if there[task] and (task in source.tasks or task == "captions")}
                if not wanted:
                    return []
        return sorted(wanted)

    def _drawn(self, number: int, count: int, rng: random.Random) -> list[int]:
        """A picture, and others of its padded size: each is drawn as often as any other of its source."""
        source = self.sources[number].pictures
        first = rng.randrange(len(source))
        if number not in self._alike:
            groups = _of_one_size(source, self.system.backbone, range(len(source)))
            self._alike[number] = {index: group for group in groups for index in group}
        alike = self._alike[number][first]
        return [first, *(alike[rng.randrange(len(alike))] for _ in range(count - 1))]

    def _batch(self, source: Source, indices: list[int], mixture: Mixture, each: int) -> Batch | None:
        """indices: of one padded size. Pictures that nothing is said of are left out."""
        kept: list[int] = []
        rows: list[int] = []
        pairs: list[tuple[Conversation, Truth]] = []
        for index in indices:
            geometry = source.pictures.geometry(self.system.backbone, index)
            drawn = mixture.draw(self.system, source.pictures, index, geometry, each, source.tasks)
            if drawn:
                rows += [len(kept)] * len(drawn)
                kept.append(index)
                pairs += drawn
        if not kept:
            return None
        return Batch(source.pictures, tuple(kept), tuple(rows), tuple(c for c, _ in pairs), tuple(t for _, t in pairs))


def _wanted(system: System, mixture: MixtureConfig) -> list[str]:
    return [task for task in system.tasks if getattr(mixture, task) > 0]


def _of_one_size(source: PictureSet, backbone: Backbone, indices: Sequence[int]) -> list[list[int]]:
    """The pictures by their padded size."""
    if len({backbone.geometry(size).padded for size in ((640, 480), (480, 640), (900, 90))}) == 1:
        return [list(indices)]  # it pads everything to one square: no picture needs to be opened
    groups: dict[Size, list[int]] = {}
    for index in indices:
        groups.setdefault(source.geometry(backbone, index).padded, []).append(index)
    return list(groups.values())
