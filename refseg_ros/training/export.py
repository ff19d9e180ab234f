"""Calibrate on the validation scenes, then write the weights file and its cards."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refseg_ros.evaluation.calibration import Calibration, ErrorRates, calibrate, held_out_figures, sigmoid
from refseg_ros.models.compact import SHIPPED
from refseg_ros.models.compact.backbone import Backbone
from refseg_ros.models.compact.doubt import often_read
from refseg_ros.models.compact.language import LanguageHead
from refseg_ros.models.compact.model import CompactHeads
from refseg_ros.models.weights import save, sha256
from refseg_ros.training.config import TrainingConfig, training_files
from refseg_ros.training.instances import evaluate, trained_instances
from refseg_ros.training.language import Judged, judge
from refseg_ros.training.loop import averaged, steps_of
from refseg_ros.training.phrases import Phrases, read_phrases
from refseg_ros.training.pictures import plain
from refseg_ros.training.tokens import TokenSet, found_tokens

RATES = ErrorRates(false_accept=0.02, false_reject=0.025)
THRESHOLDS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # of an instance: higher ones leave too much without any


def figures(rows: list[Judged], calibration: Calibration) -> dict[str, Any]:
    """By expression type: the share right, found masks given (the very set of instances, or a rejection)."""
    by_type: dict[str, list[bool]] = {}
    for row in rows:
        belief = float(sigmoid([row.fits / calibration.temperature])[0])
        accepted = belief >= calibration.band.accept and row.picked == row.targets
        by_type.setdefault(row.type, []).append(accepted if row.targets else belief < calibration.band.reject)
    return {kind: round(sum(v) / len(v), 3) for kind, v in sorted(by_type.items())}


def instance_threshold(language: LanguageHead, tokens: list[TokenSet], phrases: Phrases) -> float:
    """From which probability on a thing is meant: where the very set is named most often, in the mean of the types."""
    exact = {}
    for threshold in THRESHOLDS:
        by_type: dict[str, list[bool]] = {}
        for row in judge(language, tokens, phrases, threshold):
            if row.targets:
                by_type.setdefault(row.type, []).append(row.picked == row.targets)
        exact[threshold] = sum(sum(v) / len(v) for v in by_type.values())
    return max(exact, key=lambda t: exact[t])


def run(config: TrainingConfig, target: Path = SHIPPED) -> None:
    """Write <target>.safetensors, the JSON card and CARD.md."""
    heads = CompactHeads()
    heads.instances = trained_instances(config.work)
    language = LanguageHead()
    language.load_state_dict(averaged(config.work / "language.pt"))
    heads.language = language
    validation = training_files(config.scenes / "val", config.most_scenes)
    tokens = found_tokens(validation, heads.instances, config.work, "val")
    phrases = read_phrases(validation, config.work, "val", most_of_type=2)
    language.eval()
    instance = instance_threshold(language, tokens, phrases)
    rows = judge(language, tokens, phrases, instance)
    arrays = [r.fits for r in rows], [float(bool(r.targets)) for r in rows], [r.scene for r in rows]
    calibration = calibrate(*arrays, rates=RATES)
    told = read_phrases(training_files(config.scenes / "train", config.most_scenes), config.work, "train", slips=True)
    masks = evaluate(heads.instances, Backbone(), [plain(p) for p in validation])
    measured = {
        "phrases": len(rows),
        "scenes": len(validation),
        "instances": {k: round(v, 3) for k, v in masks.items()},
        "right_by_type": figures(rows, calibration),
        "held_out": {k: round(v, 3) for k, v in held_out_figures(*arrays, rates=RATES).items()},
        "steps": {name: steps_of(config.work / f"{name}.pt") for name in ("instances", "reading", "language")},
    }
    save({k: v.half().contiguous() for k, v in heads.state_dict().items()}, target)
    card = {
        "name": "compact",
        "sha256": sha256(target),
        "parameters": sum(p.numel() for p in heads.parameters()),
        "calibration": {
            "temperature": calibration.temperature,
            "thresholds": {"accept": calibration.band.accept, "reject": calibration.band.reject, "instance": instance},
            "rates": asdict(RATES),
        },
        "words": " ".join(sorted(often_read(asked.text for rows in told.of_scene for asked in rows))),
        "measured": measured,
    }
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (target.parent / "CARD.md").write_text(markdown(card, target), encoding="utf-8")
    print(json.dumps(card, indent=1))


def markdown(card: dict[str, Any], target: Path) -> str:
    """The model card people read."""
    m, megabytes = card["measured"], target.stat().st_size / 1e6
    found, held, rates = m["instances"], m["held_out"], card["calibration"]["rates"]
    steps = m["steps"]
    rows = "\n".join(f"| {kind} | {share:.2f} |" for kind, share in m["right_by_type"].items())
    return f"""# compact

Referring segmentation of tabletop objects: instance masks once a frame, language over the instances per phrase.
{card["parameters"] / 1e6:.1f}M trained parameters ({megabytes:.1f} MB, half precision) on top of frozen
EfficientNet-Lite0 and all-MiniLM-L6-v2, which come from their own wheels and are not in the file.

## Measured
On {m["scenes"]} rendered validation scenes (640 x 480, sensor faults on), {m["phrases"]} phrases,
with found masks (not true ones):

| what | figure |
|---|---|
| mean best IoU of a true object | {found["iou"]:.2f} |
| objects found at IoU 0.5 | {found["recall"]:.2f} |
| masks an image that match nothing | {found["false"]:.2f} |
| absent phrases said to be FOUND | {held["false_accept"]:.3f} |
| absent phrases that end UNCERTAIN | {held["uncertain_absent"]:.3f} |
| present phrases said to be ABSENT | {held["false_reject"]:.3f} |
| present phrases that end UNCERTAIN | {held["uncertain_present"]:.3f} |
| calibration error (10 bins) | {held["ece"]:.3f} |

The last five: temperature and thresholds fitted on four fifths of these scenes, judged on the other fifth, five times
over. The thresholds that ship are fitted on all of them by conformal risk control: on new scenes of this kind, in
expectation, at most {rates["false_accept"]:.1%} of absent phrases are FOUND and {rates["false_reject"]:.1%} of present
ones ABSENT. The checkpoint and the instance threshold were chosen on the same scenes, which that rule knows nothing of;
looks and words unlike training's move answers to UNCERTAIN afterwards, never to another verdict.

Right by expression type (the very set of instances, or the rejection):

| type | right |
|---|---|
{rows}

Validation scenes are varied as those of training are (light, tints, clutter, cameras from 0.35 to 1.6 m), and hold no
noun, noun with its colour, or surface that is kept for the test split; words out of vocabulary are those of
`absent-oov`. Figures on the test split stand in docs/evaluation.md.

## Data and licences
Rendered scenes of household models: LIBERO assets (CC BY 4.0), HOPE groceries (CC BY-NC-SA 4.0), robosuite (MIT).
No model or texture is distributed here. The groceries' licence makes the weights
fit for research and demonstration only.

## Train it again
    python -m refseg_ros.sim.generate scenes/val 240 1000000 && python -m refseg_ros.sim.generate scenes/train 5000 0
    refseg train --config config/training/compact.yaml

Steps: {steps["instances"]:,} of masks beside {steps["reading"]:,} of reading on true masks, one thread each, then
{steps["language"]:,} on found masks, too.
"""
