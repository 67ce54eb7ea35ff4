"""Figures of matplotlib as inline SVG: text stays text, colours are CSS variables, ids are the figure's own."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "SETTINGS", "inline"]

COLOURS = {
    "ink": "#010203",
    "muted": "#010204",
    "line": "#010205",
    "paper": "#010206",
    "interval": "#010207",
    "lateness": "#010208",
    "schedule": "#010209",
    "start-up": "#01020a",
    "run": "#01020b",
    "queue": "#01020c",
    "batch": "#01020d",
    "used": "#01020e",
    "held": "#01020f",
    "accent": "#010210",
}
"""Colours as matplotlib is told them; each stands for the CSS variable of its name."""
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "headway",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "grid.color": COLOURS["line"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_FONT = re.compile(r"font: ((?:bold )?[\d.]+px) [^;\"]*")
_ID = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]+)')


def inline(figure: Figure, name: str, description: str) -> str:
    """Write a figure as an `<svg>` element for a page that defines the variables.

    Args:
        figure: Drawn with `SETTINGS` and `COLOURS`.
        name: Prefix of the ids, unique on the page.
        description: What it shows, for those who do not see it.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for key, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{key})")
    text = _FONT.sub(r"font: \1 var(--font)", text)
    used = set(_REFERENCE.findall(text))
    text = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = _REFERENCE.sub(lambda found: found[0].replace(f"#{found[1]}", f"#{name}-{found[1]}"), text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    label = html.escape(description, quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
