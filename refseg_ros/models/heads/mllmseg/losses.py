"""What the decoder is taught: focal loss and Dice on logits. A [REJ] has no mask and no part in them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from refseg_ros.models.losses import averaged, dice, focal


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """As published."""

    focal: float = 1.0
    dice: float = 1.0
    alpha: float = 0.25
    gamma: float = 2.0


def losses(
    logits_nhw: Tensor, truth_nhw: Tensor, weights: LossWeights | None = None, *, as_released: bool = False
) -> dict[str, Tensor]:
    """Weighted losses by name, means over masks; 0 without any. as_released: the config's."""
    weights = weights or LossWeights()
    focused = focal(logits_nhw, truth_nhw, weights.alpha, weights.gamma, sigmoid_twice=as_released)
    return {
        "focal": weights.focal * averaged(focused),
        "dice": weights.dice * averaged(dice(logits_nhw, truth_nhw)),
    }
