"""Lifting with the per-pixel tests on a torch device: for machines whose CPU is slow beside their GPU.

The tests are those of core/surface.py, operation by operation in the same order and precision, on the whole image at
once; everything after them is the core's own code. So the answer is the same, bit for bit. On a CPU it is slower than
core/lifting.py, which looks at the masks' surroundings only.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refseg_ros.core.camera import RayGrid
from refseg_ros.core.lifting import Lifter, LiftingConfig
from refseg_ros.core.surface import NOWHERE, STEP_NOISE, Pixels
from refseg_ros.core.types import Frame
from refseg_ros.core.uncertainty import Uncertainty

# Pairs to put in order one after the other; then the fifth of nine is their median (Paeth, Graphics Gems, 1990).
NETWORK = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8), (4, 7), (3, 6), (1, 4),
    (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


class TorchLifter(Lifter):
    """A Lifter whose per-pixel tests run on `device`. State as a Lifter's; one thread at a time."""

    def __init__(
        self,
        config: LiftingConfig | None = None,
        grid: RayGrid | None = None,
        uncertainty: Uncertainty | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(config, grid, uncertainty)
        self.device = torch.device(device)

    @torch.inference_mode()
    def noisy_pixels(self, frame: Frame, config: LiftingConfig) -> Pixels | None:
        """uint8 (H, W): 255 for flying pixels and those behind a step."""
        assert frame.depth is not None
        depth_hw = torch.from_numpy(np.ascontiguousarray(frame.depth)).to(self.device)
        noisy_hw = noisy(depth_hw, config)
        result: Pixels = noisy_hw.to(torch.uint8).mul_(255).cpu().numpy()
        return result


def noisy(depth_hw: Tensor, config: LiftingConfig) -> Tensor:
    """bool (H, W) of depth float32 (H, W), metres: readings that fly or lie behind a step, and none where none is."""
    one = depth_hw.new_tensor
    valid = (depth_hw > one(config.min_depth_m)) & (depth_hw < one(config.max_depth_m))
    z = torch.where(valid, depth_hw, one(0.0))
    tolerance = torch.maximum(one(config.outlier * config.noise) * z * z, one(config.floor_m))
    flies = (z - median_3x3(z)).abs() > tolerance

    step = one(config.step_ratio) * z + one(config.step_m)
    edge = z - torch.maximum(step, one(STEP_NOISE * config.noise) * z * z)
    far = torch.where(valid, z, one(float(NOWHERE)))
    nearest = -F.max_pool2d(-far[None, None], 3, stride=1, padding=1)[0, 0]
    return flies | (nearest < edge)


def median_3x3(image_hw: Tensor) -> Tensor:
    """The median (H, W) of each pixel and its eight neighbours; the border is repeated outwards."""
    height, width = image_hw.shape
    wide = F.pad(image_hw[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    nine = [wide[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    for a, b in NETWORK:
        nine[a], nine[b] = torch.minimum(nine[a], nine[b]), torch.maximum(nine[a], nine[b])
    return nine[4]
