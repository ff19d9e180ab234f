"""What a person could say about a scene, with the truth of it. Only what no one would argue about is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from refseg_ros.sim.catalogue import CATALOGUE, COLOURS, nouns
from refseg_ros.sim.engine import Scene, SceneObject

# A thing smaller than this share of the image (60 pixels of 640 x 480) is neither a target nor surely absent.
MIN_SHARE = 60 / (640 * 480)
SUPERLATIVE_MARGIN_M, RELATION_MARGIN_M, NEAREST_MARGIN_M, BESIDE_M = 0.04, 0.05, 0.03, 0.12
PLURALS = {"box": "boxes", "popcorn": "popcorns"}
# Colours one may take for each other: beside a gold mug, no one can say that there is no yellow one.
NEAR_COLOURS = {
    "red": {"orange", "brown"},
    "yellow": {"orange", "gold", "beige"},
    "white": {"silver", "gray", "beige"},
    "black": {"gray"},
    "brown": {"orange", "red", "black", "gold", "beige"},
    "orange": {"red", "yellow", "brown", "gold"},
}
LOOKALIKES = {"ramekin": "bowl", "wine bottle": "bottle"}


@dataclass(frozen=True)
class Expression:
    """targets: object ids per phrase, empty where nothing fits; expect "AMBIGUOUS" where several fit a singular."""

    text: str
    type: str
    phrases: tuple[str, ...]
    targets: tuple[frozenset[int], ...]
    expect: str | None = None


@dataclass(frozen=True)
class _Seen:
    """Where a viewer sees a thing. Metres: right (camera x), ahead (along the ground, away from the viewer), range
    (from the camera). column: x / z of its centre; columns: the same for the left and right end of what shows."""

    object: SceneObject
    right: float
    ahead: float
    range: float
    depth: float
    column: float
    columns: tuple[float, float]


Ids = frozenset[int]
Heads = dict[str, Ids]
Views = dict[int, _Seen]


def _views(scene: Scene, objects: list[SceneObject]) -> Views:
    forward = scene.t_world_camera[:2, 2] / np.linalg.norm(scene.t_world_camera[:2, 2])
    views = {}
    for o in objects:
        x, _, z = o.position_camera
        shown = np.flatnonzero(np.any(scene.instance_ids == o.id, axis=0))
        ends = (shown[[0, -1]] + 0.5 - scene.k[0, 2]) / scene.k[0, 0]
        views[o.id] = _Seen(
            o, x, float(forward @ o.position_world[:2]), float(np.linalg.norm(o.position_camera)), z, x / z,
            (float(ends[0]), float(ends[1])),
        )  # fmt: skip
    return views


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
        for word in sorted({o.noun, o.category} - arguable):  # a set's own order differs from run to run
            words.setdefault(word, frozenset(p.id for p in objects if word in (p.noun, p.category)))
            for colour in o.colours:
                fits = frozenset(p.id for p in objects if word in (p.noun, p.category) and colour in p.colours)
                words.setdefault(f"{colour} {word}", fits)
    return words


def _plain(heads: Heads, bare: set[str]) -> Iterator[Expression]:
    for head, fits in heads.items():
        if len(fits) == 1:
            yield _single(f"the {head}", "name" if head in bare else "attribute", fits)
        else:
            yield _single(f"the {head}", "ambiguous", fits, "AMBIGUOUS")
            yield _single(f"all the {plural(head)}", "all-of", fits)


# Two readings of each word, with the margins by which the first thing must lead the second in both.
Reading = tuple[Callable[[_Seen], float], float]
ACROSS: tuple[Reading, ...] = (
    (lambda v: v.right, SUPERLATIVE_MARGIN_M),
    (lambda v: v.column, SUPERLATIVE_MARGIN_M / 2),
)
AWAY: tuple[Reading, ...] = ((lambda v: v.ahead, SUPERLATIVE_MARGIN_M), (lambda v: v.range, SUPERLATIVE_MARGIN_M / 2))
SUPERLATIVES = (("leftmost", 1, ACROSS), ("rightmost", -1, ACROSS), ("nearest", 1, AWAY), ("farthest", -1, AWAY))


def _first(values: npt.NDArray[np.float64], margin: float) -> int:
    """Index of the lowest value, -1 when it does not lead by the margin."""
    order = np.argsort(values)
    return int(order[0]) if values[order[1]] - values[order[0]] > margin else -1


def _superlatives(kinds: Heads, views: Views) -> Iterator[Expression]:
    for head, fits in kinds.items():
        if len(fits) < 2:
            continue
        ids = sorted(fits)
        for word, sign, readings in SUPERLATIVES:
            found = {_first(np.array([sign * read(views[i]) for i in ids]), margin) for read, margin in readings}
            if len(found) == 1 and -1 not in found:
                yield _single(f"the {word} {head}", "superlative", frozenset([ids[found.pop()]]))


def _leftness(a: _Seen, b: _Seen) -> float:
    """Metres by which a is left of b, in space and in the picture; nan where the two disagree.

    Arguable too: a thing straight in front of or behind a broad one, off its middle.
    """
    in_space, in_picture = b.right - a.right, (b.column - a.column) * (a.depth + b.depth) / 2
    if in_space * in_picture <= 0 or b.columns[0] < a.column < b.columns[1]:
        return float("nan")
    return float(np.sign(in_space)) * min(abs(in_space), abs(in_picture))


def _frontness(a: _Seen, b: _Seen) -> float:
    """Metres by which a is in front of b on the table; nan where that is arguable: they are not in line."""
    metres = b.ahead - a.ahead
    return metres if abs(a.right - b.right) < BESIDE_M else float("nan")


def _apart(a: _Seen, b: _Seen) -> bool:
    """Neither lies in or on the other."""
    return a.object.inside != b.object.id and b.object.inside != a.object.id


# Each gives metres by which a is, beyond doubt (over the margin), or is not (under minus the margin), so to b.
RELATIONS: tuple[tuple[str, Callable[[_Seen, _Seen], float]], ...] = (
    ("left of", _leftness),
    ("right of", lambda a, b: -_leftness(a, b)),
    ("in front of", lambda a, b: _frontness(a, b) if a.ahead < b.ahead else b.ahead - a.ahead),
    ("behind", lambda a, b: -_frontness(a, b) if a.ahead > b.ahead else a.ahead - b.ahead),
)


def _relations(kinds: Heads, heads: Heads, views: Views) -> Iterator[Expression]:
    anchors = {head: next(iter(fits)) for head, fits in heads.items() if len(fits) == 1}
    tables = {word: _table(test, views) for word, test in RELATIONS}
    for head, fits in kinds.items():
        for anchor, anchor_id in anchors.items():
            others = sorted(fits - {anchor_id})
            if not others or anchor == head:
                continue
            for word, table in tables.items():
                metres = [table[i, anchor_id] for i in others]
                if not all(abs(m) > RELATION_MARGIN_M for m in metres):  # nan fails too
                    continue
                fit = frozenset(i for i, m in zip(others, metres, strict=True) if m > 0)
                if not fit:
                    yield _single(f"the {head} {word} the {anchor}", "absent-relation", fit)
                elif len(fit) == 1:
                    yield _single(f"the {head} {word} the {anchor}", "relation", fit)
                else:
                    yield _single(f"all the {plural(head)} {word} the {anchor}", "all-of", fit)
            if len(others) > 1:
                away = np.array([_distance(views[i].object, views[anchor_id].object) for i in others])
                if (first := _first(away, NEAREST_MARGIN_M)) >= 0:
                    yield _single(f"the {head} nearest to the {anchor}", "relation", frozenset([others[first]]))


def _table(test: Callable[[_Seen, _Seen], float], views: Views) -> dict[tuple[int, int], float]:
    """The test for every pair; nan for things in or on each other."""
    pairs = [(i, j) for i in views for j in views if i != j]
    return {(i, j): test(views[i], views[j]) if _apart(views[i], views[j]) else float("nan") for i, j in pairs}


def _distance(a: SceneObject, b: SceneObject) -> float:
    """Metres between two things over the table: how tall they are does not matter."""
    return float(np.linalg.norm(np.subtract(a.position_world, b.position_world)[:2]))


def _containers(heads: Heads, objects: list[SceneObject], barely: list[SceneObject]) -> Iterator[Expression]:
    """in/on phrases for hosts with a name of their own and nothing barely visible in them."""
    names: dict[int, str] = {}
    for head, fits in sorted(heads.items(), key=lambda item: len(item[0])):  # "the basket" before "the white basket"
        if len(fits) == 1:
            names.setdefault(next(iter(fits)), head)
    barely_in = {o.inside for o in barely}
    for host in objects:
        word = CATALOGUE[host.key].holds
        if not word or host.id not in names or host.id in barely_in:
            continue
        within = frozenset(o.id for o in objects if o.inside == host.id)
        place = f"{word} the {names[host.id]}"
        if within:
            yield _single(f"everything {place}", "container", within)
        for head, fits in heads.items():
            if host.id in fits:
                continue
            if len(fits & within) == 1:
                yield _single(f"the {head} {place}", "container", fits & within)
            elif not fits & within:
                yield _single(f"the {head} {place}", "absent-relation", frozenset())


def _absent(objects: list[SceneObject], barely: list[SceneObject]) -> Iterator[Expression]:
    anything = [*objects, *barely]
    in_scene = {w for o in anything for w in (o.noun, o.category)}
    words = {w for noun in in_scene for w in noun.split(" ")}
    for noun in nouns():
        if not words.intersection(noun.split(" ")) and LOOKALIKES.get(noun) not in in_scene:
            yield _single(f"the {noun}", "absent-name", frozenset())
    for noun in sorted({o.noun for o in objects}):
        alike = {noun, LOOKALIKES.get(noun, noun)}
        shown = {c for o in anything if alike & {o.noun, o.category} for c in o.colours}
        for colour in COLOURS:
            if not shown & {colour, *NEAR_COLOURS.get(colour, ())}:
                yield _single(f"the {colour} {noun}", "absent-attribute", frozenset())


def expressions(scene: Scene) -> tuple[Expression, ...]:
    """Everything sayable of a scene, in a fixed order, without repeats."""
    enough = MIN_SHARE * scene.rgb.shape[0] * scene.rgb.shape[1]
    objects = [o for o in scene.objects if o.visible_px >= enough]
    barely = [o for o in scene.objects if 0 < o.visible_px < enough]
    views = _views(scene, objects)
    heads = _heads(objects, {w for o in barely for w in (o.noun, o.category)})
    kinds = heads if barely else heads | {"object": frozenset(views)}
    said = [
        *_plain(heads, {w for o in objects for w in (o.noun, o.category)}),
        *_superlatives(kinds, views),
        *_relations(kinds, heads, views),
        *_containers(heads, objects, barely),
        *_absent(objects, barely),
    ]
    singles = [head for head, fits in heads.items() if len(fits) == 1]
    for a, b in combinations(singles, 2):
        if heads[a] != heads[b]:
            phrases = (f"the {a}", f"the {b}")
            said.append(Expression(" and ".join(phrases), "pair", phrases, (heads[a], heads[b])))
    return tuple({e.text: e for e in reversed(said)}.values())[::-1]
