"""Stage one: class-agnostic masks. Dense supervision, so that it converges in minutes."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.instances import GRID_STRIDE, InstanceHead, apply_kernels, find_instances
from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.features import CachedScenes, detail_of
from refseg_ros.training.loop import averaged, train

MIN_AREA = 24  # mask pixels below which an object is not taught
CELLS_PER_IMAGE = 24
POINTS_NEAR, POINTS_FAR = 512, 256


def targets(ids_hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From ids (H, W): objectness (H/8, W/8), and positive cells (P, 2) with the object id of each (P,)."""
    half = GRID_STRIDE // 2
    grid = ids_hw[half::GRID_STRIDE, half::GRID_STRIDE]
    objectness = torch.zeros(grid.shape)
    cells, owners = [], []
    for number in ids_hw.unique().tolist():
        if number < 0:
            continue
        rows, cols = (ids_hw == number).nonzero(as_tuple=True)
        area = len(rows)
        if area < MIN_AREA:
            continue
        centre = torch.stack([rows.float().mean(), cols.float().mean()])
        own = (grid == number).nonzero()
        if not len(own):
            own = (centre / GRID_STRIDE).long().clamp(max=torch.tensor(grid.shape) - 1)[None]
        distance = ((own * GRID_STRIDE + half) - centre).norm(dim=1)
        near = own[distance <= max(float(distance.min()) + 1e-3, 0.2 * area**0.5)]
        objectness[near[:, 0], near[:, 1]] = 1
        cells.append(near)
        owners.append(torch.full((len(near),), number))
    if not cells:
        return objectness, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return objectness, torch.cat(cells), torch.cat(owners)


def sample_points(ids_hw: Tensor, owners: Tensor, rng: torch.Generator) -> Tensor:
    """Pixels to judge each mask at, (N, POINTS_NEAR + POINTS_FAR, 2) as (row, column): near its box, then anywhere."""
    shape = torch.tensor(ids_hw.shape, dtype=torch.float32)
    boxes = {}
    for number in owners.unique().tolist():
        found = (ids_hw == number).nonzero().float()
        low, high = found.min(0).values, found.max(0).values + 1
        margin = 0.15 * (high - low) + 4
        boxes[number] = torch.stack([(low - margin).clamp(min=0), torch.minimum(high + margin, shape)])
    low, high = torch.stack([boxes[n] for n in owners.tolist()]).unbind(1)
    near = low[:, None] + torch.rand(len(owners), POINTS_NEAR, 2, generator=rng) * (high - low)[:, None]
    far = torch.rand(len(owners), POINTS_FAR, 2, generator=rng) * shape
    return torch.minimum(torch.cat([near, far], 1), shape - 1).long()


def losses(
    head: InstanceHead, scenes: CachedScenes, index: Tensor, config: TrainingConfig, rng: torch.Generator
) -> dict[str, Tensor]:
    """Objectness (focal) and masks (Dice + BCE at sampled points) of one batch."""
    detail = detail_of(scenes, index)
    keep = (torch.rand(len(index), 1, 1, 1, generator=rng) >= config.depth_dropout).float()
    detail[:, 3:] *= keep
    with torch.autocast("cpu", dtype=torch.bfloat16):  # a third faster where the processor has it
        outputs = head([m[index].float() for m in scenes.maps], detail)
    objectness, kernels, features = (x.float() for x in outputs)
    focal, dice, bce, positives = [], [], [], 0
    for n, scene in enumerate(index.tolist()):
        ids = scenes.ids[scene]
        truth, cells, owners = targets(ids)
        p = objectness[n, 0].sigmoid()
        cross = F.binary_cross_entropy_with_logits(objectness[n, 0], truth, reduction="none")
        weight = torch.where(truth > 0, 0.25 * (1 - p) ** 2, 0.75 * p**2)
        focal.append((weight * cross).sum())
        positives += max(1, len(cells))
        if not len(cells):
            continue
        chosen = torch.randperm(len(cells), generator=rng)[:CELLS_PER_IMAGE]
        cells, owners = cells[chosen], owners[chosen]
        rows, cols = sample_points(ids, owners, rng).unbind(-1)
        flat = (rows * ids.shape[1] + cols).flatten()
        at_points = features[n].flatten(1).index_select(1, flat).reshape(-1, *rows.shape).permute(1, 0, 2)
        logits = apply_kernels(kernels[n][:, cells[:, 0], cells[:, 1]].T, cells, at_points, rows + 0.5, cols + 0.5)
        true = (ids[rows, cols] == owners[:, None]).float()
        # Dice on the points near the object only: there they are an even sample of it and its surroundings.
        mask, real = logits[:, :POINTS_NEAR].sigmoid(), true[:, :POINTS_NEAR]
        dice.append(1 - (2 * (mask * real).sum(1) + 1) / (mask.pow(2).sum(1) + real.sum(1) + 1))
        bce.append(F.binary_cross_entropy_with_logits(logits, true, reduction="none").mean(1))
    nothing = features.sum() * 0
    return {
        "focal": 2 * torch.stack(focal).sum() / positives,
        "dice": torch.cat(dice).mean() if dice else nothing,
        "bce": 2 * torch.cat(bce).mean() if bce else nothing,
    }


@torch.no_grad()
def evaluate(head: InstanceHead, scenes: CachedScenes, most: int = 60) -> dict[str, float]:
    """Mean best IoU per true object, recall at 0.5, and masks an image that match nothing."""
    head.eval()
    best, false = [], 0
    for n in range(min(most, len(scenes))):
        masks = predict(head, scenes, n)
        ids = scenes.ids[n]
        matched = torch.zeros(len(masks), dtype=torch.bool)
        for number in ids.unique().tolist():
            true = ids == number
            if number < 0 or int(true.sum()) < MIN_AREA:
                continue
            overlap = iou(masks, true)
            best.append(float(overlap.max()) if len(masks) else 0.0)
            matched |= overlap > 0.5
        false += int((~matched).sum())
    values = torch.tensor(best)
    count = min(most, len(scenes))
    return {"iou": float(values.mean()), "recall": float((values > 0.5).float().mean()), "false": false / count}


@torch.no_grad()
def predict(head: InstanceHead, scenes: CachedScenes, n: int, use_depth: bool = True) -> Tensor:
    """Found masks of scene n: bool (N, H, W), best first."""
    detail = detail_of(scenes, torch.tensor([n]))
    detail[:, 3:] *= float(use_depth)
    objectness, kernels, features = head([m[n : n + 1].float() for m in scenes.maps], detail)
    logits, _ = find_instances(objectness[0], kernels[0], features[0])
    return logits > 0


def iou(masks_nhw: Tensor, true_hw: Tensor) -> Tensor:
    """IoU of each bool mask with one: (N,)."""
    if not len(masks_nhw):
        return torch.zeros(0)
    common = (masks_nhw & true_hw).flatten(1).sum(1).float()
    return common / (masks_nhw | true_hw).flatten(1).sum(1).clamp(min=1)


def run(config: TrainingConfig, scenes: CachedScenes, validation: CachedScenes) -> nn.Module:
    """Train the head; its averaged weights."""
    torch.manual_seed(config.seed)
    rng = torch.Generator().manual_seed(config.seed)
    head = InstanceHead()

    def step() -> dict[str, Tensor]:
        return losses(head, scenes, torch.randint(len(scenes), (config.batch,), generator=rng), config, rng)

    return train(head, "instances", config, step, lambda average: evaluate(average, validation))  # type: ignore[arg-type]


def trained_instances(work: Path) -> InstanceHead:
    """Stage one's averaged weights. Raises FileNotFoundError when stage one has not run."""
    head = InstanceHead()
    head.load_state_dict(averaged(work / "instances.pt"))
    return head.eval()
