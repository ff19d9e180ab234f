"""The three heads that every layer shares: similarity, box, mask."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.mvp_lm.language import Similarity

NEVER = -1e4  # logit of a phrase that is padding: finite, so that losses stay so


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of Q queries: similarity_bqk logits with each phrase (NEVER for padding), background_bq logit; boxes_bq4 centre
    x, centre y, width, height in shares of the network's input; mask_logits_bqhw at stride 4."""

    similarity_bqk: Tensor
    background_bq: Tensor
    boxes_bq4: Tensor
    mask_logits_bqhw: Tensor

    def split(self, first: int) -> tuple[Prediction, Prediction]:
        """The first queries, and the others."""
        parts = (self.similarity_bqk, self.background_bq, self.boxes_bq4, self.mask_logits_bqhw)
        return Prediction(*(p[:, :first] for p in parts)), Prediction(*(p[:, first:] for p in parts))


def corners(boxes_cxcywh: Tensor) -> Tensor:
    """Centre x, centre y, width, height (..., 4) -> x0, y0, x1, y1."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLU between."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PerceptionHeads(nn.Module):
    """Shared by the selected tokens, every decoder layer and the denoising queries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.similarity = Similarity(width)
        self.box = mlp((width, width, width, 4))
        self.mask = mlp((width, width, width, width))
        last = self.box[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)  # boxes start where the proposals are
        nn.init.zeros_(last.bias)

    def refine(self, queries_bqd: Tensor, boxes_bq4: Tensor) -> Tensor:
        """Boxes moved by what the queries say, in logit space."""
        return (self.box(queries_bqd) + torch.logit(boxes_bq4, eps=1e-4)).sigmoid()

    def forward(
        self, queries_bqd: Tensor, boxes_bq4: Tensor, text_bkd: Tensor, there_bk: Tensor, mask_features_bdhw: Tensor
    ) -> Prediction:
        """boxes_bq4: as they are to be reported; queries as the heads read them, normalised."""
        similarity, background = self.similarity(queries_bqd, text_bkd)
        masks = torch.einsum("bqd,bdhw->bqhw", self.mask(queries_bqd), mask_features_bdhw)
        return Prediction(similarity.masked_fill(~there_bk[:, None], NEVER), background, boxes_bq4, masks)
