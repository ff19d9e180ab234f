"""Stage one: class-agnostic masks. Dense supervision, so that it converges in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.compact.backbone import Backbone, mixed
from refseg_ros.models.compact.instances import GRID_STRIDE, InstanceHead, apply_kernels, find_instances
from refseg_ros.training.config import TrainingConfig, training_files
from refseg_ros.training.loop import averaged, seed_of, train
from refseg_ros.training.pictures import Picture, batches, plain
from refseg_ros.training.starting import starting_heads

VALIDATION_SCENES = 60
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


def share_of_object(owners: Tensor) -> Tensor:
    """Of cells (P,), each by its object: one over how many cells the object has. A mug seen from near has twenty, and a
    lemon far away has one."""
    _, which, counts = owners.unique(return_inverse=True, return_counts=True)
    return 1 / counts[which]


def drawn_cells(owners: Tensor, rng: torch.Generator) -> Tensor:
    """Which of the cells (P,) are taught in this step, each object's as often as another's: at most CELLS_PER_IMAGE."""
    return torch.multinomial(share_of_object(owners), min(len(owners), CELLS_PER_IMAGE), generator=rng)


def losses(outputs: tuple[Tensor, Tensor, Tensor], ids_bhw: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """Objectness (focal) and masks (Dice + BCE at sampled points) of one batch of InstanceHead's outputs. ids: on the
    processor."""
    objectness, kernels, features = (x.float() for x in outputs)
    device = features.device
    focal, dice, bce, positives = [], [], [], 0
    # Taken apart by unbind(), whose gradient is put together once: indexing would fill a whole tensor for each image.
    apart = (objectness[:, 0].unbind(), kernels.unbind(), features.unbind())
    for ids, found, kernel, feature in zip(ids_bhw, *apart, strict=True):
        truth, cells, owners = targets(ids)
        evened = torch.ones_like(truth)
        if len(cells):  # large things must not drown the small: by cell alone they have most of all losses
            rarity = share_of_object(owners).sqrt()
            evened[cells[:, 0], cells[:, 1]] = rarity / rarity.mean()
        truth, evened = truth.to(device), evened.to(device)
        p = found.sigmoid()
        cross = F.binary_cross_entropy_with_logits(found, truth, reduction="none")
        weight = torch.where(truth > 0, 0.25 * (1 - p) ** 2, 0.75 * p**2) * evened
        focal.append((weight * cross).sum())
        positives += max(1, len(cells))
        if not len(cells):
            continue
        chosen = drawn_cells(owners, rng)
        cells, owners = cells[chosen], owners[chosen]
        rows, cols = sample_points(ids, owners, rng).unbind(-1)
        true = (ids[rows, cols] == owners[:, None]).float().to(device)
        rows, cols, cells = rows.to(device), cols.to(device), cells.to(device)
        flat = (rows * ids.shape[1] + cols).flatten()
        at_points = feature.flatten(1).index_select(1, flat).reshape(-1, *rows.shape).permute(1, 0, 2)
        logits = apply_kernels(kernel[:, cells[:, 0], cells[:, 1]].T, cells, at_points, rows + 0.5, cols + 0.5)
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
def evaluate(head: InstanceHead, backbone: Backbone, pictures: Sequence[Picture]) -> dict[str, float]:
    """Mean best IoU per true object, recall at 0.5, and masks an image that match nothing."""
    head.eval()
    best, false = [], 0
    for picture in pictures:
        masks = predict(head, backbone, picture)
        matched = torch.zeros(len(masks), dtype=torch.bool)
        for number in picture.ids.unique().tolist():
            true = picture.ids == number
            if number < 0 or int(true.sum()) < MIN_AREA:
                continue
            overlap = iou(masks, true)
            best.append(float(overlap.max()) if len(masks) else 0.0)
            matched |= overlap > 0.5
        false += int((~matched).sum())
    values = torch.tensor(best)
    return {
        "iou": float(values.mean()),
        "recall": float((values > 0.5).float().mean()),
        "false": false / max(1, len(pictures)),
    }


@torch.inference_mode()
def predict(head: InstanceHead, backbone: Backbone, picture: Picture, use_depth: bool = True) -> Tensor:
    """Found masks of a picture: bool (N, H, W), best first."""
    device = next(head.parameters()).device
    detail = picture.detail[None].clone()
    detail[:, 3:] *= float(use_depth)
    with mixed(device.type):
        outputs = head(backbone(picture.image[None].to(device)), detail.to(device))
    objectness, kernels, features = (x[0].float() for x in outputs)
    logits, _ = find_instances(objectness, kernels, features)
    return (logits > 0).cpu()


def iou(masks_nhw: Tensor, true_hw: Tensor) -> Tensor:
    """IoU of each bool mask with one: (N,)."""
    if not len(masks_nhw):
        return torch.zeros(0)
    common = (masks_nhw & true_hw).flatten(1).sum(1).float()
    return common / (masks_nhw | true_hw).flatten(1).sum(1).clamp(min=1)


def without_some_depth(batch: Picture, share: float, rng: torch.Generator) -> Picture:
    """The batch, a share of its pictures seen by colour alone."""
    batch.detail[:, 3:] *= (torch.rand(len(batch.detail), 1, 1, 1, generator=rng) >= share).float()
    return batch


def run(config: TrainingConfig) -> None:
    """Train the head; <work>/instances.pt holds it."""
    head, backbone = starting_heads(config).instances, Backbone()
    seed = seed_of(config, config.work / "instances.pt")
    rng = torch.Generator().manual_seed(seed)
    paths = training_files(config.scenes / "train", config.most_scenes)
    drawn = batches(paths, config.batch, seed, config.workers)
    shown = [plain(p) for p in training_files(config.scenes / "val", VALIDATION_SCENES)]

    def step(module: nn.Module) -> dict[str, Tensor]:
        batch = without_some_depth(next(drawn), config.depth_dropout, rng)
        device = next(module.parameters()).device
        with mixed(device.type):
            maps = backbone.to(device)(batch.image.to(device))
        # Not channels last: the gradient of GroupNorm takes many times as long there.
        return losses(module([m.contiguous() for m in maps], batch.detail.to(device)), batch.ids, rng)

    train(head, "instances", config, step, lambda average: evaluate(average, backbone, shown))  # type: ignore[arg-type]


def trained_instances(work: Path) -> InstanceHead:
    """Stage one's averaged weights. Raises FileNotFoundError when stage one has not run."""
    head = InstanceHead()
    head.load_state_dict(averaged(work / "instances.pt"))
    return head.eval()
