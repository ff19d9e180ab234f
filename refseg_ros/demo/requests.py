"""The ten requests of the demo, drawn from what is true of the scene in view."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from refseg_ros.core.outcome import Outcome, Verdict, combine
from refseg_ros.demo.truth import SceneTruth


@dataclass(frozen=True)
class DemoRequest:
    """What is asked and what is true. verdicts and targets: one per phrase, in order; both empty for an ERROR."""

    kind: str
    instruction: str
    expected: Outcome
    verdicts: tuple[Verdict, ...] = ()
    targets: tuple[frozenset[int], ...] = ()


LEAST_SHARE = 0.001  # of the picture: 300 pixels of 640 x 480
# Every kind the demo shows, with the expression types that serve for it, best first.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("single", ("name",)),
    ("attribute", ("attribute",)),
    ("relation", ("relation", "superlative")),
    ("all of", ("all-of",)),
    ("pair", ("pair",)),
    ("absent", ("absent-name",)),
    ("half absent", ()),
    ("ambiguous", ("ambiguous",)),
    ("empty", ()),
    ("spoken", ("superlative", "attribute", "name")),
)


def _verdict(targets: frozenset[int], expect: str | None) -> Verdict:
    if expect == "AMBIGUOUS":
        return Verdict.AMBIGUOUS
    return Verdict.FOUND if targets else Verdict.ABSENT


def _from_expression(kind: str, expression: dict[str, Any], instruction: str | None = None) -> DemoRequest:
    targets = tuple(frozenset(int(i) for i in ids) for ids in expression["targets"])
    verdicts = tuple(_verdict(t, expression.get("expect")) for t in targets)
    return DemoRequest(kind, instruction or expression["text"], combine(verdicts), verdicts, targets)


def _told_at_a_glance(truth: SceneTruth) -> list[dict[str, Any]]:
    """The expressions about things that a person sees without looking for them."""
    ids, areas = np.unique(truth.instance_ids, return_counts=True)
    seen = set(ids[areas >= LEAST_SHARE * truth.instance_ids.size].tolist())
    return [e for e in truth.expressions if all(int(i) in seen for target in e["targets"] for i in target)]


def missing_kinds(truth: SceneTruth) -> list[str]:
    """The kinds this scene has no true expression for; a scene fit for the demo has none."""
    have = {e["type"] for e in _told_at_a_glance(truth)}
    return [kind for kind, types in KINDS if types and not have.intersection(types)]


def choose_requests(truth: SceneTruth, seed: int) -> list[DemoRequest]:
    """One request of each kind, repeatable for a seed. A kind the scene cannot show is left out."""
    rng = random.Random(seed)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for known in _told_at_a_glance(truth):
        by_type.setdefault(known["type"], []).append(known)
    used: set[str] = set()

    def pick(types: tuple[str, ...]) -> dict[str, Any] | None:
        for kind in types:
            choices = [e for e in by_type.get(kind, []) if e["text"] not in used]
            if choices:
                chosen = rng.choice(choices)
                used.add(chosen["text"])
                return chosen
        return None

    requests: list[DemoRequest] = []
    for kind, types in KINDS:
        if kind == "empty":
            requests.append(DemoRequest(kind, "", Outcome.ERROR))
            continue
        if kind == "half absent":
            present, absent = pick(("attribute", "name")), pick(("absent-name",))
            if present and absent:
                both = {
                    "text": f"{present['text']} and {absent['text']}",
                    "targets": [present["targets"][0], []],
                }
                requests.append(_from_expression(kind, both))
            continue
        expression = pick(types)
        if expression is None:
            continue
        spoken = f"um, hey robot, could you please hand me {expression['text']}" if kind == "spoken" else None
        requests.append(_from_expression(kind, expression, spoken))
    return requests
