"""One mask a phrase, made from pixels and words, as referring segmentation began: no instances, no way to reject.

Pyramid of frozen EfficientNet-Lite0 maps; the coarse cells read the words of frozen MiniLM; the words' summary weighs
the fine features to one mask at stride 4. It answers every phrase with a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import Frame, crop_mask
from refseg_ros.models.compact.backbone import CHANNELS, Backbone, network_input
from refseg_ros.models.compact.language import WORD, TextEncoder

WIDTH, FINE, LAYERS, HEADS = 128, 32, 3, 4
LEAST_SHARE = 0.002  # of the picture: the brightest pixels of a mask that would be empty


class SingleMaskHead(nn.Module):
    """Maps at strides 4, 8, 16, 32 and words to mask logits at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FINE, WIDTH, WIDTH, WIDTH)
        self.lateral = nn.ModuleList(nn.Conv2d(c, w, 1) for c, w in zip(CHANNELS, widths, strict=True))
        self.smooth = _smooth(WIDTH)
        self.narrow, self.smooth_fine = nn.Conv2d(WIDTH, FINE, 1), _smooth(FINE)
        self.place = nn.Linear(4, WIDTH)
        self.word = nn.Sequential(nn.LayerNorm(WORD), nn.Linear(WORD, WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.kernel = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, FINE + 1))

    def forward(self, maps: Sequence[Tensor], words_btw: Tensor, valid_bt: Tensor) -> Tensor:
        """maps: (B, C, h, w) each; words (B, T, 384), valid_bt False for padding. Returns logits (B, H/4, W/4)."""
        fine, middle, coarse, coarsest = (layer(m) for layer, m in zip(self.lateral, maps, strict=True))
        x = coarse + _grown(coarsest, coarse)
        batch, _, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2) + self.place(_grid(height, width).to(x))
        words = self.word(words_btw)
        for layer in self.layers:
            tokens = layer(tokens, words, memory_key_padding_mask=~valid_bt)
        x = tokens.transpose(1, 2).reshape(batch, WIDTH, height, width)
        x = self.smooth(middle + _grown(x, middle))
        x = self.smooth_fine(fine + _grown(self.narrow(x), fine))
        summary = (words * valid_bt[..., None]).sum(1) / valid_bt.sum(1, keepdim=True).clamp(min=1)
        kernel = self.kernel(summary + tokens.amax(1))
        return torch.einsum("bc,bchw->bhw", kernel[:, :-1], x) + kernel[:, -1, None, None]


def _smooth(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.GELU())


def _grown(small: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(small, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _grid(height: int, width: int) -> Tensor:
    """(height * width, 4): x and y in -1..1 and their squares."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([x, y, x * x, y * y], -1).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class Encoded:
    """maps of one frame; inner: (width, height) of the network's image without padding; size: the frame's."""

    maps: list[Tensor]
    inner: tuple[int, int]
    size: tuple[int, int]


class SingleMaskModel:
    """Satisfies core.protocol.SegmentationModel. Its belief is always 1: it has no other."""

    name = "single-mask"
    thresholds = Thresholds(accept=0.0, reject=0.0, instance=0.5)

    def __init__(self, head: SingleMaskHead, device: str = "cpu") -> None:
        self.device = device
        self._backbone, self._text = Backbone().to(device), TextEncoder().to(device)
        self._head = head.to(device).eval()

    @torch.inference_mode()
    def encode(self, frame: Frame) -> Encoded:
        """The backbone's maps. Depth is not looked at."""
        image, _, inner = network_input(frame.rgb, None)
        return Encoded(self._backbone(torch.from_numpy(image)[None].to(self.device)), inner, frame.size)

    @torch.inference_mode()
    def decode(self, encoded: Encoded, phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        """A mask for every phrase."""
        decodings = []
        for phrase in phrases:
            words, valid = self._text([phrase.text.lower()])
            logits = self._head(encoded.maps, words, valid)[0].float().cpu().numpy()
            mask, offset = crop_mask(_full_size(logits, encoded))
            decodings.append(PhraseDecoding(1.0, (Candidate(mask, offset, 1.0),)))
        return decodings

    def close(self) -> None:
        """Let go of the networks."""
        for name in ("_backbone", "_text", "_head"):
            setattr(self, name, None)


def _full_size(logits: np.ndarray, encoded: Encoded) -> np.ndarray:
    """bool (H, W) at the frame's size, never empty."""
    width, height = (max(1, round(n / 4)) for n in encoded.inner)
    big = cv2.resize(logits[:height, :width], encoded.size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(big > min(0.0, float(np.quantile(big, 1 - LEAST_SHARE)) - 1e-6))


def build(device: str, weights: Path) -> SingleMaskModel:
    """The model with its weights, checked. Raises RequestError(MODEL_WEIGHTS) naming the file and the reason."""
    from refseg_ros.models.weights import load_strictly, read_card

    head = SingleMaskHead()
    load_strictly(head, weights, read_card(weights))
    return SingleMaskModel(head, device)
