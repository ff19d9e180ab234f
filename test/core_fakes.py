"""A model of ten lines, and frames for tests."""

import numpy as np

from refseg_ros.core.protocol import Candidate, PhraseDecoding, Thresholds
from refseg_ros.core.types import Frame, Intrinsics


def candidate(x=10, y=10, w=20, h=20, score=0.9):
    return Candidate(np.ones((h, w), np.bool_), (x, y), score)


class FakeModel:
    """Answers each phrase's text from a table; what the table lacks is absent."""

    name, device, thresholds = "fake", "cpu", Thresholds()

    def __init__(self, table=None):
        self.table, self.encoded, self.closed = table or {}, 0, 0

    def encode(self, frame):
        self.encoded += 1
        return frame

    def decode(self, encoded, phrases):
        return [self.table.get(p.text, PhraseDecoding(0.05)) for p in phrases]

    def close(self):
        self.closed += 1


def frame(width=64, height=48, depth=None, k=True):
    rgb = np.full((height, width, 3), 100, np.uint8)
    if isinstance(depth, (int, float)):
        depth = np.full((height, width), depth, np.float32)
    return Frame(rgb, depth, Intrinsics(width, height, 60.0, 60.0, 32.0, 24.0) if k else None)
