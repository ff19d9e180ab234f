"""From facts to conversations: which task, which phrases, in which order, with what is absent mixed in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.models.heads.mvp_lm.prompts import word_list
from refseg_ros.models.systems.box_decoder import BoxDecoder
from refseg_ros.models.systems.system import Conversation, System, Truth, WordListSystem
from refseg_ros.training.systems.facts import Facts, PictureSet

TASKS = ("sentences", "words", "panoptic", "captions", "presence", "naming")
ONCE = ("words", "panoptic", "captions")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """How often each task is drawn (weights, not shares), and what a conversation may hold.

    sentences: a few phrases; words: a word list of things; panoptic: one of things and stuff; captions; presence: yes
    or no of many phrases; naming: of many names. A system takes those of its own `tasks` only. absent: share of
    sentences about something absent; phrases: most in one conversation of a joint system; listed: most that presence is
    asked of, twice as many names; names: most in a word list; targets: most of one phrase.
    """

    sentences: float = 1.0
    words: float = 0.0
    panoptic: float = 0.0
    captions: float = 0.0
    presence: float = 0.0
    naming: float = 0.0
    absent: float = 0.3
    phrases: int = 3
    listed: int = 8
    names: int = 12
    targets: int = 8

    def __post_init__(self) -> None:
        weights = tuple(getattr(self, task) for task in TASKS)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"mixture: {', '.join(TASKS)} must be at least 0 and not all 0, not {weights}")
        if not 0 <= self.absent <= 1:
            raise ValueError(f"mixture.absent must be in [0, 1], not {self.absent}")
        for name in ("phrases", "listed", "names", "targets"):
            if getattr(self, name) < 1:
                raise ValueError(f"mixture.{name} must be at least 1, not {getattr(self, name)}")


def available(facts: Facts) -> dict[str, bool]:
    """Which of TASKS a picture has data for."""
    said, things = bool(facts.sentences), any(not s.stuff for s in facts.segments)
    return {
        "sentences": said, "presence": said, "words": things, "panoptic": any(s.stuff for s in facts.segments),
        "captions": bool(facts.captions), "naming": bool(facts.segments),
    }  # fmt: skip


@dataclass
class Mixture:
    """Draws conversations about pictures. State: its own random numbers, so that a run can be repeated."""

    config: MixtureConfig
    seed: int = 0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def draw(
        self, system: System, pictures: PictureSet, index: int, geometry: Geometry, count: int,
        tasks: Sequence[str] = TASKS,
    ) -> list[tuple[Conversation, Truth]]:
        """Up to `count` conversations about one picture, each of one of `tasks`; word lists and captions once."""
        facts = pictures.facts(index)
        there = available(facts)
        weights = {t: getattr(self.config, t) * there[t] for t in system.tasks if t in tasks}
        drawn = []
        for _ in range(count):
            if not any(weights.values()):
                break
            (task,) = self.rng.choices(list(weights), list(weights.values()))
            try:
                drawn.append(self._drawn(task, system, pictures, index, geometry, facts))
            except RequestError as error:
                if error.code is not ErrorCode.INSTRUCTION_UNREADABLE:
                    raise  # what users may not ask either is not taught
            if task in ONCE:
                weights[task] = 0.0  # another one would say the same
        return [d for d in drawn if d is not None]

    def _drawn(
        self, task: str, system: System, pictures: PictureSet, index: int, geometry: Geometry, facts: Facts
    ) -> tuple[Conversation, Truth] | None:
        if task in ("words", "panoptic"):
            return self._words(system, pictures, index, geometry, facts, task == "panoptic")
        if task == "captions":
            assert isinstance(system, BoxDecoder)
            return system.converse_to_caption(), self._truth(system, pictures, index, geometry, facts, [])
        if task == "naming":
            return self._naming(system, pictures, index, geometry, facts)
        return self._sentence(system, pictures, index, geometry, facts, task == "presence")

    def _sentence(
        self, system: System, pictures: PictureSet, index: int, geometry: Geometry, facts: Facts, presence: bool
    ) -> tuple[Conversation, Truth] | None:
        most = self.config.listed if presence else self.config.phrases if system.joint else 1
        wanted = self.rng.randint(1, most)
        chosen: dict[str, tuple[int, ...]] = {}
        for _ in range(4 * wanted):
            if len(chosen) >= wanted:
                break
            chosen |= self._phrases(facts, wanted - len(chosen))
        if not chosen:
            return None
        phrases = list(chosen)[:wanted]
        self.rng.shuffle(phrases)
        truth = self._truth(system, pictures, index, geometry, facts, [chosen[p] for p in phrases])
        if not all((m > 0.5).flatten(1).any(1).all() for m in truth.masks):
            return None  # a target without a cell of its own can be neither shown nor denied
        if presence:
            return self._listed(system, phrases), truth
        return system.converse(phrases), truth

    def _phrases(self, facts: Facts, most: int) -> dict[str, tuple[int, ...]]:
        """One sentence's phrases: a kind is drawn first, so that rare kinds are taught as often as common ones."""
        absent = self.rng.random() < self.config.absent
        kinds: dict[str, list[dict[str, tuple[int, ...]]]] = {}
        for sentence in facts.sentences:
            pairs = dict(zip(sentence.phrases, sentence.targets, strict=True))
            fits = all(not t for t in pairs.values()) == absent and len(pairs) <= most
            if fits and all(len(t) <= self.config.targets for t in pairs.values()):
                kinds.setdefault(sentence.kind, []).append(pairs)
        return dict(self.rng.choice(kinds[self.rng.choice(sorted(kinds))])) if kinds else {}

    def _naming(
        self, system: System, pictures: PictureSet, index: int, geometry: Geometry, facts: Facts
    ) -> tuple[Conversation, Truth] | None:
        """Half of the names fit something, the others nothing: what is there in a picture before it is related."""
        held: dict[str, list[int]] = {}
        for segment in facts.segments:
            for name in dict.fromkeys((segment.name, *segment.also, *([segment.said] * bool(segment.said)))):
                held.setdefault(name, []).append(segment.number)
        absent = [n for n in pictures.names if n not in held and n not in facts.unsure]
        present = self.rng.sample(list(held), min(len(held), self.config.listed))
        names = present + self.rng.sample(absent, min(len(absent), self.config.listed))
        self.rng.shuffle(names)
        truth = self._truth(system, pictures, index, geometry, facts, [held.get(n, []) for n in names])
        # As in sentences: what has no cell of its own can be neither shown nor denied.
        kept = [n for n, mask in enumerate(truth.masks) if bool((mask > 0.5).flatten(1).any(1).all())]
        if not kept:
            return None
        truth = replace(truth, masks=tuple(truth.masks[n] for n in kept))
        return self._listed(system, [names[n] for n in kept]), truth

    def _listed(self, system: System, phrases: Sequence[str]) -> Conversation:
        assert isinstance(system, BoxDecoder)
        return system.converse_about_presence(phrases)

    def _words(
        self, system: System, pictures: PictureSet, index: int, geometry: Geometry, facts: Facts, panoptic: bool
    ) -> tuple[Conversation, Truth]:
        segments = [s for s in facts.segments if panoptic or not s.stuff]
        stuff_names = pictures.stuff | {s.name for s in facts.segments if s.stuff}
        taken = {*facts.unsure, *(name for s in facts.segments for name in (s.name, *s.also))}
        present = list(dict.fromkeys(s.name for s in segments))
        present = self.rng.sample(present, min(len(present), self.config.names))
        others = [n for n in pictures.names if n not in taken]
        names = word_list(present, [*present, *others], self.config.names, self.rng)
        flags = tuple(n in stuff_names for n in names)
        assert isinstance(system, WordListSystem)
        conversation = system.converse_about_words(names, flags if panoptic else ())
        numbers = [tuple(s.number for s in segments if s.name == name) for name in names]
        truth = self._truth(system, pictures, index, geometry, facts, numbers, flags)
        return conversation, truth

    def _truth(
        self, system: System, pictures: PictureSet, index: int, geometry: Geometry, facts: Facts,
        numbers: Sequence[Sequence[int]], stuff: tuple[bool, ...] = (),
    ) -> Truth:
        flat = [n for row in numbers for n in row]
        masks = pictures.masks(index, flat, geometry, system.mask_stride)
        split = masks.split([len(row) for row in numbers]) if flat else tuple(masks for _ in numbers)
        caption = self.rng.choice(facts.captions) if facts.captions else ""
        return Truth(tuple(_left_to_right(m) for m in split), geometry, caption, stuff)  # fmt: skip


def _left_to_right(masks_nhw: torch.Tensor) -> torch.Tensor:
    """In the order of their centres' columns: the order in which several targets are named."""
    if len(masks_nhw) < 2:
        return masks_nhw
    columns = torch.arange(masks_nhw.shape[2], dtype=masks_nhw.dtype)
    centre = (masks_nhw.sum(1) * columns).sum(1) / masks_nhw.sum((1, 2)).clamp(min=1e-6)
    return masks_nhw[centre.argsort()]
