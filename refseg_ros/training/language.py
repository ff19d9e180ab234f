"""Stage two: which instances a phrase means, and whether any; on true masks and on the ones stage one finds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from refseg_ros.models.compact.instances import InstanceHead
from refseg_ros.models.compact.language import LanguageHead, TextEncoder
from refseg_ros.models.compact.tokens import GEOMETRY, instance_tokens
from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.features import CachedScenes, normalised
from refseg_ros.training.instances import MIN_CELLS, iou, predict
from refseg_ros.training.loop import train

PHRASES_PER_SCENE = 4
NO_DEPTH = slice(5, GEOMETRY)
# Types are drawn equally often, though relations are many and all-of are few; what is hard to learn, more often.
DRAWN = {"relation": 2.0, "absent-relation": 2.0, "superlative": 1.5, "all-of": 1.5}


@dataclass(eq=False)
class TokenSet:
    """Instances of one scene: look (N, F) half, place (N, G), owner (N,): true object id, -1 for none."""

    look: Tensor
    place: Tensor
    owner: Tensor


def _tokens(scenes: CachedScenes, n: int, masks: Tensor, owner: Tensor) -> TokenSet:
    focal, cx, cy = scenes.rays[n].tolist()
    look, place = instance_tokens(
        masks.float(), [m[n : n + 1].float() for m in scenes.maps], normalised(scenes.image[n]),
        scenes.depth[n].float(), (focal, cx, cy),
    )  # fmt: skip
    return TokenSet(look.half(), place, owner)


@torch.no_grad()
def tokens_of(scenes: CachedScenes, head: InstanceHead, work: Path, name: str) -> list[list[TokenSet]]:
    """For each scene the true instances' tokens and those of the found masks; kept between runs."""
    path = work / f"tokens_{name}.pt"
    if path.exists():
        return torch.load(path, weights_only=False)
    head.eval()
    out = []
    for n in track(range(len(scenes)), description=f"instance tokens of {name}"):
        ids = scenes.ids[n]
        numbers = [i for i in ids.unique().tolist() if i >= 0 and int((ids == i).sum()) >= MIN_CELLS]
        true = torch.stack([ids == i for i in numbers]) if numbers else torch.zeros(0, *ids.shape, dtype=torch.bool)
        found = predict(head, scenes, n, use_depth=n % 4 != 0)
        owner = torch.full((len(found),), -1)
        if len(found) and numbers:
            overlap = torch.stack([iou(found, t) for t in true])  # (objects, found)
            best, which = overlap.max(0)
            owner = torch.where(best > 0.4, torch.tensor(numbers)[which], -1)
        out.append([_tokens(scenes, n, true, torch.tensor(numbers)), _tokens(scenes, n, found, owner)])
    torch.save(out, path)
    return out


@dataclass(eq=False)
class Phrases:
    """Every phrase of every scene in words the encoder has read: per scene (type, text, target ids)."""

    of_scene: list[list[tuple[str, str, frozenset[int]]]]
    states: dict[str, Tensor]


def read_phrases(scenes: CachedScenes, work: Path, name: str, most_of_type: int = 6) -> Phrases:
    """Choose phrases and encode each distinct text once; kept between runs."""
    path = work / f"phrases_{name}.pt"
    if path.exists():
        return torch.load(path, weights_only=False)
    rng = random.Random(0)
    of_scene, texts = [], set()
    for expressions in scenes.expressions:
        rows: list[tuple[str, str, frozenset[int]]] = []
        kinds: dict[str, int] = {}
        for e in rng.sample(expressions, len(expressions)):
            if len(e["phrases"]) > 1 or kinds.get(e["type"], 0) >= most_of_type:
                continue  # pairs are two phrases, and each stands here by itself
            kinds[e["type"]] = kinds.get(e["type"], 0) + 1
            targets = frozenset(e["targets"][0])
            text = e["phrases"][0].lower()  # as the model hears it, without the courtesies around it
            rows.append((e["type"], text, targets))
            texts.add(text)
        of_scene.append(rows)
    encoder, states, ordered = TextEncoder(), {}, sorted(texts, key=lambda t: (len(t), t))
    for start in track(range(0, len(ordered), 256), description=f"reading {len(ordered)} phrases"):
        batch = ordered[start : start + 256]
        words, valid = encoder(batch)
        for text, state, mask in zip(batch, words, valid, strict=True):
            states[text] = state[mask].half().clone()
    phrases = Phrases(of_scene, states)
    torch.save(phrases, path)
    return phrases


def collate(
    rows: list[tuple[TokenSet, str, frozenset[int]]], states: dict[str, Tensor]
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Padded inputs of LanguageHead, then the targets: meant (B, N) with -1 for padding, fits (B,)."""
    most = max(1, *(len(r[0].owner) for r in rows))
    look = torch.stack([F.pad(r[0].look.float(), (0, 0, 0, most - len(r[0].owner))) for r in rows])
    place = torch.stack([F.pad(r[0].place, (0, 0, 0, most - len(r[0].owner))) for r in rows])
    there = torch.stack([torch.arange(most) < len(r[0].owner) for r in rows])
    words = [states[r[1]].float() for r in rows]
    longest = max(len(w) for w in words)
    state = torch.stack([F.pad(w, (0, 0, 0, longest - len(w))) for w in words])
    valid = torch.stack([torch.arange(longest) < len(w) for w in words])
    meant = torch.full((len(rows), most), -1.0)
    for n, (tokens, _, targets) in enumerate(rows):
        meant[n, : len(tokens.owner)] = torch.tensor([float(int(o) in targets) for o in tokens.owner])
    fits = torch.tensor([float(bool(r[2])) for r in rows])
    return [look, place, there, state, valid], meant, fits


def grouped(phrases: Phrases) -> list[dict[str, list[tuple[str, str, frozenset[int]]]]]:
    """The phrases of each scene by type."""
    scenes = []
    for rows in phrases.of_scene:
        by_type: dict[str, list[tuple[str, str, frozenset[int]]]] = {}
        for row in rows:
            by_type.setdefault(row[0], []).append(row)
        scenes.append(by_type)
    return scenes


def draw(
    tokens: list[list[TokenSet]], by_type: list[dict[str, list[tuple[str, str, frozenset[int]]]]], rng: random.Random,
    config: TrainingConfig,
) -> list[tuple[TokenSet, str, frozenset[int]]]:
    """A batch: scenes at random, true or found instances at random, types by DRAWN; looks and places a little off."""
    rows: list[tuple[TokenSet, str, frozenset[int]]] = []
    while len(rows) < config.batch:
        n = rng.randrange(len(tokens))
        chosen = tokens[n][int(rng.random() < 0.6)]
        if not len(chosen.owner) or not by_type[n]:
            continue
        # A place that is 0 is one that is not known, and must stay so.
        place = chosen.place + 0.004 * torch.randn(chosen.place.shape) * (chosen.place != 0)
        if rng.random() < config.depth_dropout:
            place[:, NO_DEPTH] = 0
        look = chosen.look.float() * (1 + 0.05 * torch.randn(chosen.look.shape))
        varied = TokenSet(look, place, chosen.owner)
        seen, kinds = set(chosen.owner.tolist()), sorted(by_type[n])
        for kind in rng.choices(kinds, [DRAWN.get(k, 1.0) for k in kinds], k=PHRASES_PER_SCENE):
            _, text, targets = rng.choice(by_type[n][kind])
            if targets and not targets & seen:
                continue  # what was not found as an instance cannot be learnt from
            rows.append((varied, text, targets))
    return rows[: config.batch]


def run(config: TrainingConfig, scenes: CachedScenes, validation: CachedScenes) -> nn.Module:
    """Train the language head; its averaged weights. Needs the checkpoint of stage one."""
    instances = trained_instances(config.work)
    tokens = tokens_of(scenes, instances, config.work, "train")
    val_tokens = tokens_of(validation, instances, config.work, "val")
    phrases = read_phrases(scenes, config.work, "train")
    val_phrases = read_phrases(validation, config.work, "val", most_of_type=2)
    torch.manual_seed(config.seed)
    by_type = grouped(phrases)
    rng, head = random.Random(config.seed), LanguageHead()

    def step() -> dict[str, Tensor]:
        inputs, meant, fits = collate(draw(tokens, by_type, rng, config), phrases.states)
        meant_logits, fits_logits = head(*inputs)
        real = meant >= 0
        each = F.binary_cross_entropy_with_logits(meant_logits[real], meant[real], reduction="none")
        weight = torch.where(meant[real] > 0, 2.0, 1.0)
        return {"meant": (each * weight).mean() * 2, "fits": F.binary_cross_entropy_with_logits(fits_logits, fits)}

    return train(head, "language", config, step, lambda m: evaluate(m, val_tokens, val_phrases))  # type: ignore[arg-type]


@torch.no_grad()
def judge(
    head: nn.Module, tokens: list[list[TokenSet]], phrases: Phrases, found: bool
) -> list[tuple[str, float, Tensor, TokenSet, frozenset[int]]]:
    """Every validation phrase: (type, logit of "something fits", meant probabilities, tokens, targets)."""
    head.eval()
    out = []
    for sets, rows in zip(tokens, phrases.of_scene, strict=True):
        chosen = sets[int(found)]
        if not len(chosen.owner) or not rows:
            continue
        inputs, _, _ = collate([(chosen, text, targets) for _, text, targets in rows], phrases.states)
        meant, fits = head(*inputs)
        for (kind, _, targets), m, f in zip(rows, meant.sigmoid(), fits, strict=True):
            out.append((kind, float(f), m, chosen, targets))
    return out


def evaluate(head: nn.Module, tokens: list[list[TokenSet]], phrases: Phrases) -> dict[str, float]:
    """On found masks: exact sets right, absent phrases rejected, present ones accepted (at 0.5)."""
    exact, absent, present = [], [], []
    for _, fits, meant, chosen, targets in judge(head, tokens, phrases, found=True):
        if not targets:
            absent.append(fits < 0)
            continue
        present.append(fits > 0)
        picked = {int(o) for o, m in zip(chosen.owner, meant, strict=False) if m > 0.5}
        exact.append(picked == set(targets))
    return {
        "exact": sum(exact) / max(1, len(exact)),
        "rejected": sum(absent) / max(1, len(absent)),
        "accepted": sum(present) / max(1, len(present)),
    }


def trained_instances(work: Path) -> InstanceHead:
    """Stage one's averaged weights. Raises FileNotFoundError when stage one has not run."""
    head = InstanceHead()
    head.load_state_dict(averaged(work / "instances.pt"))
    return head.eval()


def averaged(checkpoint: Path) -> dict[str, Tensor]:
    """The moving average of a checkpoint, under the module's own names."""
    state = torch.load(checkpoint, weights_only=False)["average"]
    return {k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")}
