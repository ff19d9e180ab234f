"""The compact model: instances once a frame, language once a phrase. Satisfies core.protocol.SegmentationModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import Frame
from refseg_ros.models.compact.backbone import Backbone, mixed, multiplies_bfloat16, network_input
from refseg_ros.models.compact.copies import distinct, overlapping
from refseg_ros.models.compact.crops import crop_features, square_crops
from refseg_ros.models.compact.doubt import (
    all_read,
    as_far_as_familiar,
    as_far_as_read,
    no_verdict_turned,
    unreadable,
)
from refseg_ros.models.compact.edges import Edges
from refseg_ros.models.compact.instances import InstanceHead, find_instances
from refseg_ros.models.compact.language import LanguageHead, TextEncoder
from refseg_ros.models.compact.tokens import instance_tokens

SHOWN_SCORE = 0.05  # candidates below this are no candidates
TEXTS_KEPT = 256


@dataclass(frozen=True)
class Calibration:
    """What validation measured. temperature divides the logit of "something fits"; words: those that training has read,
    empty where nobody knows which."""

    temperature: float = 1.0
    thresholds: Thresholds = field(default_factory=Thresholds)
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Encoded:
    """masks: logits (N, H, W) at the network's size; overlap (N, N): which of them may show one thing; edges: the frame
    that they are brought back to; look (N, F), place (N, G): the instance tokens; familiar (N,): how far training has
    seen their like, in 0..1; shapes: masks that were asked for already, at the frame's size."""

    masks: Tensor
    overlap: npt.NDArray[np.bool_]
    edges: Edges
    look: Tensor
    place: Tensor
    familiar: npt.NDArray[np.float32]
    shapes: dict[int, Candidate | None] = field(default_factory=dict)


class CompactHeads(nn.Module):
    """The trained part: everything that is in the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.instances = InstanceHead()
        self.language = LanguageHead()


class CompactModel:
    """EfficientNet-Lite0 and MiniLM, frozen, with CompactHeads on top."""

    name = "compact"

    def __init__(self, heads: CompactHeads, calibration: Calibration, device: str = "cpu") -> None:
        self.device = device
        self.thresholds = calibration.thresholds
        self._temperature, self._read = calibration.temperature, calibration.words
        self._backbone = Backbone().to(device)
        self._text = TextEncoder(torch.bfloat16 if multiplies_bfloat16(device) else torch.float32).to(device)
        self._heads = heads.to(device).eval()
        self._heads.instances.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._words: dict[str, Tensor] = {}

    @torch.inference_mode()
    def encode(self, frame: Frame) -> Encoded:
        """Find every instance and describe it. Once a frame."""
        image, detail, inner = network_input(frame.rgb, frame.depth)
        with mixed(self.device):
            maps = self._backbone(torch.from_numpy(image)[None].to(self.device))
            fine = torch.from_numpy(detail)[None].to(self.device, memory_format=torch.channels_last)
            outputs = self._heads.instances(maps, fine)
        logits, _ = find_instances(*(x[0].float().contiguous() for x in outputs))
        depth, rays = _geometry_of(frame, inner, (logits.shape[1], logits.shape[2]))
        logits = logits.cpu()
        pictures, weights = square_crops(detail, (logits > 0).numpy())
        seen = (torch.from_numpy(pictures).to(self.device), torch.from_numpy(weights).to(self.device))
        with mixed(self.device):
            crops = crop_features(self._backbone, *seen).float().cpu()
        look, place = instance_tokens(logits > 0, crops, torch.from_numpy(image), depth, rays)
        familiar = self._heads.language.familiarity(look.to(self.device)).cpu().numpy()
        return Encoded(logits, overlapping(logits), Edges(frame, inner), look, place, familiar)

    @torch.inference_mode()
    def decode(self, encoded: Encoded, phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        """Which instances each phrase means. Milliseconds a phrase."""
        if not len(encoded.masks) or not phrases:
            return [PhraseDecoding(0.0) for _ in phrases]
        words = [self._word_states(phrase.text) for phrase in phrases]
        most, count = max(len(w) for w in words), len(phrases)
        states = torch.stack([F.pad(w, (0, 0, 0, most - len(w))) for w in words])
        valid = torch.tensor([[t < len(w) for t in range(most)] for w in words], device=self.device)
        look = encoded.look.to(self.device)[None].expand(count, -1, -1)
        place = encoded.place.to(self.device)[None].expand(count, -1, -1)
        there = torch.ones(look.shape[:2], dtype=torch.bool, device=self.device)
        meant, fits, _ = self._heads.language(look, place, there, states, valid)
        scores, belief = meant.sigmoid().cpu().numpy(), (fits / self._temperature).sigmoid().cpu().numpy()
        doubted = as_far_as_familiar(belief, scores, encoded.familiar)
        doubted = as_far_as_read(doubted, [all_read(phrase.text, self._read) for phrase in phrases])
        belief = no_verdict_turned(belief, doubted, self.thresholds)
        unread = [unreadable(phrase.text, self._read) for phrase in phrases]
        belief = np.where(unread, np.maximum(belief, self.thresholds.reject), belief)
        decodings = []
        for row in range(count):
            candidates = []
            shown = [int(i) for i in np.argsort(-scores[row]) if scores[row, i] >= SHOWN_SCORE]
            for index in distinct(shown, encoded.overlap):
                shape = full_size(encoded, index)
                if shape is not None:
                    candidates.append(Candidate(shape.mask, shape.offset, float(scores[row, index])))
            decodings.append(PhraseDecoding(float(belief[row]), tuple(candidates)))
        return decodings

    def _word_states(self, text: str) -> Tensor:
        key = text.lower()
        if key not in self._words:
            if len(self._words) >= TEXTS_KEPT:
                self._words.pop(next(iter(self._words)))
            states, valid = self._text([key])
            self._words[key] = states[0][valid[0]]
        return self._words[key]

    def close(self) -> None:
        """Let go of the networks; the device's memory is free once nobody holds an Encoded."""
        for name in ("_backbone", "_text", "_heads"):
            setattr(self, name, None)
        self._words = {}
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()


def full_size(encoded: Encoded, index: int) -> Candidate | None:
    """One mask at the frame's size, worked out once; None when nothing of it is left."""
    if index not in encoded.shapes:
        width, height = encoded.edges.inner
        found = encoded.edges.followed((encoded.masks[index, :height, :width] > 0).numpy())
        encoded.shapes[index] = None if found is None else Candidate(*found, 0.0)
    return encoded.shapes[index]


def _geometry_of(
    frame: Frame, inner: tuple[int, int], grid: tuple[int, int]
) -> tuple[Tensor | None, tuple[float, float, float]]:
    """Depth at the masks' size (None without), and (focal, cx, cy) in mask pixels; without intrinsics a usual lens."""
    scale = inner[0] / frame.size[0]
    camera = frame.intrinsics
    usual = (1.1 * inner[0], inner[0] / 2, inner[1] / 2)
    # instance_tokens() counts mask pixels from the corner, Intrinsics from the first one's centre.
    rays = (camera.fx * scale, (camera.cx + 0.5) * scale, (camera.cy + 0.5) * scale) if camera else usual
    if frame.depth is None or camera is None:
        return None, rays
    near: npt.NDArray[np.float32] = np.zeros(grid, np.float32)
    small = cv2.resize(frame.depth, inner, interpolation=cv2.INTER_NEAREST)
    near[: inner[1], : inner[0]] = np.where(np.isfinite(small) & (small > 0), small, 0)
    return torch.from_numpy(near), rays
