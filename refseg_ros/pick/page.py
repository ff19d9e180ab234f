"""out/pick/index.html: every scene as a row of pictures, with what was asked, said and done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2


def write_page(path: Path, report: dict[str, Any], folder: Path) -> None:
    """The page; its pictures are files beside it, in folder/pictures/<seed>_<n>.jpg."""
    rows = []
    for row in report["rows"]:
        found = sorted((folder / "pictures").glob(f"{row['seed']}_*.jpg"))
        rows.append(row | {"pictures": [p.relative_to(folder).as_posix() for p in found]})
    figures = [(k.replace("_", " "), v) for k, v in report.items() if k != "rows"]
    environment = jinja2.Environment(autoescape=True, loader=jinja2.PackageLoader("refseg_ros.pick", "."))
    template = environment.get_template("page.html.j2")
    path.write_text(template.render(rows=rows, figures=figures), encoding="utf-8")
