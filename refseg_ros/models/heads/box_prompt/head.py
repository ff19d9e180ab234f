"""A mask decoder that is told a box and sees the picture, and nothing of what was said.

This is the plain way from a model that writes boxes to masks: the baseline that Qwen3-VL-Seg is compared with. Beside
it stands a pointer, which has no part in any answer: it compares a phrase's state with the states at the image tokens,
so that a language model that is still learning is told at once, cell by cell, what its phrase means.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.heads.box_prompt.config import BoxPromptConfig
from refseg_ros.models.heads.prompted import PromptedDecoder, PromptedEncoded


@dataclass(frozen=True, eq=False)
class BoxPromptOutput:
    """logits_nhw: a mask for each box; iou_n: how good the decoder holds it."""

    logits_nhw: Tensor
    iou_n: Tensor


class Pointer(nn.Module):
    """How well each place fits a phrase: scaled cosine of its state and the phrase's, plus a bias."""

    def __init__(self, config: BoxPromptConfig) -> None:
        super().__init__()
        self._width, self._fold = config.pointer_width, config.fold
        self.query = nn.Linear(config.language_width, config.pointer_width)
        self.key = nn.Linear(config.language_width, config.fold**2 * config.pointer_width)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, image_states_vchw: Tensor, phrases_nc: Tensor, image_n: Tensor) -> Tensor:
        """Logits (n, fold h, fold w)."""
        keys = F.pixel_shuffle(self.key(image_states_vchw.movedim(1, -1)).movedim(-1, 1), self._fold)
        keys, query = F.normalize(keys.float(), dim=1), F.normalize(self.query(phrases_nc).float(), dim=1)
        return self.log_scale.exp() * torch.einsum("nc,nchw->nhw", query, keys[image_n]) + self.bias


class BoxPromptHead(PromptedDecoder):
    """encode() once a frame, decode() once for a batch of boxes; point() in training."""

    def __init__(self, config: BoxPromptConfig) -> None:
        super().__init__(config)
        self.config = config
        self.corners = nn.Parameter(0.02 * torch.randn(2, config.width))
        self.pointer = Pointer(config)

    def decode(self, encoded: PromptedEncoded, boxes_n4: Tensor, image_n: Tensor) -> BoxPromptOutput:
        """boxes_n4: centre x, centre y, width, height in 0..1 of the padded input; image_n: long, whose image."""
        centre, half = boxes_n4[:, :2].float(), boxes_n4[:, 2:].float() / 2
        if self.training:
            half = half * (1 + self.config.box_jitter * (2 * torch.rand_like(half) - 1))
            centre = centre + half * self.config.box_jitter * (2 * torch.rand_like(centre) - 1)
        places = torch.stack([centre - half, centre + half], 1)
        prompts = self.place_features(places).to(encoded.image_vdhw.dtype) + self.corners
        return BoxPromptOutput(*self.masks(encoded, prompts, image_n))

    def point(self, image_states_vchw: Tensor, phrases_nc: Tensor, image_n: Tensor) -> Tensor:
        """Logits (n, h, w): which places the phrase of each state (n, c) means."""
        return self.pointer(image_states_vchw, phrases_nc, image_n)
