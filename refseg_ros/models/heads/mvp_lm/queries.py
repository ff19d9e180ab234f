"""Dynamic query generation: what the language model sums up in <PER>, plus the image tokens that fit the text best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.mvp_lm.config import MVPLMConfig
from refseg_ros.models.heads.mvp_lm.encoded import EncodedImages
from refseg_ros.models.heads.mvp_lm.pixel_decoder import proposals
from refseg_ros.models.heads.mvp_lm.prediction import PerceptionHeads


@dataclass(frozen=True, eq=False)
class Queries:
    """content_bqd and boxes_bq4 (cxcywh, 0..1); selected_bqd: the chosen image tokens, which are taught like queries;
    None without selection."""

    content_bqd: Tensor
    boxes_bq4: Tensor
    selected_bqd: Tensor | None

    @property
    def start_bq4(self) -> Tensor:
        """The boxes as the decoder takes them: selected ones are taught by their own losses alone, as in DINO."""
        return self.boxes_bq4 if self.selected_bqd is None else self.boxes_bq4.detach()


class DynamicQueries(nn.Module):
    """N queries = base vectors, an MLP on the state of <PER>, + the N tokens most similar to any of the phrases."""

    def __init__(self, config: MVPLMConfig) -> None:
        super().__init__()
        self.count, width = config.queries, config.width
        self.base: nn.Module | None = None
        if config.base_queries:
            self.base = nn.Sequential(
                nn.LayerNorm(config.language_width), nn.Linear(config.language_width, width), nn.GELU(),
                nn.Linear(width, self.count * width),
            )  # fmt: skip
        self.memory: nn.Module | None = None
        if config.query_selection:
            self.memory = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        else:
            self.content = nn.Parameter(torch.randn(self.count, width))
            self.boxes = nn.Parameter(torch.randn(self.count, 4))

    def forward(
        self, images: EncodedImages, summary_bc: Tensor, text_bkd: Tensor, there_bk: Tensor, heads: PerceptionHeads
    ) -> Queries:
        """images: one row a sample; text_bkd: embedded phrases, there_bk: False for padding.

        Raises ValueError with fewer tokens than queries.
        """
        batch, tokens = images.inside_vt.shape
        if images.memory_vtd is None or images.keys_vtd is None:
            content, boxes, selected = self.content.expand(batch, -1, -1), self.boxes.sigmoid(), None
            boxes = boxes.expand(batch, -1, -1)
        else:
            if tokens < self.count:
                raise ValueError(f"an image of {tokens} tokens cannot give {self.count} queries: configure fewer")
            with torch.no_grad():  # which ones are chosen is not differentiable; how they score is taught elsewhere
                score, _ = heads.similarity.compare(images.keys_vtd, text_bkd)
                score = score.masked_fill(~there_bk[:, None], -torch.inf).amax(-1)
                best = score.masked_fill(~images.inside_vt, -torch.inf).topk(self.count, 1).indices
            selected = images.memory_vtd.gather(1, best[..., None].expand(-1, -1, images.memory_vtd.shape[-1]))
            boxes = heads.refine(selected, proposals(images.shapes, best.device)[best])
            content = selected
        if self.base is not None:
            content = content + self.base(summary_bc).reshape(batch, self.count, -1)
        return Queries(content, boxes, selected)
