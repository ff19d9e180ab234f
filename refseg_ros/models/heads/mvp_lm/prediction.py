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
    x, centre y, width, height in shares of the network's input; a mask is masks_bqd . features_bdhw, at stride 4.

    Masks are only made where they are needed: a training step needs those of matched queries.
    """

    similarity_bqk: Tensor
    background_bq: Tensor
    boxes_bq4: Tensor
    masks_bqd: Tensor
    features_bdhw: Tensor

    def mask_logits(self, row: int, query: Tensor | slice = slice(None)) -> Tensor:
        """Logits (N, h, w) of one sample: of every query, or of some."""
        features = self.features_bdhw[row]
        return (self.masks_bqd[row, query] @ features.flatten(1)).unflatten(1, features.shape[1:])

    def split(self, first: int) -> tuple[Prediction, Prediction]:
        """The first queries, and the others."""
        a, b, c, d = self.similarity_bqk, self.background_bq, self.boxes_bq4, self.masks_bqd
        return (
            Prediction(a[:, :first], b[:, :first], c[:, :first], d[:, :first], self.features_bdhw),
            Prediction(a[:, first:], b[:, first:], c[:, first:], d[:, first:], self.features_bdhw),
        )


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
        """Boxes moved by what the queries say, in logit space. Always float32: half precision cannot place them."""
        return (self.box(queries_bqd).float() + torch.logit(boxes_bq4.float(), eps=1e-4)).sigmoid()

    def forward(
        self, queries_bqd: Tensor, boxes_bq4: Tensor, text_bkd: Tensor, there_bk: Tensor, features_bdhw: Tensor
    ) -> Prediction:
        """boxes_bq4: as they are to be reported; queries as the heads read them, normalised."""
        similarity, background = self.similarity.compare(self.similarity.keys(queries_bqd), text_bkd)
        known = similarity.masked_fill(~there_bk[:, None], NEVER)
        return Prediction(known, background, boxes_bq4, self.mask(queries_bqd), features_bdhw)
