"""Dynamic query generation: what the language model sums up in <PER>, plus the image tokens that fit the text best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.mvp_lm.centres import TokenScores
from refseg_ros.models.heads.mvp_lm.config import MVPLMConfig
from refseg_ros.models.heads.mvp_lm.encoded import EncodedImages
from refseg_ros.models.heads.mvp_lm.language import Instruction
from refseg_ros.models.heads.mvp_lm.pixel_decoder import Shapes, proposals
from refseg_ros.models.heads.mvp_lm.prediction import NEVER, PerceptionHeads


@dataclass(frozen=True, eq=False)
class Queries:
    """content_bqd and boxes_bq4 (cxcywh, 0..1); selected_bqd: the chosen image tokens, which are taught like queries,
    and tokens: how all of the finest level scored; both None without selection."""

    content_bqd: Tensor
    boxes_bq4: Tensor
    selected_bqd: Tensor | None
    tokens: TokenScores | None

    @property
    def start_bq4(self) -> Tensor:
        """The boxes as the decoder takes them: selected ones are taught by their own losses alone, as in DINO."""
        return self.boxes_bq4 if self.selected_bqd is None else self.boxes_bq4.detach()


class DynamicQueries(nn.Module):
    """N queries = base vectors, an MLP on the state of <PER>, + the N tokens most similar to any name of a thing."""

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
        self, images: EncodedImages, instruction: Instruction, text_bkd: Tensor, heads: PerceptionHeads
    ) -> Queries:
        """images: one row a sample; text_bkd: the instruction's phrases, embedded.

        Raises ValueError with fewer tokens than queries.
        """
        selected, tokens = None, None
        if images.memory_vtd is None or images.keys_vtd is None:
            content, boxes = (p.expand(len(text_bkd), -1, -1) for p in (self.content, self.boxes.sigmoid()))
        else:
            if images.inside_vt.shape[1] < self.count:
                count = images.inside_vt.shape[1]
                raise ValueError(f"an image of {count} tokens cannot give {self.count} queries: configure fewer")
            similarity, background = heads.similarity.compare(images.keys_vtd, text_bkd)
            there, stuff = instruction.there_bk, instruction.stuff_bk
            wanted = there if stuff is None else there & ~stuff
            score = similarity.detach().masked_fill(~wanted[:, None], -torch.inf).amax(-1)
            best = score.masked_fill(~images.inside_vt, -torch.inf).topk(self.count, 1).indices
            content = images.memory_vtd.gather(1, best[..., None].expand(-1, -1, images.memory_vtd.shape[-1]))
            boxes = heads.refine(content, proposals(images.shapes, best.device)[best])
            known = similarity.masked_fill(~there[:, None], NEVER)
            selected, tokens = content, finest(known, background, images.inside_vt, images.shapes)
        if self.base is not None:
            content = content + self.base(instruction.summary_bc).reshape(len(content), self.count, -1)
        return Queries(content, boxes, selected, tokens)


def finest(similarity_btk: Tensor, background_bt: Tensor, inside_bt: Tensor, shapes: Shapes) -> TokenScores:
    """The last level's tokens as a grid."""
    height, width = shapes[-1]
    last = slice(inside_bt.shape[1] - height * width, None)
    grid = (height, width)
    return TokenScores(
        similarity_btk[:, last].transpose(1, 2).unflatten(2, grid),
        background_bt[:, last].unflatten(1, grid),
        inside_bt[:, last].unflatten(1, grid),
    )
