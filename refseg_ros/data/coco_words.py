"""Which names of COCO's panoptic categories can be argued about when somebody says them. Plain names, no "-merged".

COCO's own label files draw each region once: what is an apple is no "food" there, and all pillows are one segment.
"""

from __future__ import annotations

from collections.abc import Collection

_FRUIT = frozenset(["banana", "apple", "orange"])
WIDER = {  # a name -> those that it covers as well
    "food": _FRUIT | {"fruit", "sandwich", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"},
    "fruit": _FRUIT,
    "water": frozenset(["sea", "river"]),
    "building": frozenset(["house", "tent"]),
    "house": frozenset(["building"]),
    "dirt": frozenset(["gravel", "sand"]),
    "tree": frozenset(["potted plant"]),
    "flower": frozenset(["potted plant", "vase"]),
    "rug": frozenset(["blanket"]),
    "blanket": frozenset(["rug", "towel", "bed"]),
    "paper": frozenset(["book", "cardboard"]),
    "shelf": frozenset(["cabinet"]),
    "cabinet": frozenset(["shelf", "refrigerator"]),
    "table": frozenset(["counter"]),
    "counter": frozenset(["table", "cabinet"]),
    "road": frozenset(["pavement", "railroad"]),
    "mountain": frozenset(["rock"]),
    "rock": frozenset(["mountain", "gravel"]),
}
COUNTABLE = frozenset(  # stuff in COCO, drawn as one segment however many there are
    [
        "banner", "blanket", "bridge", "cabinet", "curtain", "door", "flower", "fruit", "house", "building", "light",
        "mirror", "mountain", "pillow", "rock", "roof", "rug", "shelf", "table", "tent", "towel", "tree", "window",
        "window blind",
    ]
)  # fmt: skip


def arguable(name: str, thing: bool, others: Collection[str]) -> bool:
    """Whether "the <name>" could be taken for something else in a picture that also shows the other names, or for one
    of several that are drawn as one: "the bear" beside a teddy bear, "the food" beside a pizza, "the pillow"."""
    words = set(name.split())
    narrower = any(words < set(other.split()) for other in others)
    return narrower or not WIDER.get(name, frozenset()).isdisjoint(others) or (not thing and name in COUNTABLE)


def covered(name: str, seen: Collection[str]) -> bool:
    """Whether a picture that shows the names seen may show one of these too: an absence that can be argued about."""
    near = {wide for wide, narrow in WIDER.items() if name in narrow} | WIDER.get(name, frozenset())
    return not near.isdisjoint(seen)
