"""The card of a set of scenes: what is in it, counted, as card.json for programs and README.md for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refseg_ros.sim import holdout

SCHEMA = 1


class Card:
    """Counts over scenes, added one by one. settings: what made the set (split, seed, count, size)."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.scenes = self.visible = 0
        self.nouns: Counter[str] = Counter()
        self.coloured: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self.targets: Counter[str] = Counter()
        self.texts: set[str] = set()

    def add(self, objects: Iterable[dict[str, Any]], expressions: Iterable[dict[str, Any]]) -> None:
        """One scene. objects: noun, colours, visible_px; expressions: text, type, targets (lists of ids), expect."""
        self.scenes += 1
        for o in objects:
            if o["visible_px"]:
                self.visible += 1
                self.nouns[o["noun"]] += 1
                self.coloured.update(f"{c} {o['noun']}" for c in o["colours"])
        for e in expressions:
            self.types[e["type"]] += 1
            self.texts.add(e["text"])
            several = "ambiguous" if e.get("expect") else "several" if any(len(t) > 1 for t in e["targets"]) else "one"
            self.targets["none" if not any(e["targets"]) else several] += 1

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "schema": SCHEMA,
            **self.settings,
            "scenes": self.scenes,
            "visible_objects": self.visible,
            "expressions": sum(self.types.values()),
            "distinct_texts": len(self.texts),
            "types": dict(sorted(self.types.items())),
            "targets": dict(sorted(self.targets.items())),
            "nouns": dict(sorted(self.nouns.items())),
            "noun_colour_pairs": dict(sorted(self.coloured.items())),
            "held_out": {
                "nouns": list(holdout.NOUNS),
                "pairs": [f"{c} {n}" for n, c in holdout.PAIRS],
                "surfaces": list(holdout.SURFACES),
            },
        }

    def write(self, out: Path) -> None:
        """card.json and README.md."""
        card = self.as_dict()
        (out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        (out / "README.md").write_text(_readme(card), encoding="utf-8")


def _readme(card: dict[str, Any]) -> str:
    absent = card["targets"].get("none", 0) / max(1, card["expressions"])
    lines = [
        f"# Rendered table-top scenes: {card['split']}",
        "",
        f"{card['scenes']} scenes of {card['size'][0]} x {card['size'][1]}, first scene seed {card['first_seed']}, "
        f"with {card['visible_objects']} visible objects and {card['expressions']} expressions "
        f"({card['distinct_texts']} distinct texts; {absent:.0%} name nothing that is there).",
        "The same command gives the same scenes; an interrupted one goes on where it stopped.",
        "",
        f"Held out of training and validation: {', '.join(card['held_out']['nouns'])}; "
        f"{', '.join(card['held_out']['pairs'])}; the surfaces {', '.join(card['held_out']['surfaces'])}.",
        "",
        "| type | expressions |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in card["types"].items()),
        "",
        "| noun | visible |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in card["nouns"].items()),
        "",
        "Objects: LIBERO's assets (CC BY 4.0), NVIDIA HOPE's groceries (CC BY-NC-SA 4.0), robosuite (MIT).",
        "For research and demonstration.",
    ]
    return "\n".join(lines) + "\n"
