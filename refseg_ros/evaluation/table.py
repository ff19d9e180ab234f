"""An evaluation's report as a person reads it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {
    "count": "n", "gIoU": "gIoU", "cIoU": "cIoU", "N_acc": "N-acc", "T_acc": "T-acc", "Pr@0.7": "Pr@.7",
    "outcome_right": "outcome right", "instance_F1_is_1": "F1 = 1",
}  # fmt: skip


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """By type and in all, then the confusion of verdicts, then single figures."""
    console = console or Console(width=120)
    table = Table(title=f"{report['model']} on {report['dataset']}")
    table.add_column("type")
    for head in COLUMNS.values():
        table.add_column(head, justify="right")
    for kind, row in report["by_type"].items():
        table.add_row(kind, *(_cell(row[c]) for c in COLUMNS))
    table.add_section()
    table.add_row("all", *(_cell(report[c]) for c in COLUMNS))
    console.print(table)
    confusion = Table(title="phrases: what is true (rows), what was said (columns)")
    confusion.add_column("")
    said = list(next(iter(report["by_phrase_verdict"].values())))
    for head in said:
        confusion.add_column(head, justify="right")
    for truth, row in report["by_phrase_verdict"].items():
        confusion.add_row(truth, *(str(row[s]) for s in said))
    console.print(confusion)
    place, first, further = report["centroid_error_mm"], report["ms_first_phrase"], report["ms_further_request"]
    console.print(
        f"calibration error {_cell(report['calibration']['ece'])}; absent phrases said to be FOUND "
        f"{_cell(report['absent_said_found'])}, UNCERTAIN {_cell(report['absent_said_uncertain'])}"
    )
    console.print(
        f"centroid error {_cell(place['median'], 1)} mm (95 %: {_cell(place['p95'], 1)}); first phrase "
        f"{_cell(first['median'], 0)} ms, one more on the same image {_cell(further['median'], 0)} ms"
    )


def _cell(value: Any, digits: int = 3) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{digits}f}"
