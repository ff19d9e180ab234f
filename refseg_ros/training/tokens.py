"""Instance tokens of every training scene, of true masks and of the ones stage one finds; computed once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from refseg_ros.models.compact.backbone import Backbone, mixed
from refseg_ros.models.compact.crops import crop_features, square_crops
from refseg_ros.models.compact.instances import InstanceHead
from refseg_ros.models.compact.tokens import APPEARANCE, GEOMETRY, instance_tokens
from refseg_ros.sim.sensor import SensorModel
from refseg_ros.sim.stored import load_scene
from refseg_ros.training.instances import MIN_AREA, iou, predict
from refseg_ros.training.kept import kept, of_files, of_weights
from refseg_ros.training.pictures import Picture, picture, plain

LOOKS = 2  # pictures of a scene that true masks are shown in, each by another sensor in another light
FORM = {"numbers": [APPEARANCE, GEOMETRY], "least_area": MIN_AREA}
"""What the tokens' form hangs on, besides the scenes."""


@dataclass(eq=False)
class TokenSet:
    """Instances of one scene: look (N, F) half, place (N, G), owner (N,): true object id, -1 for none."""

    look: Tensor
    place: Tensor
    owner: Tensor


def tokens(seen: Picture, masks_nhw: Tensor, owner_n: Tensor, backbone: Backbone) -> TokenSet:
    """As the model makes them of its own masks."""
    pictures, weights = square_crops(seen.detail.numpy(), masks_nhw.numpy())
    with mixed("cpu"):
        crops = crop_features(backbone, torch.from_numpy(pictures), torch.from_numpy(weights)).float()
    focal, cx, cy = seen.rays.tolist()
    look, place = instance_tokens(masks_nhw, crops, seen.image, seen.depth, (focal, cx, cy))
    return TokenSet(look.half(), place, owner_n)


def _true(seen: Picture) -> tuple[Tensor, Tensor]:
    """Masks of the objects large enough to be taught, (N, H, W), and their numbers (N,)."""
    numbers, areas = seen.ids[seen.ids >= 0].unique(return_counts=True)
    numbers = numbers[areas >= MIN_AREA]
    return seen.ids[None] == numbers[:, None, None], numbers.long()


@torch.no_grad()
def true_tokens(paths: Sequence[Path], work: Path, name: str) -> list[list[TokenSet]]:
    """For each scene the true instances in LOOKS pictures; kept between runs."""

    def make() -> list[list[TokenSet]]:
        backbone, rng, out = Backbone(), np.random.default_rng(0), []
        for file in track(paths, description=f"true instances of {name}"):
            scene, sets = load_scene(file), []
            for look in range(LOOKS):
                seen = picture(scene, SensorModel.drawn(rng), rng, light=look > 0)
                sets.append(tokens(seen, *_true(seen), backbone))
            out.append(sets)
        return out

    return kept(work / f"tokens_true_{name}.pt", {"files": of_files(paths), "looks": LOOKS, **FORM}, make)


@torch.no_grad()
def found_tokens(paths: Sequence[Path], head: InstanceHead, work: Path, name: str) -> list[TokenSet]:
    """For each scene the masks that stage one finds; a quarter of them found without depth; kept between runs.

    Training's are seen in another light every other time; validation's as they are."""

    def make() -> list[TokenSet]:
        head.eval()
        backbone, out = Backbone(), []
        for n, file in enumerate(track(paths, description=f"found instances of {name}")):
            seen = plain(file, light=name == "train" and n % 2 == 1)
            masks = predict(head, backbone, seen, use_depth=n % 4 != 0)
            true, numbers = _true(seen)
            owner = torch.full((len(masks),), -1)
            if len(masks) and len(true):
                best, which = torch.stack([iou(masks, t) for t in true]).max(0)  # over (objects, found)
                owner = torch.where(best > 0.4, numbers[which], -1)
            out.append(tokens(seen, masks, owner, backbone))
        return out

    made_of = {"files": of_files(paths), "weights": of_weights(head), "split": name, **FORM}
    return kept(work / f"tokens_found_{name}.pt", made_of, make)
