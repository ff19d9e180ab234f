"""How sure the model may be of what training never showed: looks unlike all it has seen, words it has never read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from refseg_ros.core.protocol import Thresholds

LEAST_SURE = 0.3  # of a low belief's logit, what is left of it however strange the looks are
LEAST_READ = 0.2  # and what is left of it where a word was never read
OFTEN = 5  # how many of training's phrases hold a word that counts as read: rarer ones are slips of the finger
WORD = re.compile(r"[^\W\d_]+")


def as_far_as_familiar(
    belief_p: npt.NDArray[np.float32], scores_pn: npt.NDArray[np.float32], familiar_n: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Beliefs (P,) that something fits, drawn to one half as far as what would fit is unlike training's.

    Who has never seen the like may have a guess, and cannot be sure of it, nor quite sure that it is not there: a low
    belief is drawn there in its logit, so that what nothing looks like at all stays absent.
    """
    share = (scores_pn / scores_pn.max(1, initial=1e-12, keepdims=True)) ** 4  # of those that are meant, or nearly
    known = (share * familiar_n).sum(1) / np.maximum(share.sum(1), 1e-9)
    held = _held_back(belief_p, np.maximum(known, LEAST_SURE))
    return np.where(belief_p > 0.5, 0.5 + (belief_p - 0.5) * known, held).astype(np.float32)


def as_far_as_read(belief_p: npt.NDArray[np.float32], read_p: Sequence[bool]) -> npt.NDArray[np.float32]:
    """Beliefs (P,), the low ones held back where a word of the phrase was never read: training has told what its own
    words mean, and that all others name nothing."""
    held = _held_back(belief_p, np.where(read_p, 1.0, LEAST_READ))
    return np.where(belief_p > 0.5, belief_p, held).astype(np.float32)


def no_verdict_turned(
    before_p: npt.NDArray[np.float32], doubted_p: npt.NDArray[np.float32], thresholds: Thresholds
) -> npt.NDArray[np.float64]:
    """Doubted beliefs (P,) that lead to the verdict of before or to none: doubt accepts nothing that was not accepted
    and denies nothing that was not denied, wherever the thresholds lie, so their stated rates hold."""
    doubted = doubted_p.astype(np.float64)
    below = np.nextafter(thresholds.accept, 0)
    doubted = np.where(before_p < thresholds.accept, np.minimum(doubted, below), doubted)
    kept: npt.NDArray[np.float64] = np.where(
        before_p >= thresholds.reject, np.maximum(doubted, thresholds.reject), doubted
    )
    return kept


def all_read(text: str, words: frozenset[str]) -> bool:
    """Whether all of a text's words are among those that training has read; True where nobody knows which those are."""
    return not words or words.issuperset(WORD.findall(text.lower()))


def unreadable(text: str, words: frozenset[str]) -> bool:
    """Whether a text is in another script and training has read none of it: then nothing at all is known of what it
    asks for. Where nobody knows what was read, it is taken to be readable."""
    found = WORD.findall(text.lower())
    return bool(words) and not text.isascii() and words.isdisjoint(found)


def often_read(texts: Iterable[str]) -> frozenset[str]:
    """The words of training's phrases that count as read."""
    counts = Counter(word for text in texts for word in set(WORD.findall(text.lower())))
    return frozenset(word for word, count in counts.items() if count >= OFTEN)


def _held_back(belief_p: npt.NDArray[np.float32], share_p: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Beliefs up to one half, with that share of their logits."""
    low = np.clip(belief_p, 1e-6, 0.5)
    held: npt.NDArray[np.floating] = 1 / (1 + (1 / low - 1) ** share_p)
    return held
