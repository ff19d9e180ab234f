"""Which scenes belong to which split: by their seeds, which never meet."""

from __future__ import annotations

SPLIT_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
SPLIT_SIZE, SEED_SIZE = 1_000_000, 10_000


def scene_seeds(count: int, seed: int, split: str) -> range:
    """The engine's seeds for one dataset: no two splits ever share one, whatever their seeds.

    Raises ValueError for a split other than train, val, test, and for a count above 10,000.
    """
    if split not in SPLIT_SEEDS:
        raise ValueError(f"split must be one of {', '.join(SPLIT_SEEDS)}, not {split!r}")
    if not 0 <= count <= SEED_SIZE or seed < 0:
        raise ValueError(f"count must be 0 to {SEED_SIZE} and seed at least 0, not {count} and {seed}")
    block, within = divmod(seed, SPLIT_SIZE // SEED_SIZE)
    first = block * SPLIT_SIZE * len(SPLIT_SEEDS) + SPLIT_SEEDS[split] + within * SEED_SIZE
    return range(first, first + count)


def split_of(scene_seed: int) -> str:
    """The split that a scene's seed belongs to."""
    return list(SPLIT_SEEDS)[scene_seed // SPLIT_SIZE % len(SPLIT_SEEDS)]
