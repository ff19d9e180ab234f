"""Calibrate on the validation scenes, then write the weights file and its cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from refseg_ros.models.compact import SHIPPED
from refseg_ros.models.compact.language import LanguageHead
from refseg_ros.models.compact.model import CompactHeads
from refseg_ros.models.weights import sha256
from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.features import CachedScenes
from refseg_ros.training.instances import evaluate
from refseg_ros.training.language import averaged, judge, read_phrases, tokens_of, trained_instances


def temperature_of(logits: Tensor, truth: Tensor) -> float:
    """The temperature with the least cross entropy, by a search over a grid."""
    grid = torch.logspace(-0.5, 1, 60)
    losses = torch.stack([torch.nn.functional.binary_cross_entropy_with_logits(logits / t, truth) for t in grid])
    return float(grid[losses.argmin()])


def thresholds_of(belief: Tensor, truth: Tensor) -> tuple[float, float]:
    """(accept, reject): accept keeps confident false accepts of absent phrases at 4 %, reject keeps 90 % of rejections.

    They stay within 0.3 .. 0.9 and are at least 0.02 apart.
    """
    absent, present = belief[truth == 0], belief[truth == 1]
    accept = float(torch.quantile(absent, 0.96).clamp(0.4, 0.9))
    reject = float(torch.quantile(present, 0.04).clamp(0.3, accept - 0.02))
    return accept, reject


def calibration_error(belief: Tensor, truth: Tensor, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins."""
    which = (belief * bins).long().clamp(max=bins - 1)
    total = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            total += float(inside.float().mean() * (belief[inside].mean() - truth[inside].mean()).abs())
    return total


def figures(rows: list[Any], temperature: float, accept: float, reject: float) -> dict[str, Any]:
    """By expression type: the share right, found masks given (the very set of instances, or a rejection)."""
    by_type: dict[str, list[bool]] = {}
    for kind, fits, meant, chosen, targets in rows:
        belief = float(torch.sigmoid(torch.tensor(fits / temperature)))
        picked = {int(o) for o, m in zip(chosen.owner, meant, strict=False) if m > 0.5}
        right = belief < reject if not targets else belief >= accept and picked == set(targets)
        by_type.setdefault(kind, []).append(right)
    return {kind: round(sum(v) / len(v), 3) for kind, v in sorted(by_type.items())}


def steps_of(checkpoint: Path) -> int:
    """Steps a stage has been trained for."""
    return int(torch.load(checkpoint, weights_only=False)["steps"])


def run(config: TrainingConfig, validation: CachedScenes, target: Path = SHIPPED) -> None:
    """Write <target>.safetensors, the JSON card and CARD.md."""
    heads = CompactHeads()
    heads.instances = trained_instances(config.work)
    language = LanguageHead()
    language.load_state_dict(averaged(config.work / "language.pt"))
    heads.language = language
    tokens = tokens_of(validation, heads.instances, config.work, "val")
    rows = judge(language, tokens, read_phrases(validation, config.work, "val", most_of_type=2), found=True)
    logits, truth = torch.tensor([r[1] for r in rows]), torch.tensor([float(bool(r[4])) for r in rows])
    temperature = temperature_of(logits, truth)
    belief = (logits / temperature).sigmoid()
    accept, reject = thresholds_of(belief, truth)
    measured = {
        "phrases": len(rows),
        "scenes": len(validation),
        "instances": {k: round(v, 3) for k, v in evaluate(heads.instances, validation, most=240).items()},
        "right_by_type": figures(rows, temperature, accept, reject),
        "absent_rejected": round(float((belief[truth == 0] < reject).float().mean()), 3),
        "absent_accepted": round(float((belief[truth == 0] >= accept).float().mean()), 3),
        "present_accepted": round(float((belief[truth == 1] >= accept).float().mean()), 3),
        "calibration_error": round(calibration_error(belief, truth), 3),
        "steps": {name: steps_of(config.work / f"{name}.pt") for name in ("instances", "language")},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in heads.state_dict().items()}, target)
    card = {
        "name": "compact",
        "sha256": sha256(target),
        "parameters": sum(p.numel() for p in heads.parameters()),
        "calibration": {
            "temperature": temperature,
            "thresholds": {"accept": accept, "reject": reject, "instance": 0.5},
        },
        "measured": measured,
    }
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (target.parent / "CARD.md").write_text(markdown(card, target), encoding="utf-8")
    print(json.dumps(card, indent=1))


def markdown(card: dict[str, Any], target: Path) -> str:
    """The model card people read."""
    m, megabytes = card["measured"], target.stat().st_size / 1e6
    found = m["instances"]
    rows = "\n".join(f"| {kind} | {share:.2f} |" for kind, share in m["right_by_type"].items())
    return f"""# compact

Referring segmentation of tabletop objects: instance masks once a frame, language over the instances per phrase.
{card["parameters"] / 1e6:.1f}M trained parameters ({megabytes:.1f} MB, half precision) on top of frozen
EfficientNet-Lite0 and all-MiniLM-L6-v2, which come from their own wheels and are not in the file.

## Measured
On {m["scenes"]} rendered validation scenes (320 x 240, sensor faults on), {m["phrases"]} phrases,
with found masks (not true ones):

| what | figure |
|---|---|
| mean best IoU of a true object | {found["iou"]:.2f} |
| objects found at IoU 0.5 | {found["recall"]:.2f} |
| masks an image that match nothing | {found["false"]:.2f} |
| absent phrases said to be ABSENT | {m["absent_rejected"]:.2f} |
| absent phrases said to be FOUND | {m["absent_accepted"]:.2f} |
| calibration error (10 bins, same scenes as the temperature) | {m["calibration_error"]:.3f} |

Right by expression type (the very set of instances, or the rejection):

| type | right |
|---|---|
{rows}

The thresholds were chosen on these same scenes, so the last four figures are optimistic. Nouns, colours and models
are the ones of training: nothing here measures words or objects never seen.

## Data and licences
Rendered scenes of household models: LIBERO assets (CC BY 4.0), HOPE groceries (CC BY-NC-SA 4.0), robosuite (MIT).
No model or texture is distributed here. The groceries' licence makes the weights
fit for research and demonstration only.

## Train it again
    python -m refseg_ros.sim.generate scenes/val 240 1000000 && python -m refseg_ros.sim.generate scenes/train 4000 0
    refseg train --config config/training/compact.yaml
"""
