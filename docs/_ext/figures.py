"""The directive `figures`: what `make bench` measured last, from bench/results.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["Figures", "setup"]

RESULTS = Path(__file__).parents[2] / "bench" / "results.json"


class Figures(SphinxDirective):
    """A table of all figures, and the machines that they are from."""

    def run(self) -> list[nodes.Node]:
        """Return the table and a paragraph."""
        self.env.note_dependency(str(RESULTS))
        measured = json.loads(RESULTS.read_text())
        machines = sorted({each["machine"] for each in measured})
        header = ("figure", "median", "unit", "least to greatest", "runs", "bar")
        rows = [header, *(_row(each) for each in measured)]
        return [_table(rows), nodes.paragraph(text=f"Measured on: {'; '.join(machines)}.")]


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    low, high = figure["spread"]
    bar = "" if figure["bar"] is None else f"{'≤' if figure['better'] == 'lower' else '≥'} {figure['bar']:,}"
    return (
        figure["name"],
        f"{figure['value']:,}",
        figure["unit"],
        f"{low:,} to {high:,}",
        str(figure["runs"]),
        bar,
    )


def _table(rows: list[tuple[str, ...]]) -> nodes.table:
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    head, body = nodes.thead(), nodes.tbody()
    for number, row in enumerate(rows):
        line = nodes.row()
        line += [nodes.entry("", nodes.paragraph(text=cell)) for cell in row]
        (body if number else head).append(line)
    group += [head, body]
    table = nodes.table(width="100%")
    table += group
    return table


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; called by Sphinx."""
    app.add_directive("figures", Figures)
    return {"parallel_read_safe": True}
