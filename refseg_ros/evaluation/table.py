"""An evaluation's report as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {
    "count": "n", "gIoU": "gIoU", "cIoU": "cIoU", "N_acc": "N-acc", "T_acc": "T-acc", "Pr@0.7": "Pr@.7",
    "Pr@0.9": "Pr@.9", "outcome_right": "outcome", "instance_F1_is_1": "F1 = 1", "GREC_F1_is_1": "GREC",
    "box_accuracy": "REC",
}  # fmt: skip
WITH_INTERVAL = ("gIoU",)


def print_report(report: dict[str, Any], console: Console | None = None) -> None:
    """By type, in all, baselines; then the confusion of verdicts, then single figures."""
    console = console or Console(width=132)
    table = Table(title=f"{report['model']} on {report['dataset']} (in brackets: 95 % intervals over images)")
    table.add_column("type")
    for head in COLUMNS.values():
        table.add_column(head, justify="right", no_wrap=True)
    for kind, row in report["by_type"].items():
        table.add_row(kind, *_cells(row))
    table.add_section()
    table.add_row("all", *_cells(report))
    for name, row in report.get("baselines", {}).items():
        table.add_row(f"baseline {name}", *_cells(row))
    console.print(table)
    confusion = Table(title="phrases: what is true (rows), what was said (columns)")
    confusion.add_column("")
    said = list(next(iter(report["by_phrase_verdict"].values())))
    for head in said:
        confusion.add_column(head, justify="right")
    for truth, row in report["by_phrase_verdict"].items():
        confusion.add_row(truth, *(str(row[s]) for s in said))
    console.print(confusion)
    spans, several, small = report["intervals_95"], report["ambiguous"], report["min_pixels_50"]
    place, first, further = report["centroid_error_mm"], report["ms_first_phrase"], report["ms_further_request"]
    console.print(
        f"calibration error {cell(report['calibration']['ece'], interval=spans.get('ece'))}; absent phrases said to be "
        f"there {cell(report['absent_said_found'], interval=spans.get('absent_said_found'))}, UNCERTAIN "
        f"{cell(report['absent_said_uncertain'])}; present ones said to be absent "
        f"{cell(report['present_said_absent'], interval=spans.get('present_said_absent'))}; of all phrases UNCERTAIN "
        f"{cell(report['said_uncertain'])}"
    )
    console.print(
        f"several fit ({several['count']} phrases): recall {cell(several['recall'])}, precision "
        f"{cell(several['precision'])}, F1 of the candidates {cell(several['candidates_F1'])}"
    )
    console.print(
        f"masks under 50 pixels cleared: gIoU {cell(small['gIoU'])}, cIoU {cell(small['cIoU'])}, "
        f"N-acc {cell(small['N_acc'])}, T-acc {cell(small['T_acc'])}"
    )
    console.print(
        f"centroid error {cell(place['median'], 1)} mm (95 %: {cell(place['p95'], 1)}); first phrase "
        f"{cell(first['median'], 0)} ms, one more on the same image {cell(further['median'], 0)} ms"
    )


def _cells(row: dict[str, Any]) -> list[str]:
    return [cell(row[c], interval=row["intervals_95"].get(c) if c in WITH_INTERVAL else None) for c in COLUMNS]


def cell(value: Any, digits: int = 3, interval: Sequence[float | None] | None = None) -> str:
    """A figure, and its interval in brackets where there is one."""
    if value is None:
        return "-"
    text = str(value) if isinstance(value, int) else f"{value:.{digits}f}"
    if interval is None or interval[0] is None:
        return text
    return f"{text} [{interval[0]:.2f}, {interval[1]:.2f}]"
