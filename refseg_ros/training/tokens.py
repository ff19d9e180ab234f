"""Instance tokens of every training scene, of true masks and of the ones stage one finds; computed once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from torch import Tensor

from refseg_ros.models.compact.backbone import Backbone
from refseg_ros.models.compact.crops import crop_features, square_crops
from refseg_ros.models.compact.instances import InstanceHead
from refseg_ros.models.compact.tokens import instance_tokens
from refseg_ros.training.features import CachedScenes, normalised
from refseg_ros.training.instances import MIN_AREA, iou, predict


@dataclass(eq=False)
class TokenSet:
    """Instances of one scene: look (N, F) half, place (N, G), owner (N,): true object id, -1 for none."""

    look: Tensor
    place: Tensor
    owner: Tensor


def varied_look(detail_chw: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The picture under another light and from farther away: contrast, gain by colour, saturation, lost detail."""
    height, width = detail_chw.shape[1:]
    shrink = rng.uniform(1, 2.5) if rng.random() < 0.5 else 1
    small = cv2.resize(detail_chw.transpose(1, 2, 0), None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    out = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    grey = out.mean(2, keepdims=True)
    out = (grey + (out - grey) * rng.uniform(0.7, 1.2) + 1) * rng.uniform(0.65, 1.4) * rng.uniform(0.92, 1.08, 3) - 1
    middle = out.mean()
    out = middle + (out - middle) * rng.uniform(0.75, 1.25)
    return np.clip(out, -1, 1).astype(np.float32).transpose(2, 0, 1)


def _tokens(
    scenes: CachedScenes, n: int, masks: Tensor, owner: Tensor, backbone: Backbone, rng: np.random.Generator | None
) -> TokenSet:
    """rng: vary the look."""
    focal, cx, cy = scenes.rays[n].tolist()
    detail = normalised(scenes.detail[n]).numpy()
    detail = detail if rng is None else varied_look(detail, rng)
    pictures, weights = square_crops(detail, masks.numpy())
    crops = crop_features(backbone, torch.from_numpy(pictures), torch.from_numpy(weights))
    small = torch.from_numpy(cv2.resize(detail.transpose(1, 2, 0), masks.shape[:0:-1], interpolation=cv2.INTER_AREA))
    look, place = instance_tokens(masks, crops, small.permute(2, 0, 1), scenes.depth[n].float(), (focal, cx, cy))
    return TokenSet(look.half(), place, owner)


@torch.no_grad()
def tokens_of(scenes: CachedScenes, head: InstanceHead, work: Path, name: str) -> list[list[TokenSet]]:
    """For each scene the tokens of the true instances, looks varied, and of the found masks; kept between runs."""
    path = work / f"tokens_{name}.pt"
    if path.exists():
        return torch.load(path, weights_only=False)
    head.eval()
    backbone, rng = Backbone(), np.random.default_rng(0)
    out = []
    for n in track(range(len(scenes)), description=f"instance tokens of {name}"):
        ids = scenes.ids[n]
        numbers = [i for i in ids.unique().tolist() if i >= 0 and int((ids == i).sum()) >= MIN_AREA]
        true = torch.stack([ids == i for i in numbers]) if numbers else torch.zeros(0, *ids.shape, dtype=torch.bool)
        found = predict(head, scenes, n, use_depth=n % 4 != 0)
        owner = torch.full((len(found),), -1)
        if len(found) and numbers:
            overlap = torch.stack([iou(found, t) for t in true])  # (objects, found)
            best, which = overlap.max(0)
            owner = torch.where(best > 0.4, torch.tensor(numbers)[which], -1)
        out.append(
            [
                _tokens(scenes, n, true, torch.tensor(numbers), backbone, rng),
                _tokens(scenes, n, found, owner, backbone, None),
            ]
        )
    torch.save(out, path)
    return out
