"""What is asked in each scene, with its truth: things to pick, things that are not there, and several of a kind."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from refseg_ros.sim.catalogue import CATALOGUE, COLOURS

# Of every five scenes three hold what is asked for. Types of expression, for the kind and for the scene's turn.
KINDS = ("pick", "pick", "absent", "pick", "ambiguous")
TYPES = {
    "pick": ("name", "attribute", "superlative", "relation"),
    "absent": ("absent-name", "absent-attribute"),
    "ambiguous": ("ambiguous",),
}
PLACES = "the object leftmost rightmost nearest farthest left right in front of behind to"
PLAIN = frozenset(
    {word for entry in CATALOGUE.values() for word in (*entry.noun.split(), entry.category)}
    | {*COLOURS, *PLACES.split()}
)
TOO_WIDE = ("plate", "tray", "basket", "pan")  # for this gripper, however it turns


@dataclass(frozen=True)
class Task:
    """kind: pick, absent or ambiguous. target: the object's id, for pick; along: what may come up with it."""

    kind: str
    instruction: str
    target: int | None = None
    along: frozenset[int] = frozenset()


def plain(text: str) -> bool:
    """Whether an instruction is made of things, their colours and their places alone."""
    return set(text.split()) <= PLAIN


def choose(truth: dict[str, Any], number: int, every_word: bool = False) -> Task | None:
    """The task of scene `number`; None when this scene has nothing of its kind.

    What is to be picked stands free: not too wide for the gripper, and in nothing else. every_word: instructions that
    are not plain() as well: materials, sizes, patterns.
    """
    kind = KINDS[number % len(KINDS)]
    objects = {o["id"]: o for o in truth["objects"]}
    rng = random.Random(truth["scene_seed"])
    types = TYPES[kind]
    for offset in range(len(types)):
        wanted = types[(number + offset) % len(types)]
        said = [e for e in truth["expressions"] if e["type"] == wanted and (every_word or plain(e["text"]))]
        if kind == "ambiguous":
            said = [e for e in said if not e["text"].endswith(" object")]  # that is too easy
        if kind == "pick":
            said = [e for e in said if _free(objects[e["targets"][0][0]])]
        if said:
            chosen = rng.choice(said)
            target = chosen["targets"][0][0] if kind == "pick" else None
            along = frozenset(o["id"] for o in objects.values() if target is not None and o["inside"] == target)
            return Task(kind, chosen["text"], target, along)
    return None


def _free(thing: dict[str, Any]) -> bool:
    return thing["category"] not in TOO_WIDE and thing["inside"] is None
