"""Tables of words and of entries of several words, and looking for an entry in a list of words.

An entry is a tuple of lower-case words; `longest` finds the longest entry at a place in a word list.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

Entries = frozenset[tuple[str, ...]]


def entries(lines: str) -> Entries:
    """The entries of lines with "|" between them."""
    return frozenset(tuple(part.split()) for line in lines.splitlines() for part in line.split("|") if part.strip())


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


@lru_cache(maxsize=64)
def _longest_by_first(table: Entries) -> dict[str, int]:
    """First word -> length of the longest entry that begins with it: most words begin none."""
    out: dict[str, int] = {}
    for entry in table:
        out[entry[0]] = max(out.get(entry[0], 0), len(entry))
    return out


def longest(said: Sequence[str], at: int, table: Entries, limit: int = 6) -> int:
    """Length of the longest entry of `table` that stands in `said` at index `at`; 0 when none does."""
    longest_of = _longest_by_first(table).get(said[at], 0) if at < len(said) else 0
    for n in range(min(limit, longest_of, len(said) - at), 0, -1):
        if tuple(said[at : at + n]) in table:
            return n
    return 0
