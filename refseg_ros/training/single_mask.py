"""Training of the baseline `single-mask`: phrases that name something, and the union of what they name.

Nothing absent is ever shown to it: it is what referring segmentation was before it could reject.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from refseg_ros.models.base import SINGLE_MASK_WEIGHTS
from refseg_ros.models.baselines.single_mask import SingleMaskHead
from refseg_ros.models.compact.backbone import Backbone, network_input
from refseg_ros.models.compact.language import TextEncoder
from refseg_ros.models.weights import save, sha256
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import load_scene
from refseg_ros.training.config import TrainingConfig, training_files
from refseg_ros.training.kept import kept, of_files
from refseg_ros.training.loop import averaged, train
from refseg_ros.training.shrinking import shrunk

STRIDE = 4
PHRASES_PER_SCENE = 10
VALIDATION_SCENES = 60


@dataclass(eq=False)
class MaskPhrases:
    """maps half (S, C, h, w) at four strides; ids int8 (S, H/4, W/4), -1 for no object; rows: (scene, text, ids meant);
    states: half (T, 384) of each text."""

    maps: list[Tensor]
    ids: Tensor
    rows: list[tuple[int, str, frozenset[int]]]
    states: dict[str, Tensor]


def build(folder: Path, most: int, seed: int = 0) -> MaskPhrases:
    """Encode up to `most` scenes of a folder, and phrases about each that mean something in it."""
    backbone, sensor, rng = Backbone(), SensorModel(), np.random.default_rng(seed)
    choice = random.Random(seed)
    columns: list[list[Tensor]] = [[], [], [], []]
    ids, rows = [], []
    paths = training_files(folder, most)
    for number, path in enumerate(track(paths, description=f"maps of {folder.name}")):
        scene = load_scene(path)
        image, _, inner = network_input(sensor.color(scene.rgb, rng), None)
        for column, level in zip(columns, backbone(torch.from_numpy(image)[None]), strict=True):
            column.append(level[0].half())
        ids.append(_small_ids(scene.instance_ids, inner, (image.shape[1], image.shape[2])))
        rows += [(number, text, targets) for text, targets in _phrases(scene.expressions, choice)]
    return MaskPhrases([torch.stack(c) for c in columns], torch.stack(ids), rows, _read({r[1] for r in rows}))


def _small_ids(instance_ids: np.ndarray, inner: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    out = np.full((shape[0] // STRIDE, shape[1] // STRIDE), -1, np.int8)
    size = (max(1, round(inner[0] / STRIDE)), max(1, round(inner[1] / STRIDE)))
    out[: size[1], : size[0]] = shrunk(instance_ids, size)
    return torch.from_numpy(out)


def _phrases(expressions: list[dict[str, Any]], choice: random.Random) -> list[tuple[str, frozenset[int]]]:
    """Some single phrases that name something, of different types before more of one."""
    fit = [e for e in expressions if len(e["phrases"]) == 1 and e["targets"][0] and not e.get("excluded")]
    seen: dict[str, int] = {}
    ranked: list[tuple[int, int, dict[str, Any]]] = []
    for e in choice.sample(fit, len(fit)):
        seen[e["type"]] = seen.get(e["type"], 0) + 1
        ranked.append((seen[e["type"]], len(ranked), e))
    chosen = [e for _, _, e in sorted(ranked, key=lambda r: r[:2])[:PHRASES_PER_SCENE]]
    return [(e["phrases"][0].lower(), frozenset(e["targets"][0])) for e in chosen]


def _read(texts: set[str]) -> dict[str, Tensor]:
    encoder, states, ordered = TextEncoder(), {}, sorted(texts, key=lambda t: (len(t), t))
    for start in track(range(0, len(ordered), 256), description=f"reading {len(ordered)} phrases"):
        words, valid = encoder(ordered[start : start + 256])
        for text, state, mask in zip(ordered[start : start + 256], words, valid, strict=True):
            states[text] = state[mask].half().clone()
    return states


def cached(folder: Path, work: Path, most: int) -> MaskPhrases:
    """build(), kept in `work` between runs."""
    made_of = {"files": of_files(training_files(folder, most)), "phrases": PHRASES_PER_SCENE, "stride": STRIDE}
    return kept(work / f"single_mask_{folder.name}_{most}.pt", made_of, lambda: build(folder, most))


def batch_of(data: MaskPhrases, chosen: list[int]) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Maps, words (B, T, 384), their validity (B, T) and true masks (B, H/4, W/4) of some rows."""
    rows = [data.rows[n] for n in chosen]
    index = torch.tensor([r[0] for r in rows])
    words = [data.states[r[1]].float() for r in rows]
    most = max(len(w) for w in words)
    states = torch.stack([F.pad(w, (0, 0, 0, most - len(w))) for w in words])
    valid = torch.tensor([[t < len(w) for t in range(most)] for w in words])
    true = torch.stack([torch.isin(data.ids[n], torch.tensor(sorted(t))) for (n, _, t) in rows]).float()
    return [m[index].float() for m in data.maps], states, valid, true


def _moved(
    batch: tuple[list[Tensor], Tensor, Tensor, Tensor], device: torch.device
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    maps, words, valid, true = batch
    return [m.to(device) for m in maps], words.to(device), valid.to(device), true.to(device)


def losses(head: nn.Module, data: MaskPhrases, chosen: list[int]) -> dict[str, Tensor]:
    """Cross entropy and Dice of one batch. head: a SingleMaskHead, as it is or wrapped."""
    maps, words, valid, true = _moved(batch_of(data, chosen), next(head.parameters()).device)
    logits = head(maps, words, valid)
    p = logits.sigmoid()
    dice = 1 - (2 * (p * true).sum((1, 2)) + 1) / (p.sum((1, 2)) + true.sum((1, 2)) + 1)
    return {"bce": 4 * F.binary_cross_entropy_with_logits(logits, true), "dice": dice.mean()}


@torch.no_grad()
def evaluate(head: nn.Module, data: MaskPhrases, most: int = 256) -> dict[str, float]:
    """Mean IoU over the first rows, at stride 4."""
    head.eval()
    found, device = [], next(head.parameters()).device
    step = max(1, len(data.rows) // most)
    for start in range(0, len(data.rows), 16 * step):
        chosen = list(range(start, min(start + 16 * step, len(data.rows)), step))
        maps, words, valid, true = _moved(batch_of(data, chosen), device)
        mask, real = head(maps, words, valid) > 0, true > 0
        union = (mask | real).sum((1, 2)).clamp(min=1)
        found += ((mask & real).sum((1, 2)) / union).tolist()
    return {"iou": float(np.mean(found))}


def run(config: TrainingConfig, target: Path = SINGLE_MASK_WEIGHTS) -> None:
    """Train, resuming, and write <target> with its card."""
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    data = cached(config.scenes / "train", config.work, config.most_scenes)
    validation = cached(config.scenes / "val", config.work, VALIDATION_SCENES)
    head = SingleMaskHead()

    def step(module: nn.Module) -> dict[str, Tensor]:
        return losses(module, data, [rng.randrange(len(data.rows)) for _ in range(config.batch)])

    train(head, "single_mask", config, step, lambda module: evaluate(module, validation))
    best = averaged(config.work / "single_mask.pt")
    head.load_state_dict(best)
    save({k: v.half().contiguous() for k, v in best.items()}, target)
    card = {
        "name": "single-mask", "sha256": sha256(target), "parameters": sum(p.numel() for p in head.parameters()),
        "scenes": len(data.ids), "phrases": len(data.rows), "minutes": config.minutes,
        "measured": evaluate(head, validation),
    }  # fmt: skip
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
