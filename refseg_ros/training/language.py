"""Which instances a phrase means, and whether any: stage `reading` on true masks, stage `language` on found ones, too.

Reading needs nothing of stage one, so the two run side by side.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.language import LanguageHead, LanguageOutput
from refseg_ros.training.config import TrainingConfig, training_files
from refseg_ros.training.instances import trained_instances
from refseg_ros.training.looks import Looks, as_asked
from refseg_ros.training.loop import averaged, processes, seed_of, train
from refseg_ros.training.phrases import Asked, Phrases, grouped, read_phrases
from refseg_ros.training.starting import starting_heads
from refseg_ros.training.tokens import TokenSet, found_tokens, true_tokens

PHRASES_PER_SCENE = 4
FOUND = 0.6  # share of what is taught on found masks, once there are any
# What is hard to learn is drawn more often than the rest. To compare things has to be a large part of what is taught:
# with a tenth of all phrases, "the leftmost mug" was any mug after 9,000 steps; with most of them it took 200.
DRAWN = {
    "superlative": 8.0, "ordinal": 8.0, "relation": 3.0, "absent-relation": 4.0, "size": 4.0, "negation": 2.0,
    "all-of": 1.5, "between": 1.5, "container": 1.5,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Truth:
    """meant (B, N): 1, 0, or -1 for padding; mentioned (B, N, 2): named and anchor, -1 where not known; fits (B,)."""

    meant: Tensor
    mentioned: Tensor
    fits: Tensor


def collate(rows: list[tuple[TokenSet, Asked]], states: dict[str, Tensor]) -> tuple[list[Tensor], Truth]:
    """Padded inputs of LanguageHead, and what is true."""
    most = max(1, *(len(r[0].owner) for r in rows))
    look = torch.stack([F.pad(r[0].look.float(), (0, 0, 0, most - len(r[0].owner))) for r in rows])
    place = torch.stack([F.pad(r[0].place, (0, 0, 0, most - len(r[0].owner))) for r in rows])
    there = torch.stack([torch.arange(most) < len(r[0].owner) for r in rows])
    words = [states[r[1].text].float() for r in rows]
    longest = max(len(w) for w in words)
    state = torch.stack([F.pad(w, (0, 0, 0, longest - len(w))) for w in words])
    valid = torch.stack([torch.arange(longest) < len(w) for w in words])
    meant, mentioned = torch.full((len(rows), most), -1.0), torch.full((len(rows), most, 2), -1.0)
    for n, (tokens, asked) in enumerate(rows):
        owners = tokens.owner.tolist()
        meant[n, : len(owners)] = torch.tensor([float(o in asked.targets) for o in owners])
        if asked.named is not None:
            named = [-1.0 if o in asked.arguable else float(o in asked.named) for o in owners]
            anchor = [float(o in asked.anchors) for o in owners]
            mentioned[n, : len(owners)] = torch.tensor([named, anchor]).T
    fits = torch.tensor([float(bool(r[1].targets)) for r in rows])
    return [look, place, there, state, valid], Truth(meant, mentioned, fits)


def losses(output: LanguageOutput, truth: Truth) -> dict[str, Tensor]:
    """What is meant, whether anything fits, and what is mentioned on the way to it."""
    device = output.meant.device
    meant, mentioned, fits = truth.meant.to(device), truth.mentioned.to(device), truth.fits.to(device)
    real, known = meant >= 0, mentioned >= 0
    each = F.binary_cross_entropy_with_logits(output.meant[real], meant[real], reduction="none")
    weight = torch.where(meant[real] > 0, 2.0, 1.0)
    # A sum over a constant: where nothing is known, that is no loss, and not none at all.
    apart = F.binary_cross_entropy_with_logits(output.mentioned[known], mentioned[known], reduction="sum")
    return {
        "meant": (each * weight).mean() * 2,
        "fits": F.binary_cross_entropy_with_logits(output.fits, fits),
        "mentioned": apart / known.sum().clamp(min=1),
    }


def draw(
    true: list[list[TokenSet]], found: list[TokenSet], by_type: list[dict[str, list[Asked]]], looks: Looks,
    rng: random.Random, config: TrainingConfig,
) -> list[tuple[TokenSet, Asked]]:
    """A batch: scenes at random, true or found instances at random, types by DRAWN; looks and places are
    varied.

    found: empty before stage one is done.
    """  # fmt: skip
    rows: list[tuple[TokenSet, Asked]] = []
    while len(rows) < config.batch:
        n = rng.randrange(len(true))
        chosen = found[n] if found and rng.random() < FOUND else rng.choice(true[n])
        if not len(chosen.owner) or not by_type[n]:
            continue
        varied, stranger = looks.varied(chosen, rng, config.depth_dropout)
        seen, kinds = set(chosen.owner.tolist()), sorted(by_type[n])
        for kind in rng.choices(kinds, [DRAWN.get(k, 1.0) for k in kinds], k=PHRASES_PER_SCENE):
            asked = as_asked(rng.choice(by_type[n][kind]), stranger)
            if asked is None or (asked.targets and not asked.targets & seen):
                continue  # what was not found as an instance cannot be learnt from
            rows.append((varied, asked))
    return rows[: config.batch]


def read(config: TrainingConfig) -> None:
    """Stage `reading`: on true masks; <work>/reading.pt holds it."""
    teach("reading", config, starting_heads(config).language, lessons(config, found=False))


def run(config: TrainingConfig) -> None:
    """Stage `language`: from what `reading` came to, on found masks, too; <work>/language.pt holds it."""
    head = LanguageHead()
    head.load_state_dict(averaged(config.work / "reading.pt"))
    teach("language", config, head, lessons(config, found=True))


@dataclass(frozen=True, eq=False)
class Lessons:
    """true: by scene the true instances in several looks; found: by scene the found ones, or empty; said: the phrases;
    judged, asked: the instances and phrases of the validation scenes."""

    true: list[list[TokenSet]]
    found: list[TokenSet]
    said: Phrases
    judged: list[TokenSet]
    asked: Phrases


def lessons(config: TrainingConfig, found: bool) -> Lessons:
    """What the scenes teach. found: masks of stage one, too, whose checkpoint must be there; judged are they then."""
    with processes().main_process_first():  # it computes what the others then read
        return _lessons(config, found)


def _lessons(config: TrainingConfig, found: bool) -> Lessons:
    train_files, val_files = (training_files(config.scenes / split, config.most_scenes) for split in ("train", "val"))
    true = true_tokens(train_files, config.work, "train")
    seen: list[TokenSet] = []
    if found:
        instances = trained_instances(config.work)
        seen = found_tokens(train_files, instances, config.work, "train")
        judged = found_tokens(val_files, instances, config.work, "val")
    else:
        judged = [sets[0] for sets in true_tokens(val_files, config.work, "val")]
    said = read_phrases(train_files, config.work, "train", slips=True)
    return Lessons(true, seen, said, judged, read_phrases(val_files, config.work, "val", most_of_type=2))


def teach(
    name: str, config: TrainingConfig, head: LanguageHead, about: Lessons, without: frozenset[str] = frozenset()
) -> None:
    """Train a head; <config.work>/<name>.pt holds it. without: types of phrases that are not taught."""
    torch.manual_seed(config.seed)
    rng = random.Random(seed_of(config, config.work / f"{name}.pt"))
    by_type = [{k: v for k, v in kinds.items() if k not in without} for kinds in grouped(about.said)]
    looks = Looks.of(about.true)
    head.familiar.measure(looks.usual())

    def step(module: nn.Module) -> dict[str, Tensor]:
        device = next(module.parameters()).device
        inputs, truth = collate(draw(about.true, about.found, by_type, looks, rng, config), about.said.states)
        return losses(module(*(t.to(device) for t in inputs)), truth)

    train(head, name, config, step, lambda module: evaluate(module, about.judged, about.asked))


@dataclass(frozen=True, eq=False)
class Judged:
    """A validation phrase. fits: the logit of "something fits"; picked: owners of the instances meant, -1 for a mask
    that is no thing."""

    scene: int
    type: str
    fits: float
    picked: frozenset[int]
    targets: frozenset[int]


@torch.no_grad()
def judge(head: nn.Module, tokens: list[TokenSet], phrases: Phrases, instance: float = 0.5) -> list[Judged]:
    """What the head says to every phrase of every scene. instance: from which probability on a thing is meant."""
    head.eval()
    device = next(head.parameters()).device
    out = []
    for number, (chosen, rows) in enumerate(zip(tokens, phrases.of_scene, strict=True)):
        if not len(chosen.owner) or not rows:
            continue
        inputs, _ = collate([(chosen, asked) for asked in rows], phrases.states)
        said = head(*(t.to(device) for t in inputs))
        for asked, m, f in zip(rows, said.meant.cpu(), said.fits.cpu(), strict=True):
            picked = frozenset(int(o) for o, share in zip(chosen.owner, m.sigmoid(), strict=False) if share > instance)
            out.append(Judged(number, asked.type, float(f), picked, asked.targets))
    return out


def evaluate(head: nn.Module, tokens: list[TokenSet], phrases: Phrases) -> dict[str, float]:
    """Exact sets right, absent phrases rejected, present ones accepted (at 0.5); `right` is the mean of the kinds'."""
    rows = judge(head, tokens, phrases)
    absent, present = [r for r in rows if not r.targets], [r for r in rows if r.targets]
    kinds: dict[str, list[bool]] = {}
    for r in rows:
        kinds.setdefault(r.type, []).append(r.picked == r.targets and r.fits > 0 if r.targets else r.fits < 0)
    return {
        "right": sum(sum(v) / len(v) for v in kinds.values()) / max(1, len(kinds)),
        "exact": sum(r.picked == r.targets for r in present) / max(1, len(present)),
        "relation": _share(kinds.get("relation", [])),
        "ordinal": _share(kinds.get("ordinal", [])),
        "rejected": sum(r.fits < 0 for r in absent) / max(1, len(absent)),
        "accepted": sum(r.fits > 0 for r in present) / max(1, len(present)),
    }


def _share(right: list[bool]) -> float:
    return sum(right) / len(right) if right else float("nan")
