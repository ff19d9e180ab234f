"""Which part of a system a parameter belongs to: what stages train, and what weights files hold."""

from __future__ import annotations

PARTS = ("head", "language", "glance", "words", "connector", "vision")
_PATTERNS = (
    ("glance", ("hear.", "glance.", "say.")),  # first: it has a place of its own
    ("connector", ("visual.merger.", "deepstack_merger_list.", "multi_modal_projector.")),
    ("connector", ("connector.", "look.", "place.")),
    ("vision", ("visual.", "vision_tower.", "efficientnet.", "swin.", "sam.")),
    ("words", ("embed_tokens.", "lm_head.", "_head.")),
)


def part_of(name: str) -> str:
    """One of PARTS, from the name of a parameter or buffer of a System."""
    if name.startswith("head."):
        return "head"
    path = name.removeprefix("backbone.")
    for part, patterns in _PATTERNS:
        if any(path.startswith(p) or f".{p}" in path for p in patterns):
            return part
    return "language"
