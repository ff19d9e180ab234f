"""Stage one: class-agnostic masks. Dense supervision, so that it converges in minutes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.instances import InstanceHead, dynamic_masks, find_instances
from refseg_ros.training.config import TrainingConfig
from refseg_ros.training.features import CachedScenes, normalised
from refseg_ros.training.loop import train

MIN_CELLS = 16  # stride-2 pixels below which an object is not taught
CELLS_PER_IMAGE = 20


def targets(ids_hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From ids (H/2, W/2): objectness (H/8, W/8), and positive cells (P, 2) with the object id of each (P,)."""
    grid = ids_hw[2::4, 2::4]
    objectness = torch.zeros(grid.shape)
    cells, owners = [], []
    for number in ids_hw.unique().tolist():
        if number < 0:
            continue
        mask = ids_hw == number
        area = int(mask.sum())
        if area < MIN_CELLS:
            continue
        rows, cols = mask.nonzero(as_tuple=True)
        centre = torch.stack([rows.float().mean(), cols.float().mean()])
        own = (grid == number).nonzero()
        if not len(own):
            own = (centre / 4).long().clamp(max=torch.tensor(grid.shape) - 1)[None]
        distance = ((own * 4 + 2) - centre).norm(dim=1)
        near = own[distance <= max(float(distance.min()) + 1e-3, 0.2 * area**0.5)]
        objectness[near[:, 0], near[:, 1]] = 1
        cells.append(near)
        owners.append(torch.full((len(near),), number))
    if not cells:
        return objectness, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return objectness, torch.cat(cells), torch.cat(owners)


def losses(
    head: InstanceHead, scenes: CachedScenes, index: Tensor, config: TrainingConfig, rng: torch.Generator
) -> dict[str, Tensor]:
    """Objectness (focal) and masks (Dice + BCE) of one batch."""
    image = normalised(scenes.image[index])
    geometry = scenes.geometry[index].float()
    keep = (torch.rand(len(index), 1, 1, 1, generator=rng) >= config.depth_dropout).float()
    objectness, kernels, features = head([m[index].float() for m in scenes.maps], image, geometry * keep)
    focal, dice, bce, positives = [], [], [], 0
    for n, scene in enumerate(index.tolist()):
        truth, cells, owners = targets(scenes.ids[scene])
        p = objectness[n, 0].sigmoid()
        cross = F.binary_cross_entropy_with_logits(objectness[n, 0], truth, reduction="none")
        weight = torch.where(truth > 0, 0.25 * (1 - p) ** 2, 0.75 * p**2)
        focal.append((weight * cross).sum())
        positives += max(1, len(cells))
        if not len(cells):
            continue
        chosen = torch.randperm(len(cells), generator=rng)[:CELLS_PER_IMAGE]
        cells, owners = cells[chosen], owners[chosen]
        logits = dynamic_masks(features[n], kernels[n][:, cells[:, 0], cells[:, 1]].T, cells)
        true = (scenes.ids[scene][None] == owners[:, None, None]).float()
        mask = logits.sigmoid()
        common = (mask * true).flatten(1).sum(1)
        dice.append(1 - (2 * common + 1) / (mask.flatten(1).pow(2).sum(1) + true.flatten(1).sum(1) + 1))
        around = F.max_pool2d(true[:, None], 13, 1, 6)[:, 0]  # far background is easy: judge near the object
        each = F.binary_cross_entropy_with_logits(logits, true, reduction="none")
        bce.append((each * (0.1 + around)).flatten(1).sum(1) / (0.1 + around).flatten(1).sum(1))
    return {
        "focal": 2 * torch.stack(focal).sum() / positives,
        "dice": torch.cat(dice).mean(),
        "bce": torch.cat(bce).mean(),
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
            if number < 0 or int(true.sum()) < MIN_CELLS:
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
    """Found masks of scene n: bool (N, H/2, W/2), best first."""
    image = normalised(scenes.image[n : n + 1])
    geometry = scenes.geometry[n : n + 1].float() * float(use_depth)
    objectness, kernels, features = head([m[n : n + 1].float() for m in scenes.maps], image, geometry)
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
