"""What cameras and people do to a request that leaves its meaning alone, each at several levels; level 0 is nothing.

Pictures are changed as light and lenses change them (noise and dark in linear light), instructions in their letters,
their order or their courtesies. Everything is drawn from a generator of the sample, so every run sees the same.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from refseg_ros.core.types import Frame
from refseg_ros.data.dataset import Sample

Image = npt.NDArray[np.uint8]
FrameChange = Callable[[Frame, float, np.random.Generator], Frame]
TextChange = Callable[[str, Any, np.random.Generator], str]

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Another letter in these is another meaning, or breaks the sentence in two.
KEPT_WORDS = frozenset(
    ["the", "all", "and", "not", "but", "left", "right", "two", "three", "four", "every", "both", "any", "one"]
)
WRAPPERS = MappingProxyType(
    {
        "as given": "{}",
        "polite": "could you please hand me {}?",
        "looking for": "I am looking for {}.",
        "spoken": "um, okay robot, grab {} now, thanks",
        "capitals": "{}",
        "other words": "{}",
    }
)
OTHER_WORDS = MappingProxyType(
    {
        "largest": "biggest", "smallest": "tiniest", "nearest": "closest", "leftmost": "furthest left",
        "rightmost": "furthest right", "next to": "beside", "left of": "to the left of", "right of": "to the right of",
        "inside of": "within", "inside": "in", "on top of": "on", "behind": "in back of", "gray": "grey",
        "all the": "every one of the",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Perturbation:
    """name; unit: what the levels count, for the axis; levels: mild to severe, the first changes nothing; one of frame
    and text changes a sample."""

    name: str
    unit: str
    levels: tuple[Any, ...]
    frame: FrameChange | None = None
    text: TextChange | None = None


def _linear(rgb: Image) -> npt.NDArray[np.float32]:
    return np.asarray((rgb.astype(np.float32) / 255) ** 2.2, np.float32)


def _encoded(linear: npt.NDArray[np.float32]) -> Image:
    return np.asarray(np.round(255 * np.clip(linear, 0, 1) ** (1 / 2.2)), np.uint8)


def noise(frame: Frame, level: float, rng: np.random.Generator) -> Frame:
    """Gaussian noise of a standard deviation in grey levels."""
    noisy = frame.rgb + rng.normal(0, level, frame.rgb.shape) if level else frame.rgb
    return replace(frame, rgb=np.clip(np.round(noisy), 0, 255).astype(np.uint8))


def blur(frame: Frame, level: float, rng: np.random.Generator) -> Frame:
    """Out of focus by a standard deviation in thousandths of the picture's width."""
    sigma = level * frame.size[0] / 1000
    return replace(frame, rgb=np.asarray(cv2.GaussianBlur(frame.rgb, (0, 0), sigma), np.uint8)) if level else frame


def dark(frame: Frame, level: float, rng: np.random.Generator) -> Frame:
    """Light divided by 2 ** level, with the noise of the photons and the sensor that are left."""
    if not level:
        return frame
    light = _linear(frame.rgb) / 2**level
    grain = rng.normal(0, 1, light.shape) * np.sqrt(light * 0.0008 + 2e-6)
    return replace(frame, rgb=_encoded((light + grain).astype(np.float32)))


def jpeg(frame: Frame, level: float, rng: np.random.Generator) -> Frame:
    """Compressed at quality 100 - level."""
    if not level:
        return frame
    _, data = cv2.imencode(".jpg", frame.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(100 - level)])
    bgr = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return replace(frame, rgb=np.ascontiguousarray(bgr[..., ::-1]))


def depth_holes(frame: Frame, level: float, rng: np.random.Generator) -> Frame:
    """A share of the depth image without readings, in blobs; 1 is a camera without depth."""
    if not level or frame.depth is None:
        return frame
    if level >= 1:
        return replace(frame, depth=None, depth_problem="depth was removed")
    width, height = frame.size
    cloud = cv2.resize(rng.random((height // 16 + 1, width // 16 + 1)).astype(np.float32), (width, height))
    holes = cloud < np.quantile(cloud, level)
    return replace(frame, depth=np.where(holes, np.float32(0), frame.depth))


def typos(text: str, level: int, rng: np.random.Generator) -> str:
    """`level` slips of the finger: a letter left out, doubled, swapped with the next or replaced, in longer words."""
    words = text.split(" ")
    for _ in range(level):
        places = [n for n, w in enumerate(words) if len(w) > 2 and w.isalpha() and w.lower() not in KEPT_WORDS]
        if not places:
            break
        n = places[int(rng.integers(len(places)))]
        at, word = int(rng.integers(1, len(words[n]))), words[n]
        kind = int(rng.integers(4))
        if kind == 0 and len(word) > 3:
            word = word[:at] + word[at + 1 :]
        elif kind == 1:
            word = word[:at] + word[at] + word[at:]
        elif kind == 2:
            word = word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
        else:
            word = word[:at] + LETTERS[int(rng.integers(26))] + word[at + 1 :]
        words[n] = word
    return " ".join(words)


def word_order(text: str, level: int, rng: np.random.Generator) -> str:
    """`level` pairs of neighbouring words swapped in each phrase, the article staying first."""
    parts = text.split(" and ")
    for k, part in enumerate(parts):
        words = part.split(" ")
        first = 1 if words[0].lower() in ("the", "a", "an", "all", "every", "both") else 0
        for _ in range(level if len(words) - first > 1 else 0):
            at = int(rng.integers(first, len(words) - 1))
            words[at], words[at + 1] = words[at + 1], words[at]
        parts[k] = " ".join(words)
    return " and ".join(parts)


def paraphrase(text: str, level: str, rng: np.random.Generator) -> str:
    """Other words for the same: a courtesy around it, capitals, or synonyms of relations and sizes."""
    if level == "capitals":
        return text.upper()
    if level == "other words":
        for word, other in OTHER_WORDS.items():
            text = re.sub(rf"\b(?<!to the )(?<!on the ){word}\b", other, text)
        return text
    return WRAPPERS[level].format(text)


PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType(
    {
        p.name: p
        for p in (
            Perturbation("noise", "standard deviation, grey levels", (0, 8, 16, 32), frame=noise),
            Perturbation("blur", "standard deviation, 1/1000 of the width", (0, 1.5, 3, 6), frame=blur),
            Perturbation("dark", "halvings of the light", (0, 1, 3, 5), frame=dark),
            Perturbation("jpeg", "100 - quality", (0, 60, 85, 95), frame=jpeg),
            Perturbation("depth holes", "share of depth missing (1: no depth)", (0, 0.3, 0.6, 1), frame=depth_holes),
            Perturbation("typos", "slips in an instruction", (0, 1, 2, 4), text=typos),
            Perturbation("word order", "swaps in a phrase", (0, 1, 2, 4), text=word_order),
            Perturbation("paraphrase", "", tuple(WRAPPERS), text=paraphrase),
        )
    }
)


def is_plain(sample: Sample) -> bool:
    """Whether the instruction is its phrases and nothing else, so that its words may be changed."""
    return sample.instruction == " and ".join(sample.phrases)


def generator(sample: Sample, name: str) -> np.random.Generator:
    """The same for a sample and a perturbation in every run and at every level."""
    return np.random.default_rng(zlib.crc32(f"{sample.image.name} {sample.instruction} {name}".encode()))


def said_otherwise(samples: Sequence[Sample], change: Perturbation, level: Any) -> list[Sample]:
    """The samples with their instructions changed."""
    assert change.text is not None
    return [
        replace(s, instruction=change.text(s.instruction, level, generator(s, change.name))) for s in samples
    ]
