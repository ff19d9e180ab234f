"""Whether MVP-LM's head learns by itself, and what a phrase costs: compact scale, rendered scenes, no language model.

    python -m refseg_ros.sim.generate SCENES/train 1600 0; python -m refseg_ros.sim.generate SCENES/val 150 1000000
    python bench/mvp_lm_head.py --scenes SCENES --minutes 10 --json out/bench/mvp_lm_head.json

In place of language states stand averaged MiniLM states: of a name or a sentence as its text, of all of them together
as <PER>. Images are frozen EfficientNet-Lite0 maps, worked out once. Every step teaches one word list with stuff and
some sentences about each of a few images. Figures are on the validation scenes at 320 x 240: referring on expressions
with one target (best query), the shares of absent and present ones rejected at a threshold fitted on the other half of
the scenes (5 % of present ones stated), word lists over the whole vocabulary. Times are CPU time of one thread, median;
"further" is a phrase in a batch of about ten.
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from rich.progress import track
from torch import Tensor

from refseg_ros.evaluation.calibration import ErrorRates, conformal_band
from refseg_ros.evaluation.mask_ap import MaskAveragePrecision, NamedMask
from refseg_ros.evaluation.metrics import without_nan
from refseg_ros.evaluation.panoptic import PanopticMap, PanopticQuality
from refseg_ros.models.compact.backbone import Backbone, network_input
from refseg_ros.models.compact.language import TextEncoder
from refseg_ros.models.heads.mvp_lm import (
    Instruction,
    LossWeights,
    MVPLMHead,
    Target,
    Task,
    average_spans,
    compact,
    losses,
    target_of,
)
from refseg_ros.models.heads.mvp_lm.encoded import EncodedImages
from refseg_ros.models.heads.mvp_lm.perception import instances, panoptic, refer_scores
from refseg_ros.models.heads.mvp_lm.prompts import word_list
from refseg_ros.sim.catalogue import CATALOGUE
from refseg_ros.sim.panoptic import segments
from refseg_ros.sim.pool import STUFF
from refseg_ros.sim.stored import load_scene

LANGUAGE, SIZE, CELL, SEEN = 384, (240, 320), 4, 12
THINGS = sorted({entry.noun for entry in CATALOGUE.values()})
KINDS = 12


@dataclass(frozen=True, eq=False)
class Picture:
    """maps: half, (C, h, w) each; ids uint16 (240, 320) with the names of its segments; said: (text, wanted ids)."""

    maps: list[Tensor]
    ids: np.ndarray
    names: dict[int, str]
    said: list[tuple[str, list[int]]]


def read(texts: list[str]) -> dict[str, Tensor]:
    """Averaged MiniLM states of each text."""
    encoder, ordered = TextEncoder(), sorted(set(texts), key=len)
    out: dict[str, Tensor] = {}
    for start in track(range(0, len(ordered), 64), description=f"{len(ordered)} texts"):
        some = ordered[start : start + 64]
        states, valid = encoder(some)
        out |= dict(zip(some, average_spans(states, valid[:, None])[:, 0], strict=True))
    return out


def prepared(scenes: Path) -> tuple[list[Picture], list[Picture], dict[str, Tensor]]:
    """Pictures for training and validation, and the states of all texts; kept beside the scenes between runs."""
    kept = scenes / "mvp_lm_bench.pt"
    if not kept.exists():
        backbone, rng = Backbone(), random.Random(0)
        train, val = (load(scenes / name, backbone, rng) for name in ("train", "val"))
        texts = read([*THINGS, *STUFF, *(t for p in (*train, *val) for t, _ in p.said)])
        torch.save(([vars(p) for p in train], [vars(p) for p in val], texts), kept)
    train, val, texts = torch.load(kept, weights_only=False)
    return [Picture(**p) for p in train], [Picture(**p) for p in val], texts


@dataclass(frozen=True)
class Texts:
    """Averaged MiniLM states by text, as instructions."""

    known: dict[str, Tensor]

    def words(self, lists: list[list[str]]) -> Instruction:
        most = max(len(names) for names in lists)
        phrases, there = torch.zeros(len(lists), most, LANGUAGE), torch.zeros(len(lists), most, dtype=torch.bool)
        stuff = torch.zeros_like(there)
        for row, names in enumerate(lists):
            phrases[row, : len(names)] = torch.stack([self.known[n] for n in names])
            there[row, : len(names)] = True
            stuff[row, : len(names)] = torch.tensor([n in STUFF for n in names])
        return Instruction(phrases, there, phrases.sum(1) / there.sum(1, keepdim=True), stuff)

    def sentences(self, texts: list[str]) -> Instruction:
        states = torch.stack([self.known[t] for t in texts])
        return Instruction(states[:, None], torch.ones(len(texts), 1, dtype=torch.bool), states)


def load(folder: Path, backbone: Backbone, rng: random.Random) -> list[Picture]:
    pictures = []
    for path in track(sorted(folder.glob("scene_*.npz")), description=f"features of {folder.name}"):
        scene = load_scene(path)
        ids, listed = segments(scene)
        image, _, _ = network_input(scene.rgb, None)
        maps = [m[0].half() for m in backbone(torch.from_numpy(image)[None])]
        by_kind: dict[str, list[Any]] = {}
        for e in scene.expressions:
            if len(e["phrases"]) == 1:
                by_kind.setdefault(e["type"], []).append(e)
        said = []
        for kind in by_kind.values():
            said += [(e["text"], [i + 1 for i in e["targets"][0]]) for e in rng.sample(kind, min(2, len(kind)))]
        names = {s["id"]: s["name"] for s in listed if np.count_nonzero(ids == s["id"]) >= SEEN}
        pictures.append(Picture(maps, ids, names, rng.sample(said, min(KINDS, len(said)))))
    return pictures


def shares(picture: Picture, wanted: list[int]) -> Tensor:
    """Share of each 4 x 4 cell that each segment covers, (N, 64, 80): the picture lies above 4 rows of padding."""
    masks = torch.zeros(len(wanted), SIZE[0] // CELL + 4, SIZE[1] // CELL)
    for n, number in enumerate(wanted):
        mask = (picture.ids == number).astype(np.float32)
        masks[n, : SIZE[0] // CELL] = torch.from_numpy(
            cv2.resize(mask, (SIZE[1] // CELL, SIZE[0] // CELL), interpolation=cv2.INTER_AREA)
        )
    return masks


def teachable(picture: Picture, wanted: list[int], labels: list[int], stuff: list[bool]) -> Target:
    """What is visible in at least one cell by more than half."""
    masks = shares(picture, wanted)
    keep = [n for n in range(len(wanted)) if bool((masks[n] > 0.5).any())]
    return target_of(masks[keep], [labels[n] for n in keep], [stuff[n] for n in keep])


def to_image(logits: Tensor) -> Tensor:
    big = torch.nn.functional.interpolate(logits[None], scale_factor=CELL, mode="bilinear", align_corners=False)[0]
    return big[:, : SIZE[0], : SIZE[1]]


def inside(count: int) -> Tensor:
    known = torch.ones(count, SIZE[0] // CELL + 4, SIZE[1] // CELL, dtype=torch.bool)
    known[:, SIZE[0] // CELL :] = False
    return known


def step(
    net: MVPLMHead, batch: list[Picture], texts: Texts, rng: random.Random, words: bool, sentences: int,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """Losses of one word list (with `words`) and of `sentences` expressions for each picture."""
    maps = [torch.stack(level).float() for level in zip(*(p.maps for p in batch), strict=True)]
    images = net.encode(maps, inside(len(batch)))
    out: dict[str, Tensor] = {}
    if words:
        out |= {f"words {k}": v for k, v in word_losses(net, images, batch, texts, rng, weights).items()}
    if sentences:
        chosen = [(n, *said) for n, p in enumerate(batch) for said in rng.sample(p.said, min(sentences, len(p.said)))]
        wanted = [teachable(batch[n], ids, [0] * len(ids), [False] * len(ids)) for n, _, ids in chosen]
        said, where = texts.sentences([t for _, t, _ in chosen]), torch.tensor([n for n, _, _ in chosen])
        spoken = losses(net.decode(images, said, Task.SENTENCE, where), wanted, weights=weights)
        out |= {f"sentence {k}": v for k, v in spoken.items()}
    return out


def word_losses(
    net: MVPLMHead, images: EncodedImages, batch: list[Picture], texts: Texts, rng: random.Random, weights: LossWeights
) -> dict[str, Tensor]:
    lists = [word_list(list(p.names.values()), [*THINGS, *STUFF], 20, rng) for p in batch]
    listed = []
    for picture, names in zip(batch, lists, strict=True):
        ids = list(picture.names)
        labels = [names.index(picture.names[i]) for i in ids]
        listed.append(teachable(picture, ids, labels, [picture.names[i] in STUFF for i in ids]))
    return losses(net.decode(images, texts.words(lists), Task.PANOPTIC, targets=listed), listed, weights=weights)


@torch.inference_mode()
def evaluate(net: MVPLMHead, pictures: list[Picture], texts: Texts) -> dict[str, Any]:
    net.eval()
    iou, reachable, believed = [], [], []
    quality, precision = PanopticQuality(STUFF), MaskAveragePrecision()
    times: dict[str, list[float]] = {"image": [], "phrase": [], "further": [], "words": []}
    names = [*THINGS, *STUFF]
    stuff = [name in STUFF for name in names]
    for number, picture in enumerate(pictures):
        maps = [m[None].float() for m in picture.maps]
        marks = [time.process_time()]
        images = net.encode(maps, inside(1))
        marks.append(time.process_time())
        output = net.decode(images, texts.words([names]), Task.PANOPTIC)
        answer, found = panoptic(output, 0, stuff, to_image), instances(output, 0, stuff, to_image, score=0.01)
        marks.append(time.process_time())
        net.decode(images, texts.sentences([picture.said[0][0]]), Task.SENTENCE)
        marks.append(time.process_time())
        everything = texts.sentences([t for t, _ in picture.said])
        spoken = net.decode(images, everything, Task.SENTENCE, torch.zeros(len(picture.said), dtype=torch.long))
        scores = refer_scores(spoken)
        marks.append(time.process_time())
        spent = np.diff(marks) * 1e3
        for key, value in zip(("image", "words", "phrase"), spent, strict=False):
            times[key].append(value)
        times["further"].append(spent[3] / len(picture.said))
        ids = answer.ids_hw.numpy()
        said = PanopticMap(ids, {n: names[s.phrase] for n, s in enumerate(answer.segments, 1)})
        true = np.where(np.isin(picture.ids, list(picture.names)), picture.ids, 0).astype(np.int64)
        quality.update(said, PanopticMap(true, picture.names))
        precision.update(
            [NamedMask(names[f.phrase], f.mask_hw.numpy(), f.score) for f in found if f.mask_hw is not None],
            [NamedMask(name, true == i) for i, name in picture.names.items() if name not in STUFF],
            (SIZE[1], SIZE[0]),
        )
        for row, (_, wanted) in enumerate(picture.said):
            believed.append((float(scores[row].max()), bool(wanted), number))
            if len(wanted) == 1 and wanted[0] in picture.names:
                masks = (to_image(spoken.answer.mask_logits(row)) > 0).numpy()
                truth = picture.ids == wanted[0]
                overlap = (masks & truth).sum((1, 2)) / np.maximum((masks | truth).sum((1, 2)), 1)
                iou.append(overlap[int(scores[row].argmax())])
                reachable.append(overlap.max())
    score, truth, picture_of = (np.array(column) for column in zip(*believed, strict=True))
    half = picture_of % 2 == 0
    rates = ErrorRates(false_accept=0.5, false_reject=0.05)
    threshold = conformal_band(score[half], truth[half], picture_of[half], rates).reject
    return {
        "referring_mean_IoU": float(np.mean(iou)), "best_query_mean_IoU": float(np.mean(reachable)),
        "Pr@0.5": float(np.mean(np.array(iou) > 0.5)), "expressions": len(iou),
        "present_rejected": float(np.mean(score[~half & truth] < threshold)),
        "absent_rejected": float(np.mean(score[~half & ~truth] < threshold)),
        **without_nan(quality.compute()), **without_nan(precision.compute()),
        "cpu_ms": {key: float(np.median(v)) for key, v in times.items()},
    }  # fmt: skip


def main(
    scenes: Annotated[Path, typer.Option(help="Folder with train/ and val/ that hold stuff ids.")],
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    minutes: Annotated[float, typer.Option(help="Of CPU time, so that a busy machine does not matter.")] = 10.0,
    weights: Annotated[Path | None, typer.Option(help="Where to keep the averaged weights.")] = None,
    images: int = 3,
    words: bool = True,
    sentences: int = 5,
    centres: Annotated[float, typer.Option(help="Weight of our lesson for tokens; 0 as published.")] = 2.0,
    queries: int = 30,
    query_selection: bool = True,
    base_queries: bool = True,
    learning_rate: float = 6e-4,
    seed: int = 0,
) -> None:
    """Train for some minutes and report."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    train, val, known = prepared(scenes)
    texts = Texts(known)
    switches = {"queries": queries, "query_selection": query_selection, "base_queries": base_queries}
    net = MVPLMHead(compact(LANGUAGE, **switches))
    optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.05)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    began, steps, curve, running = time.process_time(), 0, [], None
    while (share := (time.process_time() - began) / 60 / minutes) < 1:
        rate = learning_rate * min(1, (steps + 1) / 50) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = step(net.train(), rng.sample(train, images), texts, rng, words, sentences, LossWeights(centres=centres))
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(net)
        steps += 1
        value = {k: float(v.detach()) for k, v in parts.items()} | {"total": float(total.detach())}
        running = value if running is None else {k: 0.95 * running[k] + 0.05 * v for k, v in value.items()}
        if steps % 50 == 0:
            curve.append({"step": steps, "minutes": share * minutes, **running})
            print(f"step {steps}, {share * minutes:.1f} min: loss {running['total']:.1f}", flush=True)
    trained = average.module
    assert isinstance(trained, MVPLMHead)
    figures = evaluate(trained, val, texts)
    figures |= {"steps": steps, "minutes": minutes, "parameters": sum(p.numel() for p in net.parameters())}
    if weights is not None:
        torch.save(trained.state_dict(), weights)
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps({**figures, "curve": curve}, indent=1))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    typer.run(main)
