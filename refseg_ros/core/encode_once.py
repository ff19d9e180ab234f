"""A model that keeps the last frame's encoding: several instructions about one image cost one encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refseg_ros.core.instruction import Phrase
from refseg_ros.core.protocol import PhraseDecoding, SegmentationModel
from refseg_ros.core.types import Frame


class EncodeOnce:
    """Satisfies SegmentationModel around another. State: the last frame, by identity, and what it was encoded to."""

    def __init__(self, model: SegmentationModel) -> None:
        self.name, self.device, self.thresholds = model.name, model.device, model.thresholds
        self._model = model
        self._last: tuple[Frame, Any] | None = None

    def encode(self, frame: Frame) -> Any:
        """The encoding of a frame; made only if the frame is another than the last."""
        if self._last is None or self._last[0] is not frame:
            self._last = None  # the old one is let go before the new one needs its memory
            self._last = (frame, self._model.encode(frame))
        return self._last[1]

    def decode(self, encoded: Any, phrases: Sequence[Phrase]) -> list[PhraseDecoding]:
        """As the model decodes."""
        return self._model.decode(encoded, phrases)

    def close(self) -> None:
        """Let go of the encoding and the model."""
        self._last = None
        self._model.close()
