"""How MVP-LM is asked: one word list or one sentence, and where in the text each phrase stands.

The answer's own form (a caption, then <PER>) belongs to models/answers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

WORD_TASK = "Find everything in the image that one of these phrases names. The phrases are: "
SENTENCE_TASK = "Find what the following instruction asks for: "


@dataclass(frozen=True)
class Prompt:
    """text: what the language model reads after the image; spans: (first, past the last) character of each phrase."""

    text: str
    spans: tuple[tuple[int, int], ...]


def word_prompt(names: Sequence[str]) -> Prompt:
    """Names in the order given, separated by commas. Raises ValueError for no names, and for one with a comma."""
    if not names:
        raise ValueError("a word list needs at least one name")
    text, spans = WORD_TASK, []
    for number, name in enumerate(names):
        if not name.strip() or "," in name:
            raise ValueError(f"a name in a word list is not empty and holds no comma: {name!r}")
        text += ", " if number else ""
        spans.append((len(text), len(text) + len(name)))
        text += name
    return Prompt(text + ".", tuple(spans))


def sentence_prompt(sentence: str) -> Prompt:
    """The whole sentence is one phrase. Raises ValueError for an empty one."""
    if not sentence.strip():
        raise ValueError("the instruction is empty")
    return Prompt(SENTENCE_TASK + sentence, ((len(SENTENCE_TASK), len(SENTENCE_TASK) + len(sentence)),))


def word_list(
    present: Sequence[str], vocabulary: Sequence[str], most: int, rng: random.Random, absent_share: float = 1.0
) -> list[str]:
    """Names for one training sample: all present ones, a random number of absent ones, shuffled.

    Up to absent_share x the room that `most` leaves is filled with absent names, never more than the vocabulary has.
    Raises ValueError when the present names alone are more than `most`.
    """
    here = list(dict.fromkeys(present))
    if len(here) > most:
        raise ValueError(f"{len(here)} names are present, but a word list may have {most}: raise the limit")
    others = [name for name in dict.fromkeys(vocabulary) if name not in set(here)]
    room = min(len(others), int((most - len(here)) * absent_share))
    least = 0 if here else min(1, room)
    names = here + rng.sample(others, rng.randint(least, room))
    rng.shuffle(names)
    return names


def members(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> list[list[bool]]:
    """For each phrase, which tokens stand for it. offsets: a fast tokenizer's offset_mapping of the prompt's text.

    Tokens without characters (special ones) belong to none. Raises ValueError for a phrase that no token covers.
    """
    out = [[low < last and first < high for low, high in offsets] for first, last in spans]
    for span, row in zip(spans, out, strict=True):
        if not any(row):
            raise ValueError(f"no token covers characters {span[0]} to {span[1]} of the prompt")
    return out
