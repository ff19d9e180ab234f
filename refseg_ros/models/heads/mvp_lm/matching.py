"""Which query answers for which target: the assignment of least cost, things among thing queries, stuff among stuff."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from transformers.loss.loss_for_object_detection import generalized_box_iou

from refseg_ros.models.heads.mvp_lm.head import Task
from refseg_ros.models.heads.mvp_lm.prediction import Prediction, corners
from refseg_ros.models.heads.mvp_lm.targets import Target, resized

FORBIDDEN = 1e6


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The published ones, for costs and losses alike. background: of a word query that answers for nothing; centres:
    ours, see centres.py."""

    similarity: float = 2.0
    background: float = 0.1
    l1: float = 5.0
    giou: float = 2.0
    bce: float = 5.0
    dice: float = 5.0
    centres: float = 0.0


def at_points(masks_nhw: Tensor, points_np2: Tensor) -> Tensor:
    """Values (N, P) at points (x, y) in 0..1, bilinear."""
    return F.grid_sample(masks_nhw[:, None], 2 * points_np2[:, None] - 1, align_corners=False)[:, 0, 0]


@torch.no_grad()
def costs(
    prediction: Prediction, row: int, target: Target, task: Task, weights: LossWeights, mask_points: int | None
) -> Tensor:
    """(Q, N): what it would cost to let each query of sample `row` answer for each target."""
    similarity = prediction.similarity_bqk[row]
    if task is Task.SENTENCE:
        chance = similarity.sigmoid()
    else:
        chance = torch.cat([similarity, prediction.background_bq[row, :, None]], -1).softmax(-1)
    cost = -weights.similarity * chance[:, target.labels_n]
    boxes = prediction.boxes_bq4[row]
    overlap = generalized_box_iou(corners(boxes), corners(target.boxes_n4))
    placed = weights.l1 * torch.cdist(boxes, target.boxes_n4, p=1) - weights.giou * overlap
    cost = cost + placed * (~target.stuff_n)  # a box around stuff says nothing
    if target.masks_nhw is None:
        return cost
    features, masks = prediction.features_bdhw[row].float(), target.masks_nhw
    if mask_points is None:
        features, t = features.flatten(1), resized(masks, (features.shape[1], features.shape[2])).flatten(1)
    else:
        points = torch.rand(1, mask_points, 2, device=masks.device)
        features, t = (at_points(m, points.expand(len(m), -1, -1)) for m in (features, masks))
    x = prediction.masks_bqd[row].float() @ features
    bce = (F.softplus(-x) @ t.T + F.softplus(x) @ (1 - t).T) / x.shape[1]
    p = x.sigmoid()
    dice = 1 - (2 * p @ t.T + 1) / (p.sum(1)[:, None] + t.sum(1) + 1)
    return cost + weights.bce * bce + weights.dice * dice


def match(
    prediction: Prediction, row: int, target: Target, task: Task, things: int, weights: LossWeights,
    mask_points: int | None,
) -> tuple[Tensor, Tensor]:
    """(query of each pair, target of each pair), long. In a panoptic task the first `things` queries are for things,
    the rest for stuff; the selected tokens have no rest, so that no stuff is theirs.

    With more targets than queries the costliest targets stay without one.
    """  # fmt: skip
    if not len(target.labels_n):
        empty = torch.zeros(0, dtype=torch.long, device=prediction.boxes_bq4.device)
        return empty, empty
    cost = costs(prediction, row, target, task, weights, mask_points)
    if task is Task.PANOPTIC:
        for_stuff = torch.arange(len(cost), device=cost.device) >= things
        cost = torch.where(for_stuff[:, None] == target.stuff_n, cost, cost.new_tensor(FORBIDDEN))
    table = cost.cpu().numpy().astype(np.float64)
    queries, truths = linear_sum_assignment(table)
    allowed = table[queries, truths] < FORBIDDEN / 2
    return tuple(torch.from_numpy(v[allowed]).to(cost.device) for v in (queries, truths))  # type: ignore[return-value]
