"""Captions: made for rendered scenes, and cleaned wherever they come from (MVP-LM's data refinement)."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

HEDGES = frozenset({
    "indicate", "indicates", "indicating", "might", "may", "imply", "implies", "implying", "suggest", "suggests",
    "suggesting", "possibly", "perhaps", "probably", "likely", "seem", "seems", "appears", "could", "maybe",
    "presumably",
})  # fmt: skip
LEAST_WORDS, MOST_WORDS, LEAST_ENTROPY_BITS = 3, 80, 2.0
PATTERNS = ("a table with {}", "on the table there are {}", "{} on a table", "the picture shows {}")


def cleaned(captions: Iterable[str]) -> list[str]:
    """Captions as training takes them: sentences that hedge dropped; then those too short, too long or repetitive."""
    kept = []
    for caption in captions:
        sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+", caption.strip())]
        text = " ".join(s for s in sentences if s and not _words(s) & HEDGES).rstrip(" .!?")
        words = text.lower().split()
        if LEAST_WORDS <= len(words) <= MOST_WORDS and entropy_bits(words) >= LEAST_ENTROPY_BITS:
            kept.append(text)
    return kept


def _words(sentence: str) -> set[str]:
    return set(re.findall(r"[a-z]+", sentence.lower()))


def entropy_bits(words: Sequence[str]) -> float:
    """Entropy of the words' own distribution: low when a caption repeats itself."""
    counts = Counter(words)
    return -sum(c / len(words) * math.log2(c / len(words)) for c in counts.values())


def of_things(names: Sequence[str], rng: random.Random, most: int = 5) -> list[str]:
    """One caption a pattern for a scene of these things, in an order of its own each. () for an empty scene."""
    if not names:
        return []
    return cleaned(pattern.format(_listed(rng.sample(list(names), len(names))[:most])) for pattern in PATTERNS)


def _listed(names: Sequence[str]) -> str:
    things = [("an " if name[0] in "aeiou" else "a ") + name for name in names]
    return things[0] if len(things) == 1 else ", ".join(things[:-1]) + " and " + things[-1]
