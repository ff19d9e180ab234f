"""One page that shows an evaluation: the figures with their intervals, the reliability of beliefs, what went right and
wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from refseg_ros.evaluation.calibration import reliability
from refseg_ros.evaluation.gallery import Gallery
from refseg_ros.evaluation.table import COLUMNS, cell


def write_page(
    path: Path, report: dict[str, Any], gallery: Gallery, beliefs: tuple[Sequence[float], Sequence[float]]
) -> None:
    """Write a self-contained HTML page. report: as `refseg eval` writes it; beliefs: stated belief and truth."""
    loader = jinja2.PackageLoader("refseg_ros.evaluation", ".")
    template = jinja2.Environment(autoescape=True, loader=loader).get_template("page.html.j2")
    rows = [(kind, _cells(row)) for kind, row in report["by_type"].items()] + [("all", _cells(report))]
    others = [(name, _cells(row)) for name, row in report.get("baselines", {}).items()]
    html = template.render(
        report=report, heads=list(COLUMNS.values()), rows=rows, others=others, cell=cell,
        wrong=gallery.examples(False), right=gallery.examples(True),
        types=_png(_by_type(report)), reliability=_png(_reliability(*beliefs)),
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def _cells(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Each figure and its interval."""
    both = [cell(row[c], interval=row["intervals_95"].get(c)).partition(" ") for c in COLUMNS]
    return [(value, interval) for value, _, interval in both]


def _by_type(report: dict[str, Any]) -> Figure:
    """gIoU by type, with intervals."""
    kinds = [k for k, row in report["by_type"].items() if row["gIoU"] is not None]
    figure = Figure(figsize=(6.4, 0.8 + 0.28 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    for place, kind in enumerate(reversed(kinds)):
        row = report["by_type"][kind]
        low, high = row["intervals_95"]["gIoU"]
        axes.plot([low, high], [place, place], color="0.6", lw=5, solid_capstyle="butt")
        axes.plot(row["gIoU"], place, "o", color="C0")
    axes.set(yticks=range(len(kinds)), yticklabels=list(reversed(kinds)), xlim=(0, 1.02), xlabel="gIoU, 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _reliability(belief: Sequence[float], truth: Sequence[float]) -> Figure:
    """How often phrases of a stated belief are there; points on the diagonal are honest."""
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    if rows := reliability(belief, truth) if len(belief) else []:
        most = max(n for _, _, n in rows)
        axes.scatter([b for b, _, _ in rows], [f for _, f, _ in rows], s=[20 + 180 * n / most for _, _, n in rows])
    axes.set(xlabel="stated belief", ylabel="share that is there", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    return figure


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
