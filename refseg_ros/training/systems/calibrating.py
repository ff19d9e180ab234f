"""Thresholds of a trained system: fitted on validation pictures, free-running, and written to its card.

Beliefs become verdicts as the default model's do: a temperature and a conformal band (evaluation.calibration), after a
shift, since not every system's belief was taught as one. A model that believes some absent phrases with certainty, as
one that never rejects, cannot keep the stated rates: its card says so, and one half is the threshold. The score from
which a candidate is meant is the one with the best masks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from refseg_ros.evaluation.calibration import Calibration, ErrorRates, calibrate, fit_shift
from refseg_ros.models.systems.system import PhraseAnswer, System
from refseg_ros.training.systems.facts import PictureSet
from refseg_ros.training.systems.mixture import Mixture, MixtureConfig

RATES = ErrorRates()
# As people ask: a joint system answers several phrases at once, and what it says of one bears on the next.
ASKED = MixtureConfig(sentences=1.0, phrases=3, absent=0.4)
CUTS = (0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8)  # the first of the best ones is taken
LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class Judged:
    """One phrase about one picture. there: whether something fits; ious: of what each of CUTS would name, () where
    nothing fits."""

    image: int
    belief: float
    there: bool
    ious: tuple[float, ...]


@torch.inference_mode()
def judged(system: System, pictures: PictureSet, most: int, each: int = 4, seed: int = 0) -> Iterator[Judged]:
    """What is said of each phrase of `each` questions about each of the first `most` pictures, answered freely."""
    mixture = Mixture(ASKED, seed)
    for index in range(min(most, len(pictures))):
        geometry = pictures.geometry(system.backbone, index)
        drawn = mixture.draw(system, pictures, index, geometry, each)
        if not drawn:
            continue
        conversations, truths = [c for c, _ in drawn], [t for _, t in drawn]
        prefix = system.backbone.prefix(pictures.vision(system.backbone, [index]))
        rows = [0] * len(drawn)
        said = system.answer(prefix, rows, conversations)
        groups = system.segment(system.look(system.for_head(prefix)), rows, conversations, said)
        for group, truth in zip(groups, truths, strict=True):
            for answer, masks_nhw in zip(group, truth.masks, strict=True):
                yield _judged(index, answer, masks_nhw)


def _judged(image: int, answer: PhraseAnswer, masks_nhw: Tensor) -> Judged:
    """masks_nhw: of what fits, on the CPU, as they are drawn; answer: on the system's device."""
    there = len(masks_nhw) > 0
    ious = tuple(_iou(answer, masks_nhw.amax(0) > 0.5, cut) for cut in CUTS) if there else ()
    return Judged(image, answer.belief, there, ious)


def _iou(answer: PhraseAnswer, truth_hw: Tensor, cut: float) -> float:
    """Of the union of all candidates at or above the cut, or of the best where none is."""
    if not len(answer.mask_logits_nhw):
        return 0.0
    chosen = [n for n, score in enumerate(answer.scores) if score >= cut] or [int(np.argmax(answer.scores))]
    logits = answer.mask_logits_nhw[chosen].float().cpu()[:, None]
    shown = torch.nn.functional.interpolate(logits, size=truth_hw.shape, mode="bilinear", align_corners=False)
    mask = (shown[:, 0] > 0).any(0)
    return float((mask & truth_hw).sum() / (mask | truth_hw).sum().clamp(min=1))


def fitted(rows: Sequence[Judged], rates: ErrorRates = RATES) -> dict[str, Any]:
    """The card's "calibration". Raises ValueError where there are too few pictures for the rates."""
    present = [r for r in rows if r.there]
    if not present:
        raise ValueError("calibration needs phrases that name something in view")
    means = np.mean([r.ious for r in present], 0)
    measured = {
        "pictures": len({r.image for r in rows}), "phrases": len(rows), "mean_iou": round(float(means.max()), 3),
        "iou_over_half": round(float(np.mean([r.ious[int(means.argmax())] > 0.5 for r in present])), 3),
    }  # fmt: skip
    instance = CUTS[int(means.argmax())]
    found = _belief(rows, rates)
    if found is None:
        thresholds = {"accept": 0.5, "reject": 0.5, "instance": instance}
        why = "absent phrases are believed with certainty: no threshold keeps the rates"
        return {"shift": 0.0, "temperature": 1.0, "thresholds": thresholds, "uncalibrated": why, "measured": measured}
    shift, calibration = found
    band = calibration.band
    thresholds = {"accept": band.accept, "reject": band.reject, "instance": instance}
    out = {"shift": shift, "temperature": calibration.temperature, "thresholds": thresholds}
    return out | {"rates": asdict(calibration.rates), "measured": measured}


def _belief(rows: Sequence[Judged], rates: ErrorRates) -> tuple[float, Calibration] | None:
    """Shift and calibration; None where no threshold keeps the rates."""
    belief = np.clip([r.belief for r in rows], LEAST, 1 - LEAST)
    certain = [r.belief >= 1 - LEAST for r in rows if not r.there]
    if certain and np.mean(certain) > rates.false_accept:
        return None
    logits = np.log(belief) - np.log1p(-belief)
    there = [float(r.there) for r in rows]
    shift = fit_shift(logits, there)
    return shift, calibrate(logits + shift, there, [r.image for r in rows], rates)


def write_calibration(weights: Path, calibration: dict[str, Any]) -> None:
    """Into the card beside a weights file."""
    card = weights.with_suffix(".json")
    content = json.loads(card.read_text(encoding="utf-8"))
    content["calibration"] = calibration
    card.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
