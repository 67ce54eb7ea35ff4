"""The pictures of a comparison: the curve of the continuum, what records wait for, cores used and held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headway.comparison import Comparison, ModeFigures
from headway.comparison_page.svg import COLOURS, SETTINGS, inline
from headway.freshness import spell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PARTS", "cores", "curve", "draw_curve", "label", "parts"]

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
_TIMES = (0.1, 1, 10, 60, 600, 3_600, 6 * 3_600, 86_400, 3 * 86_400)
_DAY = 86_400.0


def label(mode: ModeFigures) -> str:
    """Return a mode's name as it is shown."""
    return mode.name.replace("_", " ")


def curve(found: Comparison) -> str:
    """Draw freshness against dollars per day: one point a mode, from the slowest to the freshest."""
    with _drawing(7.6, 4.3) as figure:
        draw_curve(figure.subplots(), found)
        said = "; ".join(
            f"{label(m)}: {spell(m.freshness.p50)} for {m.dollars_per_day:.2f} {found.prices.currency} a day"
            for m in found.modes
        )
        return inline(figure, "curve", f"Median freshness against price. {said}.")


def draw_curve(axes: Axes, found: Comparison) -> None:
    """Draw the curve of the continuum into axes, as the page and the notebook do."""
    from matplotlib.ticker import FuncFormatter, NullLocator

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
    axes.set_ylim(low / 2.2, max(high, low) * 2.2)
    _times(axes.yaxis, axes.get_ylim())
    if max(prices) / min(prices) > 12:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(min(prices) / 1.8, max(prices) * 3.2)
        _moneys(axes, min(prices), max(prices))
    else:
        axes.set_xlim(0, max(prices) * 1.35)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for mode, price, p50 in zip(modes, prices, fresh, strict=True):
        text = f"{label(mode)}\n{spell(mode.freshness.p50)}, {_money(mode.dollars_per_day)} {found.prices.currency}"
        axes.annotate(
            text,
            (price, p50),
            xytext=(9, -4),
            textcoords="offset points",
            va="top",
            fontsize=10,
            linespacing=1.3,
        )
    axes.set_xlabel(f"{found.prices.currency} a day")
    axes.set_ylabel("from arrival to visible (p50, line to p95)")
    axes.grid(visible=True, which="major", linewidth=0.6, alpha=0.6)


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
        axes.set_xlim(max(1.0, min(used) / 3), max(held) * 6)
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
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        yield Figure(figsize=(width, height), layout="constrained")


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

    shown = [t for t in _TIMES if limits[0] <= t <= limits[1]]
    axis.set_major_locator(FixedLocator(shown))
    axis.set_major_formatter(FixedFormatter([_time(t) for t in shown]))
    axis.set_minor_locator(NullLocator())


def _time(seconds: float) -> str:
    return f"{seconds / _DAY:g} d" if seconds >= _DAY else spell(seconds).replace(".0 ", " ")


def _moneys(axes: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator

    steps: Callable[[int], list[float]] = lambda power: [10.0**power, 3 * 10.0**power]  # noqa: E731
    values = [v for power in range(-4, 6) for v in steps(power) if low / 1.8 <= v <= high * 3.2]
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{v:g}" for v in values]))


def _money(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
