"""A system as the pipeline's model (core.protocol.SegmentationModel): encode once a frame, decode for all phrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import Frame, crop_mask
from refseg_ros.models.backbones.base import Prefix
from refseg_ros.models.backbones.geometry import Geometry
from refseg_ros.models.systems.system import PhraseAnswer, System


@dataclass(frozen=True, eq=False)
class Encoded:
    """One frame: the language model's cache over it, and what the head keeps."""

    prefix: Prefix
    looked: Any


class SystemModel:
    """state: a System with its weights. The logit of the belief that something fits is moved by shift, then divided by
    temperature. names: how many a word list had at most in training."""

    def __init__(
        self,
        name: str,
        system: System,
        thresholds: Thresholds,
        shift: float = 0.0,
        temperature: float = 1.0,
        device: str = "cpu",
        names: int = 12,
    ) -> None:
        self.name, self.device, self.thresholds, self.names = name, device, thresholds, names
        self._shift, self._temperature = shift, temperature
        self._system: System | None = system.to(device).eval()

    @property
    def system(self) -> System:
        """What is inside. Raises ValueError when the model has been closed."""
        if self._system is None:
            raise ValueError(f"the model {self.name} has been closed")
        return self._system

    @torch.inference_mode()
    def encode(self, frame: Frame) -> Encoded:
        """Vision, the language model's prefix and the head's share of the frame. Once a frame."""
        system = self.system
        backbone = system.backbone
        geometry = backbone.geometry(frame.size)
        pixels = backbone.pixels(frame.rgb, geometry)[None].to(self.device)
        prefix = backbone.prefix(backbone.see(pixels, [geometry]))
        return Encoded(prefix, system.look(system.for_head(prefix)))

    @torch.inference_mode()
    def decode(self, encoded: Encoded, phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        """Ask, read and segment. Raises AnswerError (MODEL_OUTPUT) for an answer that cannot be read twice over."""
        if not phrases:
            return []
        system = self.system
        texts = [phrase.text for phrase in phrases]
        groups = [texts] if system.joint else [[text] for text in texts]
        conversations = [system.converse(group) for group in groups]
        rows = [0] * len(conversations)
        said = system.answer(encoded.prefix, rows, conversations)
        answers = [a for group in system.segment(encoded.looked, rows, conversations, said) for a in group]
        geometry = encoded.prefix.vision.geometries[0]
        return [self._decoding(answer, geometry) for answer in answers]

    def _decoding(self, answer: PhraseAnswer, geometry: Geometry) -> PhraseDecoding:
        candidates = []
        if len(answer.mask_logits_nhw):
            shown = (geometry.to_image(answer.mask_logits_nhw.float()) > 0).cpu().numpy()
            for mask, score in zip(shown, answer.scores, strict=True):
                if mask.any():
                    candidates.append(Candidate(*crop_mask(mask), float(score)))
        return PhraseDecoding(self._calibrated(answer.belief), tuple(sorted(candidates, key=lambda c: -c.score)))

    def _calibrated(self, belief: float) -> float:
        logit = torch.logit(torch.tensor(belief, dtype=torch.float64), eps=1e-9)
        return float(((logit + self._shift) / self._temperature).sigmoid())

    def close(self) -> None:
        """Let go of the networks."""
        self._system = None
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
