"""A model of a few lines: everything of one colour is an instance, and "red", "green", "blue" name them."""

from __future__ import annotations

import os
import time

import cv2
import numpy as np

from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import crop_mask

COLOURS = ("red", "green", "blue")


class ColourModel:
    """Decodes "red thing" as every connected red region. Sleeps FAKE_MODEL_SECONDS in encode, to look slow."""

    name, device = "colour", "cpu"
    thresholds = Thresholds()

    def encode(self, frame):
        time.sleep(float(os.environ.get("FAKE_MODEL_SECONDS", "0")))
        return frame.rgb

    def decode(self, encoded, phrases):
        return [self._decode(encoded, phrase.text.lower()) for phrase in phrases]

    def _decode(self, rgb, text):
        channel = next((i for i, name in enumerate(COLOURS) if name in text.split()), None)
        if channel is None:
            return PhraseDecoding(0.02)
        others = np.delete(rgb, channel, axis=2).max(2).astype(int)
        labels, regions = cv2.connectedComponents(((rgb[..., channel].astype(int) - others) > 100).astype(np.uint8))
        candidates = []
        for label in range(1, labels):
            mask, offset = crop_mask(regions == label)
            candidates.append(Candidate(mask, offset, 0.95))
        return PhraseDecoding(0.97 if candidates else 0.03, tuple(candidates))

    def close(self):
        pass
