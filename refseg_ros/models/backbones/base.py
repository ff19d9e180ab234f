"""What every vision-language backbone gives the heads, whatever it is made of.

An image is read once (`see`, then `prefix`: the language model's cache over the image tokens); each text is read after
it (`begin`, `extend`), so that a further phrase costs its own tokens only. Knows nothing of heads, answers or losses.

Layouts: b images, n texts, t tokens, l image tokens in raster order, c channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from refseg_ros.models.answers.vocabulary import Vocabulary
from refseg_ros.models.backbones.geometry import Geometry, Size


@dataclass(frozen=True, eq=False, kw_only=True)
class VisionFeatures:
    """What vision gives of b images of one padded size.

    maps: (b, c_i, h_i, w_i) each, fine to coarse, raster order, over the padded input; image_bchw: the padded RGB in
    0..1; geometries: one an image. tokens_blc: what the language model reads, on the raster token_grid (height, width);
    deepstack: (b, l, c) each, added to the states of the first layers.
    """

    maps: tuple[Tensor, ...]
    image_bchw: Tensor
    geometries: tuple[Geometry, ...]
    tokens_blc: Tensor
    token_grid: Size
    deepstack: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        batch, length = self.tokens_blc.shape[:2]
        if length != self.token_grid[0] * self.token_grid[1]:
            raise ValueError(f"VisionFeatures has {length} tokens and a grid of {self.token_grid}")
        if len(self.geometries) != batch or any(len(m) != batch for m in self.maps):
            raise ValueError(f"VisionFeatures needs one geometry and one of each map for each of {batch} images")


@dataclass(frozen=True, eq=False)
class Prefix:
    """b images as the language model has read them. image_states_bchw: its last states at the image tokens;
    preceding_bc: its state just before them, None where the image stands first."""

    vision: VisionFeatures
    image_states_bchw: Tensor
    preceding_bc: Tensor | None
    cache: Any
    next_position: int


@dataclass(eq=False)
class Reading:
    """n texts after their images. cache, valid_nk (which of its slots count) and next_n (positions) grow as they go."""

    cache: Any
    valid_nk: Tensor
    next_n: Tensor


@dataclass(frozen=True)
class Template:
    """The words around the image and the question; special tokens in them are meant. after: with {question} in it."""

    before: str
    after: str
    _parts: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.after.count("{question}") != 1:
            raise ValueError(f"Template.after must contain {{question}} once, not {self.after!r}")
        start, end = self.after.split("{question}")
        object.__setattr__(self, "_parts", (start, end))

    def before_ids(self, vocabulary: Vocabulary) -> list[int]:
        """Token ids up to the image; first the one that the language model has seen every text begin with, if any."""
        words = vocabulary.tokenizer.encode(self.before, add_special_tokens=False) if self.before else []
        return [*vocabulary.beginning, *words]

    def after_ids(self, vocabulary: Vocabulary, question: str) -> list[int]:
        """Token ids from the image to the answer. The question is text from outside: it yields no special token."""
        return self.after_image(vocabulary, question)[0]

    def after_image(self, vocabulary: Vocabulary, question: str) -> tuple[list[int], list[tuple[int, int]]]:
        """As after_ids(), with the characters of the question that each token stands for, (0, 0) for the template's."""
        start, end = (vocabulary.tokenizer.encode(p, add_special_tokens=False) if p else [] for p in self._parts)
        asked, offsets = vocabulary.encode_with_offsets(question)
        return [*start, *asked, *end], [*[(0, 0)] * len(start), *offsets, *[(0, 0)] * len(end)]


class Backbone(nn.Module, ABC):
    """A vision tower and a causal language model of transformers with a cache.

    channels: of each map; width: of the language states; vocabulary, template: how it is spoken to.
    """

    channels: tuple[int, ...]
    width: int
    vocabulary: Vocabulary
    template: Template

    @abstractmethod
    def geometry(self, size: Size) -> Geometry:
        """How an image of (width, height) is resized and padded."""

    @abstractmethod
    def pixels(self, rgb_hwc: npt.NDArray[np.uint8], geometry: Geometry) -> Tensor:
        """The network's input (c, H, W) for one image, on the CPU."""

    @abstractmethod
    def see(self, pixels_bchw: Tensor, geometries: Sequence[Geometry]) -> VisionFeatures:
        """The vision tower. Once a frame."""

    @property
    @abstractmethod
    def decoder(self) -> nn.Module:
        """The language model without its head: takes inputs_embeds, attention_mask, position_ids, past_key_values."""

    @property
    @abstractmethod
    def head(self) -> nn.Module:
        """From states to logits over the vocabulary."""

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids -> embeddings, one more dimension of size width."""
        return self.decoder.get_input_embeddings()(ids)  # type: ignore[operator]

    def prefix(self, vision: VisionFeatures) -> Prefix:
        """Read the images, and what stands before them, into a cache. Once a frame."""
        before, embeds = self._image_embeds(vision)
        positions, following = self._image_positions(before, vision.token_grid)
        positions = positions.to(embeds.device)
        out = self.decoder(
            inputs_embeds=embeds,
            position_ids=_per_row(positions, len(embeds)),
            use_cache=True,
            past_key_values=_empty_cache(),
            **self._image_extras(vision, before, embeds.shape[1]),
        )
        states = out.last_hidden_state
        grid = states[:, before:].transpose(1, 2).unflatten(2, vision.token_grid)
        return Prefix(vision, grid, states[:, before - 1] if before else None, out.past_key_values, following)

    def begin(self, prefix: Prefix, rows: Tensor) -> Reading:
        """Texts that start where the images end. rows (n,): which image each follows. The prefix stays as it is."""
        if not prefix.cache.layers:
            raise ValueError("the prefix has no cache, as its decoder recomputes (gradient checkpointing): use whole()")
        cache, length = _empty_cache(), 0
        for index, layer in enumerate(prefix.cache.layers):
            cache.update(layer.keys.index_select(0, rows), layer.values.index_select(0, rows), index)
            length = layer.keys.shape[2]
        valid = torch.ones(len(rows), length, dtype=torch.bool, device=rows.device)
        return Reading(cache, valid, torch.full_like(rows, prefix.next_position))

    def extend(self, reading: Reading, ids_nt: Tensor, valid_nt: Tensor) -> Tensor:
        """Read on. valid_nt: False for padding, which stands right of the text. Returns states (n, t, c)."""
        reading.valid_nk = torch.cat([reading.valid_nk, valid_nt], 1)
        positions = reading.next_n[:, None] + valid_nt.long().cumsum(1) - 1
        out = self.decoder(
            inputs_embeds=self.embed(ids_nt),
            attention_mask=reading.valid_nk.long(),
            position_ids=self._text_positions(positions),
            past_key_values=reading.cache,
            use_cache=True,
        )
        reading.cache = out.past_key_values
        reading.next_n = reading.next_n + valid_nt.sum(1)
        return out.last_hidden_state

    def whole(self, vision: VisionFeatures, rows: Tensor, ids_nt: Tensor, valid_nt: Tensor) -> tuple[Tensor, Tensor]:
        """Images and texts in one pass without a cache, for training with gradient checkpointing.

        Returns image states (n, c, h, w), one grid a text, and text states (n, t, c): those of prefix() and extend().
        """
        before, embeds = self._image_embeds(vision, rows)
        length = embeds.shape[1]
        positions, following = self._image_positions(before, vision.token_grid)
        image = _per_row(positions.to(embeds.device), len(rows))
        text = self._text_positions(following + valid_nt.long().cumsum(1) - 1)
        out = self.decoder(
            inputs_embeds=torch.cat([embeds, self.embed(ids_nt)], 1),
            attention_mask=torch.cat([valid_nt.new_ones(len(rows), length), valid_nt], 1).long(),
            position_ids=torch.cat([image, text], -1),
            use_cache=False,
            **self._image_extras(vision, before, length + ids_nt.shape[1], rows),
        )
        states = out.last_hidden_state
        grid = states[:, before:length].transpose(1, 2).unflatten(2, vision.token_grid)
        return grid, states[:, length:]

    def looks(self, grid: Size) -> Tensor | None:
        """In training, of the pass just made: how much each word looked at each place of a picture, logits
        (n, t, h, w); None where the decoder has no such thing to be taught. grid: (rows, columns) of image tokens."""
        return None

    def logits(self, states: Tensor, ids: Tensor | None = None) -> Tensor:
        """Logits over the vocabulary, or over the given ids only, which costs only those rows of the head."""
        head = self.head
        states = states.to(next(head.parameters()).dtype)
        if ids is None:
            return head(states)
        if type(head) is nn.Linear:
            bias = None if head.bias is None else head.bias[ids]
            return nn.functional.linear(states, head.weight[ids], bias)
        return head(states)[..., ids]

    def _image_embeds(self, vision: VisionFeatures, rows: Tensor | None = None) -> tuple[int, Tensor]:
        """How many tokens stand before the image, and the embeddings of both (n, before + l, c)."""
        tokens = vision.tokens_blc if rows is None else vision.tokens_blc.index_select(0, rows)
        ids = self.template.before_ids(self.vocabulary)
        before = self.embed(torch.tensor(ids, dtype=torch.long, device=tokens.device))
        return len(ids), torch.cat([before.expand(len(tokens), -1, -1), tokens.to(before.dtype)], 1)

    def _image_positions(self, before: int, grid: Size) -> tuple[Tensor, int]:
        """Positions of the words before the image and of its tokens, (t,) or (axes, t); and the one that follows."""
        length = before + grid[0] * grid[1]
        return torch.arange(length), length

    def _text_positions(self, positions_nt: Tensor) -> Tensor:
        """What the decoder takes as positions of text."""
        return positions_nt

    def _image_extras(
        self, vision: VisionFeatures, before: int, length: int, rows: Tensor | None = None
    ) -> dict[str, Any]:
        """Further arguments of the decoder where it reads the image. length: of the whole sequence it reads."""
        return {}


def _per_row(positions: Tensor, count: int) -> Tensor:
    """(t,) -> (count, t); (axes, t) -> (axes, count, t)."""
    return positions.unsqueeze(-2).expand(*positions.shape[:-1], count, -1)


def _empty_cache() -> Any:
    from transformers import DynamicCache

    return DynamicCache()
