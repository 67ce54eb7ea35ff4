"""The pictures of a comparison: the curve of the continuum, what records wait for, cores used and held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headway.comparison import Comparison, ModeFigures
from headway.comparison_page.labels import name_points
from headway.comparison_page.svg import COLOURS, SETTINGS, inline
from headway.freshness import spell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PARTS", "cores", "curve", "draw_curve", "label", "money", "parts"]

PARTS = {
    "interval": "until the interval ends",
    "lateness": "until late records are in",
    "schedule": "until a run begins",
    "start-up": "start-up",
    "queue": "the batch before",
    "run": "the run",
    "batch": "the micro-batch",
}
"""Parts of freshness, in order, as a reader is told them."""
_TIMES = {
    0.1: "0.1 s", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3_600: "1 h", 21_600: "6 h", 86_400: "1 d",
    604_800: "7 d",
}  # fmt: skip
_BETWEEN = {
    0.3: "0.3 s", 3: "3 s", 30: "30 s", 180: "3 min", 1_800: "30 min", 7_200: "2 h", 14_400: "4 h", 43_200: "12 h",
    172_800: "2 d",
}  # fmt: skip


def label(mode: ModeFigures) -> str:
    """Return a mode's name as it is shown."""
    return mode.name.replace("_", " ")


def money(value: float) -> str:
    """Return a price to the hundredth, or to two digits where it is less than a tenth.

    >>> money(2.2), money(0.00587), money(0.0)
    ('2.20', '0.0059', '0.00')
    """
    return f"{value:,.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def curve(found: Comparison) -> str:
    """Draw freshness against dollars per day: one point a mode, from the slowest to the freshest."""
    with _drawing(7.6, 4.3) as figure:
        draw_curve(figure.subplots(), found)
        said = "; ".join(
            f"{label(m)}: {spell(m.freshness.p50)} for {money(m.dollars_per_day)} {found.prices.currency} a day"
            for m in found.modes
        )
        return inline(figure, "curve", f"Median freshness against price. {said}.")


def draw_curve(axes: Axes, found: Comparison) -> None:
    """Draw the curve of the continuum into axes, as the page and the notebook do."""
    modes = sorted(found.modes, key=lambda m: m.dollars_per_day)
    prices = [max(m.dollars_per_day, 1e-4) for m in modes]
    fresh = [max(m.freshness.p50, 1e-2) for m in modes]
    axes.plot(prices, fresh, color=COLOURS["accent"], linewidth=1.6, zorder=2)
    for mode, price, p50 in zip(modes, prices, fresh, strict=True):
        p95 = max(mode.freshness.p95, p50)
        axes.plot([price, price], [p50, p95], color=COLOURS["muted"], linewidth=1.2, zorder=1)
        axes.plot([price], [p95], marker="_", markersize=9, color=COLOURS["muted"], zorder=1)
        axes.plot([price], [p50], marker="o", markersize=8, color=COLOURS["accent"], zorder=3)
    axes.set_yscale("log")
    low, high = min(fresh), max(m.freshness.p95 for m in modes)
    spread = max(high / low, 4.0)
    axes.set_ylim(low / spread**0.18, max(high, low) * spread**0.12)
    _times(axes.yaxis, axes.get_ylim())
    if max(prices) / min(prices) > 12:
        axes.set_xscale("log")
        axes.set_xlim(min(prices) / 2.2, max(prices) * (max(prices) / min(prices)) ** 0.22)
        _prices(axes)
    else:
        axes.set_xlim(0, max(prices) * 1.25)
    axes.set_xlabel(f"{found.prices.currency} a day")
    axes.set_ylabel("from arrival to visible")
    axes.grid(visible=True, which="major", linewidth=0.6, alpha=0.6)
    words = [
        f"{label(m)}\n{spell(m.freshness.p50)}, {money(m.dollars_per_day)} {found.prices.currency}"
        for m in modes
    ]
    points = list(zip(prices, fresh, strict=True))
    whiskers = [[(x, y), (x, max(m.freshness.p95, y))] for (x, y), m in zip(points, modes, strict=True)]
    name_points(axes, points, words, [points, *whiskers])


def parts(found: Comparison) -> str:
    """Draw what records wait for, on average, and beside it the measured parts alone."""
    with _drawing(7.6, 0.62 * len(found.modes) + 1.6) as figure:
        whole, running = figure.subplots(1, 2, width_ratios=[1.6, 1], sharey=True)
        named = [name for name in PARTS if any(p.name == name and p.seconds > 0 for p in _parts(found))]
        _stack(whole, found, named)
        measured = {p.name for p in _parts(found) if p.how == "measured"}
        _stack(running, found, [name for name in named if name in measured])
        whole.set_title("everything", loc="left", fontsize=11, color=COLOURS["muted"])
        running.set_title("what runs, alone", loc="left", fontsize=11, color=COLOURS["muted"])
        said = "; ".join(
            f"{label(m)}: "
            + ", ".join(f"{PARTS[p.name]} {spell(p.seconds)}" for p in m.freshness.parts if p.seconds > 0)
            for m in found.modes
        )
        return inline(figure, "parts", f"Mean seconds of each part of freshness. {said}.")


def cores(found: Comparison) -> str:
    """Draw the processor seconds that are used and held in a day."""
    with _drawing(7.6, 0.62 * len(found.modes) + 1.3) as figure:
        axes = figure.subplots()
        names = [label(m) for m in found.modes]
        rows = range(len(names))
        held = [m.held_core_seconds_per_day for m in found.modes]
        used = [m.cpu_seconds_per_day for m in found.modes]
        axes.barh([r - 0.2 for r in rows], held, height=0.36, color=COLOURS["held"])
        axes.barh([r + 0.2 for r in rows], used, height=0.36, color=COLOURS["used"])
        axes.set_xscale("log")
        axes.set_xlim(max(1.0, min(used) / 3), max(held) * 8)
        for row, (own, whole) in enumerate(zip(used, held, strict=True)):
            _word(axes, whole, row - 0.2, f"{spell(whole)} held")
            _word(axes, own, row + 0.2, f"{spell(own)} used")
        _rows(axes, names)
        _times(axes.xaxis, axes.get_xlim())
        axes.set_xlabel("core time in a day")
        said = "; ".join(
            f"{label(m)}: {spell(m.cpu_seconds_per_day)} used, {spell(m.held_core_seconds_per_day)} held"
            for m in found.modes
        )
        return inline(figure, "cores", f"Core time in a day. {said}.")


@contextmanager
def _drawing(width: float, height: float) -> Iterator[Any]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=72)
        FigureCanvasAgg(figure)  # measures texts
        yield figure


def _parts(found: Comparison) -> list[Any]:
    return [part for mode in found.modes for part in mode.freshness.parts]


def _stack(axes: Axes, found: Comparison, named: Sequence[str]) -> None:
    """Draw a stacked bar for each mode, of the parts named."""
    totals = []
    for row, mode in enumerate(found.modes):
        left = 0.0
        seconds = {p.name: p.seconds for p in mode.freshness.parts}
        for name in named:
            width = seconds.get(name, 0.0)
            axes.barh(
                [row], [width], left=left, height=0.56, color=COLOURS[name],
                edgecolor=COLOURS["paper"], linewidth=0.8,
            )  # fmt: skip
            left += width
        totals.append(left)
        _word(axes, left, row, spell(left))
    widest = max(totals, default=1.0) or 1.0
    axes.set_xlim(0, widest * 1.28)
    _rows(axes, [label(m) for m in found.modes])
    unit, length = _unit(widest)
    axes.xaxis.set_major_formatter(_in(length))
    axes.set_xlabel(unit)
    _round_ticks(axes, widest, length)


def _unit(seconds: float) -> tuple[str, float]:
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3_600 else ("hours", 3_600.0)


def _in(length: float) -> Any:
    from matplotlib.ticker import FuncFormatter

    def written(value: float, _position: object) -> str:
        return f"{value / length:g}"

    return FuncFormatter(written)


def _round_ticks(axes: Axes, widest: float, length: float) -> None:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=5).tick_values(0, widest / length)
    axes.set_xticks([tick * length for tick in ticks if tick * length <= widest * 1.28])


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
    axes.spines["left"].set_visible(False)


def _word(axes: Axes, at: float, row: float, text: str) -> None:
    axes.annotate(text, (at, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=10)


def _times(axis: Any, limits: tuple[float, float]) -> None:
    """Mark a logarithmic axis of seconds at times that people know."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    within = {t: text for t, text in (_TIMES | _BETWEEN).items() if limits[0] <= t <= limits[1]}
    shown = {t: text for t, text in within.items() if t in _TIMES}
    shown = dict(sorted((shown if len(shown) > 2 else within).items()))
    axis.set_major_locator(FixedLocator(list(shown)))
    axis.set_major_formatter(FixedFormatter(list(shown.values())))
    axis.set_minor_locator(NullLocator())


def _prices(axes: Axes) -> None:
    """Mark a logarithmic axis of prices, at each power of ten and, where there are few, between them."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low, high = axes.get_xlim()
    powers = [10.0**power for power in range(-5, 7) if low <= 10.0**power <= high]
    if len(powers) < 3:
        powers = sorted(v for p in range(-5, 7) for v in (10.0**p, 3 * 10.0**p) if low <= v <= high)
    axes.xaxis.set_major_locator(FixedLocator(powers))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{value:g}" for value in powers]))
    axes.xaxis.set_minor_locator(NullLocator())
