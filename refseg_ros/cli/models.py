"""`refseg models`: what is installed, where its weights are, what it needs, which licence."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the models: name, licence, what each needs and where its weights are."""
    from refseg_ros import models

    rows = [asdict(model) for model in models.describe()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(row.pop("name") + (" (baseline: to compare with, not to use)" if row.pop("baseline") else ""))
        for key, value in row.items():
            if value:
                print(f"  {key}: {value}")
