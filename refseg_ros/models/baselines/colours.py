"""Colours by name: the basic colour terms of English (Berlin and Kay, 1969) with a few values of each in sRGB."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

TERMS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "grey", "white")
_VALUES = (
    ("red", (200, 30, 30)), ("red", (120, 15, 20)), ("orange", (235, 130, 30)), ("yellow", (235, 215, 50)),
    ("yellow", (170, 150, 30)), ("green", (40, 150, 60)), ("green", (20, 70, 35)), ("green", (130, 190, 90)),
    ("blue", (40, 80, 190)), ("blue", (20, 30, 90)), ("blue", (110, 170, 220)), ("purple", (110, 50, 140)),
    ("pink", (240, 150, 180)), ("pink", (220, 60, 140)), ("brown", (110, 70, 40)), ("brown", (165, 120, 80)),
    ("black", (18, 18, 18)), ("black", (45, 45, 45)), ("grey", (100, 100, 100)), ("grey", (150, 150, 150)),
    ("white", (215, 215, 215)), ("white", (250, 250, 250)),
)  # fmt: skip
SYNONYMS = {
    "gray": "grey", "silver": "grey", "violet": "purple", "golden": "yellow", "gold": "yellow", "beige": "white",
    "cream": "white", "crimson": "red", "scarlet": "red", "navy": "blue", "turquoise": "blue", "teal": "green",
}  # fmt: skip


def term_of(word: str) -> str | None:
    """The basic term that a word means, or None."""
    word = SYNONYMS.get(word, word)
    return word if word in TERMS else None


def shares(rgb_n3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How many of N pixels have each term as their nearest colour in CIE Lab, as shares: (len(TERMS),)."""
    values = _lab(np.array([v for _, v in _VALUES], np.uint8))
    distance = ((_lab(rgb_n3)[:, None] - values[None]) ** 2).sum(-1)
    terms = np.array([TERMS.index(name) for name, _ in _VALUES])
    return np.bincount(terms[distance.argmin(1)], minlength=len(TERMS)) / len(rgb_n3)


def _lab(rgb_n3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    scaled = rgb_n3[None].astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0], np.float32)
