"""The MVP-LM head: word lists and sentences, boxes and masks, things and stuff, from one decoder.

After "Advancing Visual Large Language Model for Multi-granular Versatile Perception" (Xiang et al., 2025), whose
decoder follows OpenSeeD and MaskDINO. Where the paper is silent: three token levels (strides 8, 16, 32), <PER> -> D ->
N x D for the base queries, a scaled cosine as similarity, and a learned background text for word lists.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refseg_ros.models.heads.mvp_lm.centres import TokenScores
from refseg_ros.models.heads.mvp_lm.config import MVPLMConfig
from refseg_ros.models.heads.mvp_lm.decoder import MultiGranularityDecoder
from refseg_ros.models.heads.mvp_lm.denoising import Denoising, blocked, noisy
from refseg_ros.models.heads.mvp_lm.encoded import EncodedImages
from refseg_ros.models.heads.mvp_lm.language import Instruction, TextEmbedding
from refseg_ros.models.heads.mvp_lm.pixel_decoder import PixelDecoder, inside_tokens
from refseg_ros.models.heads.mvp_lm.prediction import PerceptionHeads, Prediction
from refseg_ros.models.heads.mvp_lm.queries import DynamicQueries
from refseg_ros.models.heads.mvp_lm.rejection import unknown
from refseg_ros.models.heads.mvp_lm.targets import Target


class Task(enum.Enum):
    """What a batch asks. PANOPTIC: a word list with stuff, WORDS: one without, SENTENCE: one phrase a sample."""

    PANOPTIC = "panoptic"
    WORDS = "words"
    SENTENCE = "sentence"


@dataclass(frozen=True, eq=False)
class MVPLMOutput:
    """layers: the selected tokens first (where there is a selection), then each decoder layer; the last is the answer.
    Its first `things` queries are for things, the others for stuff. denoised: the decoder layers' predictions for the
    denoising queries. tokens: how the image's own tokens scored. All predictions share their mask features."""

    task: Task
    things: int
    layers: tuple[Prediction, ...]
    denoising: Denoising | None = None
    denoised: tuple[Prediction, ...] = ()
    tokens: TokenScores | None = None

    @property
    def answer(self) -> Prediction:
        return self.layers[-1]


class MVPLMHead(nn.Module):
    """encode() once a frame, decode() once for a batch of phrases; forward() does both."""

    rejection: Tensor

    def __init__(self, config: MVPLMConfig) -> None:
        super().__init__()
        self.config = config
        self.pixels = PixelDecoder(config)
        self.text = TextEmbedding(config.language_width, config.width)
        self.queries = DynamicQueries(config)
        self.heads = PerceptionHeads(config.width)
        self.decoder = MultiGranularityDecoder(config)
        if config.stuff_queries:
            self.stuff_content = nn.Parameter(torch.randn(config.stuff_queries, config.width))
            self.stuff_boxes = nn.Parameter(torch.randn(config.stuff_queries, 4))
        if config.denoising_queries:
            self.known = nn.Linear(config.width, config.width)
        self.register_buffer("rejection", unknown())  # saved with the weights; see rejection.Rejection

    def encode(self, maps: Sequence[Tensor], inside_vhw: Tensor | None = None) -> EncodedImages:
        """Once a frame. maps: strides 4, 8, 16, 32 (V, C, h, w); inside_vhw: bool at stride 4, False in the padding."""
        tokens, shapes, mask_features = self.pixels(maps)
        if inside_vhw is None:
            inside = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        else:
            inside = inside_tokens(inside_vhw, shapes)
        memory = None if self.queries.memory is None else self.queries.memory(tokens)
        keys = None if memory is None else self.heads.similarity.keys(memory)
        return EncodedImages(shapes, inside, mask_features, memory, keys, self.decoder.values(tokens, inside))

    def decode(
        self,
        images: EncodedImages,
        instruction: Instruction,
        task: Task,
        image_b: Tensor | None = None,
        targets: Sequence[Target] | None = None,
    ) -> MVPLMOutput:
        """Answer B samples. image_b: (B,) long, which image each is about; None when sample n is about image n.

        targets: in training on word lists, for the denoising queries. Outside training only the last layer is given.
        Raises ValueError for a sentence sample with several phrases, and for stuff without stuff queries.
        """
        if task is Task.SENTENCE and instruction.there_bk.shape[1] != 1:
            raise ValueError(f"a sentence sample has one phrase, not {instruction.there_bk.shape[1]}")
        if task is Task.PANOPTIC and not self.config.stuff_queries:
            raise ValueError("MVPLMConfig.stuff_queries is 0: this head has no panoptic output")
        images = images if image_b is None else images.of(image_b)
        there = instruction.there_bk
        text = self.text(instruction.phrases_bkc)
        start = self.queries(images, instruction, text, self.heads)
        content, boxes, things = start.content_bqd, start.start_bq4, start.content_bqd.shape[1]
        if task is Task.PANOPTIC:
            content = torch.cat([content, self.stuff_content.expand(len(content), -1, -1)], 1)
            boxes = torch.cat([boxes, self.stuff_boxes.sigmoid().expand(len(boxes), -1, -1)], 1)
        answers, wall, denoising = content.shape[1], None, None
        if self.training and targets is not None and task is not Task.SENTENCE:
            denoising = noisy(targets, there, self.config)
        if denoising is not None:
            names = text.gather(1, denoising.labels_bm[..., None].expand(-1, -1, text.shape[-1]))
            content = torch.cat([content, self.known(names)], 1)
            boxes = torch.cat([boxes, denoising.boxes_bm4], 1)
            wall = blocked(answers, denoising)
        layers = self.decoder(content, boxes, images, text, there, self.heads, wall, every_layer=self.training)
        split = [layer.split(answers) for layer in layers]
        own = [first for first, _ in split]
        if start.selected_bqd is not None and self.training:
            chosen = self.heads(start.selected_bqd, start.boxes_bq4, text, there, images.mask_features_vdhw)
            own.insert(0, chosen)
        noised = tuple(last for _, last in split) if denoising is not None else ()
        return MVPLMOutput(task, things, tuple(own), denoising, noised, start.tokens)

    def forward(
        self,
        maps: Sequence[Tensor],
        instruction: Instruction,
        task: Task,
        image_b: Tensor | None = None,
        inside_vhw: Tensor | None = None,
        targets: Sequence[Target] | None = None,
    ) -> MVPLMOutput:
        """encode() and decode()."""
        return self.decode(self.encode(maps, inside_vhw), instruction, task, image_b, targets)
