"""What a person could say about a scene, with the truth of it. Only what no one would argue about is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from refseg_ros.sim.catalogue import COLOURS, nouns
from refseg_ros.sim.engine import Scene, SceneObject

# A thing smaller than this share of the image (60 pixels of 640 x 480) is neither a target nor surely absent.
MIN_SHARE = 60 / (640 * 480)
SUPERLATIVE_MARGIN_M, RELATION_MARGIN_M, NEAREST_MARGIN_M, BESIDE_M = 0.04, 0.05, 0.03, 0.12
SUPERLATIVES = (("leftmost", 0, 1), ("rightmost", 0, -1), ("nearest", 2, 1), ("farthest", 2, -1))
PLURALS = {"box": "boxes", "popcorn": "popcorns"}


@dataclass(frozen=True)
class Expression:
    """targets: object ids per phrase, empty where nothing fits; expect "AMBIGUOUS" where several fit a singular."""

    text: str
    type: str
    phrases: tuple[str, ...]
    targets: tuple[frozenset[int], ...]
    expect: str | None = None


Ids = frozenset[int]
Heads = dict[str, Ids]


def plural(noun: str) -> str:
    """"red mug" -> "red mugs"."""
    *rest, last = noun.split(" ")
    return " ".join([*rest, PLURALS.get(last, last if last.endswith("s") else last + "s")])


def _single(text: str, kind: str, targets: Ids, expect: str | None = None) -> Expression:
    return Expression(text, kind, (text,), (targets,), expect)


def _heads(objects: list[SceneObject], arguable: set[str]) -> Heads:
    """Noun phrases without article that fit something in view, and exactly what they fit."""
    words: Heads = {}
    for o in objects:
        for word in {o.noun, o.category} - arguable:
            words.setdefault(word, frozenset(p.id for p in objects if word in (p.noun, p.category)))
            for colour in o.colours:
                fits = frozenset(p.id for p in objects if word in (p.noun, p.category) and colour in p.colours)
                words.setdefault(f"{colour} {word}", fits)
    return words


def _plain(heads: Heads) -> Iterator[Expression]:
    for head, fits in heads.items():
        coloured = any(head.startswith(c + " ") for c in COLOURS)
        if len(fits) == 1:
            yield _single(f"the {head}", "attribute" if coloured else "name", fits)
        else:
            yield _single(f"the {head}", "ambiguous", fits, "AMBIGUOUS")
            yield _single(f"all the {plural(head)}", "all-of", fits)


def _superlatives(heads: Heads, by_id: dict[int, SceneObject]) -> Iterator[Expression]:
    for head, fits in [*heads.items(), ("object", frozenset(by_id))]:
        if len(fits) < 2:
            continue
        for word, axis, sign in SUPERLATIVES:
            order = sorted((sign * by_id[i].position_camera[axis], i) for i in fits)
            if order[1][0] - order[0][0] > SUPERLATIVE_MARGIN_M:
                yield _single(f"the {word} {head}", "superlative", frozenset([order[0][1]]))


Test = Callable[[SceneObject, SceneObject], float]
# Each gives metres by which a is, beyond doubt (over the margin), or is not (under minus the margin), so to b.
RELATIONS: tuple[tuple[str, Test], ...] = (
    ("left of", lambda a, b: b.position_camera[0] - a.position_camera[0]),
    ("right of", lambda a, b: a.position_camera[0] - b.position_camera[0]),
    ("in front of", lambda a, b: _if_beside(a, b, b.position_camera[2] - a.position_camera[2])),
    ("behind", lambda a, b: _if_beside(a, b, a.position_camera[2] - b.position_camera[2])),
)


def _if_beside(a: SceneObject, b: SceneObject, metres: float) -> float:
    """In front and behind are said of things roughly in line with each other; elsewhere they are arguable (nan)."""
    aside = abs(a.position_camera[0] - b.position_camera[0])
    return metres if aside < BESIDE_M or metres < 0 else float("nan")


def _relations(heads: Heads, by_id: dict[int, SceneObject]) -> Iterator[Expression]:
    anchors = {head: next(iter(fits)) for head, fits in heads.items() if len(fits) == 1}
    for head, fits in [*heads.items(), ("object", frozenset(by_id))]:
        for anchor, anchor_id in anchors.items():
            others = sorted(fits - {anchor_id})
            if not others or anchor == head:
                continue
            for word, test in RELATIONS:
                metres = np.array([test(by_id[i], by_id[anchor_id]) for i in others])
                if not np.all(np.abs(metres) > RELATION_MARGIN_M):  # nan fails too
                    continue
                fit = frozenset(i for i, m in zip(others, metres, strict=True) if m > 0)
                if not fit:
                    yield _single(f"the {head} {word} the {anchor}", "absent-relation", fit)
                elif len(fit) == 1:
                    yield _single(f"the {head} {word} the {anchor}", "relation", fit)
                else:
                    yield _single(f"all the {plural(head)} {word} the {anchor}", "all-of", fit)
            order = sorted((_distance(by_id[i], by_id[anchor_id]), i) for i in others)
            if len(order) > 1 and order[1][0] - order[0][0] > NEAREST_MARGIN_M:
                yield _single(f"the {head} nearest to the {anchor}", "relation", frozenset([order[0][1]]))


def _distance(a: SceneObject, b: SceneObject) -> float:
    return float(np.linalg.norm(np.subtract(a.position_world, b.position_world)))


def _containers(heads: Heads, by_id: dict[int, SceneObject], hidden: bool) -> Iterator[Expression]:
    names = {next(iter(fits)): head for head, fits in heads.items() if len(fits) == 1}
    for o in by_id.values():
        host = by_id.get(o.inside) if o.inside is not None else None
        if host is None or host.id not in names or hidden:
            continue
        word = "on" if host.category == "plate" else "in"
        fit = frozenset(p.id for p in by_id.values() if p.inside == host.id and p.noun == o.noun)
        if len(fit) == 1:
            yield _single(f"the {o.noun} {word} the {names[host.id]}", "container", fit)
        yield _single(
            f"everything {word} the {names[host.id]}",
            "container",
            frozenset(p.id for p in by_id.values() if p.inside == host.id),
        )


def _absent(objects: list[SceneObject], hidden: list[SceneObject]) -> Iterator[Expression]:
    in_scene = {w for o in [*objects, *hidden] for w in (o.noun, o.category)}
    words = {w for noun in in_scene for w in noun.split(" ")}
    for noun in nouns():
        if noun not in in_scene and not words.intersection(noun.split(" ")):
            yield _single(f"the {noun}", "absent-name", frozenset())
    for noun in sorted({o.noun for o in objects}):
        shown = {c for o in [*objects, *hidden] if noun in (o.noun, o.category) for c in o.colours}
        for colour in COLOURS:
            if colour not in shown:
                yield _single(f"the {colour} {noun}", "absent-attribute", frozenset())


def expressions(scene: Scene) -> tuple[Expression, ...]:
    """Everything sayable of a scene, in a fixed order, without repeats."""
    enough = MIN_SHARE * scene.rgb.shape[0] * scene.rgb.shape[1]
    objects = [o for o in scene.objects if o.visible_px >= enough]
    hidden = [o for o in scene.objects if o.visible_px < enough]
    by_id = {o.id: o for o in objects}
    heads = _heads(objects, {w for o in hidden for w in (o.noun, o.category)})
    singles = [head for head, fits in heads.items() if len(fits) == 1]
    said = [
        *_plain(heads),
        *_superlatives(heads, by_id),
        *_relations(heads, by_id),
        *_containers(heads, by_id, bool(hidden)),
        *_absent(objects, hidden),
    ]
    for a, b in combinations(singles, 2):
        if heads[a] != heads[b]:
            phrases = (f"the {a}", f"the {b}")
            said.append(Expression(" and ".join(phrases), "pair", phrases, (heads[a], heads[b])))
    return tuple({e.text: e for e in reversed(said)}.values())[::-1]
