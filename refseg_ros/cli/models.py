"""`refseg models`: what is installed, where its weights are, what it needs, which licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the models: name, licence, what each needs and where its weights are."""
    from refseg_ros import models

    rows = [_row(m) for m in models.describe()]
    if as_json:
        print(json.dumps(rows, indent=1, default=str))
        return
    for row in rows:
        print(row.get("name", "?") + (" (baseline: to compare with, not to use)" if row.get("baseline") else ""))
        for key, value in row.items():
            if key not in ("name", "baseline"):
                print(f"  {key}: {value}")


def _row(model: Any) -> dict[str, Any]:
    """A described model as a dict, whether it came as a mapping or a dataclass."""
    if is_dataclass(model) and not isinstance(model, type):
        return asdict(model)
    return dict(model) if isinstance(model, Mapping) else {"name": str(model)}
