"""What the head is taught: similarity, boxes and masks of every layer, matched anew in each, and denoising."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.loss.loss_for_object_detection import generalized_box_iou

from refseg_ros.models.heads.mvp_lm.centres import centre_loss
from refseg_ros.models.heads.mvp_lm.denoising import Denoising
from refseg_ros.models.heads.mvp_lm.head import MVPLMOutput, Task
from refseg_ros.models.heads.mvp_lm.matching import LossWeights, at_points, match
from refseg_ros.models.heads.mvp_lm.prediction import Prediction, corners
from refseg_ros.models.heads.mvp_lm.targets import Target, resized
from refseg_ros.models.losses import bce, dice

OVERSAMPLE, UNSURE_SHARE = 3, 0.75


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of a batch: sample, query and target of each, long (P,)."""

    row: Tensor
    query: Tensor
    truth: Tensor


def losses(
    output: MVPLMOutput,
    targets: Sequence[Target],
    mask_points: int | None = None,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    """Weighted losses by name, summed over layers; their sum is to be minimised. mask_points: the config's.

    Boxes, masks and the box losses of denoising queries are normalised by the batch's targets; similarity by queries.
    """
    weights = weights or LossWeights()
    total: dict[str, Tensor] = {}
    # All layers share the features. Taken apart once: the gradient of each single index would fill a whole batch.
    features = output.answer.features_bdhw.unbind(0)
    for prediction in output.layers:
        found = [
            match(prediction, n, target, output.task, output.things, weights, mask_points)
            for n, target in enumerate(targets)
        ]
        pairs = _pairs(found, prediction.boxes_bq4.device)
        _add(total, _layer(prediction, features, pairs, targets, output.task, weights, mask_points, None), "")
    for prediction in output.denoised:
        assert output.denoising is not None
        real = output.denoising.real_bm
        row, query = real.nonzero(as_tuple=True)
        pairs = Pairs(row, query, output.denoising.truth_bm[row, query])
        part = _layer(prediction, features, pairs, targets, output.task, weights, mask_points, output.denoising)
        _add(total, part, "denoising_")
    if weights.centres and output.tokens is not None:
        total["centres"] = weights.centres * centre_loss(output.tokens, targets, output.task is Task.SENTENCE)
    return total


def _pairs(found: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> Pairs:
    rows = torch.cat([torch.full_like(query, n) for n, (query, _) in enumerate(found)])
    return Pairs(rows.to(device), torch.cat([q for q, _ in found]), torch.cat([t for _, t in found]))


def _add(total: dict[str, Tensor], part: dict[str, Tensor], prefix: str) -> None:
    for name, value in part.items():
        total[prefix + name] = total.get(prefix + name, value.new_zeros(())) + value


def _layer(
    prediction: Prediction, features: Sequence[Tensor], pairs: Pairs, targets: Sequence[Target], task: Task,
    weights: LossWeights, mask_points: int | None, denoising: Denoising | None,
) -> dict[str, Tensor]:
    """One layer's losses. denoising: whose padding is no background."""  # fmt: skip
    device = prediction.boxes_bq4.device
    start = torch.tensor([0, *(len(t.labels_n) for t in targets)], device=device).cumsum(0)[:-1]
    flat = start[pairs.row] + pairs.truth
    labels = torch.cat([t.labels_n for t in targets])[flat]
    stuff = torch.cat([t.stuff_n for t in targets])[flat]
    boxes = torch.cat([t.boxes_n4 for t in targets])[flat]
    count = max(len(flat), 1)
    out = {"similarity": weights.similarity * _similarity(prediction, pairs, labels, task, weights, denoising)}
    predicted = prediction.boxes_bq4[pairs.row, pairs.query]
    thing = (~stuff).float()
    out["l1"] = weights.l1 * ((predicted - boxes).abs().sum(-1) * thing).sum() / count
    overlap = generalized_box_iou(corners(predicted), corners(boxes)).diagonal()
    out["giou"] = weights.giou * ((1 - overlap) * thing).sum() / count
    bce_sum, dice_sum = _masks(prediction, features, pairs, targets, mask_points)
    out["bce"], out["dice"] = weights.bce * bce_sum / count, weights.dice * dice_sum / count
    return out


def _similarity(
    prediction: Prediction, pairs: Pairs, labels: Tensor, task: Task, weights: LossWeights, denoising: Denoising | None
) -> Tensor:
    """Words: cross entropy over names and background. Sentence: binary cross entropy."""
    logits = prediction.similarity_bqk.float()
    if task is Task.SENTENCE:
        fits = torch.zeros_like(logits[..., 0])
        fits[pairs.row, pairs.query] = 1
        return F.binary_cross_entropy_with_logits(logits[..., 0], fits)
    names = logits.shape[-1]
    truth = torch.full(logits.shape[:2], names, dtype=torch.long, device=logits.device)
    if denoising is not None:
        truth = truth.masked_fill(~denoising.real_bm, -100)  # ignored
    truth[pairs.row, pairs.query] = labels
    weight = torch.ones(names + 1, device=logits.device)
    weight[-1] = weights.background
    table = torch.cat([logits, prediction.background_bq[..., None].float()], -1)
    return F.cross_entropy(table.flatten(0, 1), truth.flatten(), weight)


def _masks(
    prediction: Prediction, features: Sequence[Tensor], pairs: Pairs, targets: Sequence[Target],
    mask_points: int | None,
) -> tuple[Tensor, Tensor]:
    """Sums over pairs of the mean BCE and of Dice; samples without masks are left out. features: (D, h, w) a sample."""
    grid = (features[0].shape[1], features[0].shape[2])
    bce_sum = dice_sum = prediction.masks_bqd.sum() * 0
    for n, target in enumerate(targets):
        own = pairs.row == n
        if target.masks_nhw is None or not own.any():
            continue
        logits = torch.einsum("qd,dhw->qhw", prediction.masks_bqd[n, pairs.query[own]], features[n]).float()
        masks = target.masks_nhw[pairs.truth[own]]
        if mask_points is None:
            x, t = logits, resized(masks, grid)
        else:
            points = unsure_points(logits.detach(), mask_points)
            x, t = at_points(logits, points), at_points(masks, points)
        bce_sum, dice_sum = bce_sum + bce(x, t).sum(), dice_sum + dice(x, t).sum()
    return bce_sum, dice_sum


def unsure_points(logits_nhw: Tensor, count: int) -> Tensor:
    """Points (N, count, 2), x and y in 0..1: most where the masks are least sure, the rest anywhere (PointRend)."""
    number, device = len(logits_nhw), logits_nhw.device
    unsure = int(count * UNSURE_SHARE)
    drawn = torch.rand(number, OVERSAMPLE * count, 2, device=device)
    best = at_points(logits_nhw, drawn).abs().topk(unsure, 1, largest=False).indices
    chosen = drawn.gather(1, best[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, torch.rand(number, count - unsure, 2, device=device)], 1)
