"""The page: sentences, pictures, the table and how it was measured. Needs nothing from outside."""

from __future__ import annotations

import html
from collections.abc import Callable
from importlib import resources
from itertools import pairwise

from headway.comparison import Comparison, ModeFigures
from headway.comparison_page import plots
from headway.comparison_page.plots import PARTS, label, money
from headway.freshness import spell

__all__ = ["page", "variables"]

_MIB = 1024**2
_GIB = 1024**3


def page(found: Comparison) -> str:
    """Write a comparison as an HTML document. It makes no request, follows the reader's dark mode, and prints.

    Imports matplotlib, which takes a moment.
    """
    title = f"How fresh, at what price: {found.pipeline}"
    body = [
        f"<h1>{_e(title)}</h1>",
        f'<p class="about">{_e(_about(found))}</p>',
        *_warnings(found),
        "<h2>The steps</h2>",
        _steps(found),
        *_insight(found),
        "<h2>The continuum</h2>",
        _figure(
            plots.curve(found),
            "The point is the median from a record's arrival in the log to its first row being visible; the line reaches "
            f"to the 95th percentile. Further down is fresher, further right is dearer. {_dollars_of(found)}",
        ),
        "<h2>What a record waits for</h2>",
        _figure(
            plots.parts(found),
            "Means over the records. Blue is waited for and follows from the schedule, the mode and the lateness; orange "
            "runs and was measured, and stands alone on the right.",
            key=_key(found),
        ),
        "<h2>Cores</h2>",
        _figure(
            plots.cores(found),
            f"On a machine of {found.machine.cores} cores. A stream holds them all day, a scheduled run from its start "
            "to its end. What is held is paid for; what is used is what the processors did. The scale is logarithmic.",
            key=(
                '<ul class="key"><li><span style="background:var(--held)"></span>held</li>'
                '<li><span style="background:var(--used)"></span>used</li></ul>'
            ),
        ),
        "<h2>All figures</h2>",
        _table(found),
        "<h2>How it was measured</h2>",
        '<ul class="notes">' + "".join(f"<li>{_e(note)}</li>" for note in _notes(found)) + "</ul>",
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_e(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{variables()}{_sheet('style.css')}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def variables() -> str:
    """Return the style sheet that gives the pictures their colours: by day, in the dark, on paper."""
    return _sheet("variables.css")


def _sheet(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _about(found: Comparison) -> str:
    lag = found.arrival_lag
    return (
        f"{found.records:,} records from {_when(found.start)} to {_when(found.end)}, the same log through each mode. "
        f"Half of them arrive by {_after(lag.p50)} their event time, 95% by {_after(lag.p95)} it, 99% by {_after(lag.p99)} it; "
        f"{found.late_share:.2%} are late."
    )


def _warnings(found: Comparison) -> list[str]:
    said = []
    differing = [label(m) for m in found.modes if not m.agrees]
    if differing:
        said.append(f"The rows of {', '.join(differing)} differ from those of {label(found.modes[0])}.")
    said += [
        f"{label(m)} does not keep up with its busiest hour on this machine: its freshness is better here than it would be."
        for m in found.modes
        if not m.keeps_up
    ]
    said += [f"{name} is closed to this pipeline: {why}." for name, why in found.closed_modes.items()]
    return [f'<p class="warning">{_e(text)}</p>' for text in said]


def _steps(found: Comparison) -> str:
    """Say what each mode gives and what each step to a fresher one costs."""
    currency = found.prices.currency
    first = found.modes[0]
    lines = [
        (
            f"<b>{_e(label(first))}</b>: half of the records are visible within {spell(first.freshness.p50)}, "
            f"for {money(first.dollars_per_day)} {_e(currency)} a day."
        )
    ]
    for before, mode in pairwise(found.modes):
        more = mode.dollars_per_day - before.dollars_per_day
        gained = before.freshness.p50 - mode.freshness.p50
        step = f"{spell(gained)} sooner" if gained > 0 else f"{spell(-gained)} later"
        price = f"{money(abs(more))} {_e(currency)} a day {'more' if more >= 0 else 'less'}"
        lines.append(
            f"<b>{_e(label(mode))}</b>: within {spell(mode.freshness.p50)}, {step} than {_e(label(before))}, "
            f"for {price} ({money(mode.dollars_per_day)})."
        )
    return '<ol class="steps">' + "".join(f"<li>{line}</li>" for line in lines) + "</ol>"


def _insight(found: Comparison) -> list[str]:
    """Say where most of the freshest mode's time goes, if that is waiting."""
    freshest = min(found.modes, key=lambda m: m.freshness.p50)
    largest = max(freshest.freshness.parts, key=lambda p: p.seconds, default=None)
    whole = freshest.freshness.mean
    if largest is None or largest.how != "schedule" or whole <= 0 or largest.seconds < whole / 2:
        return []
    advice = (
        " A shorter lateness would make it fresher, and so would rows that are shown early and revised; a faster machine would not."
        if largest.name == "lateness"
        else ""
    )
    text = (
        f"Even in {label(freshest)}, {largest.seconds / whole:.0%} of the time passes {PARTS[largest.name]} "
        f"({spell(largest.seconds)} on average).{advice}"
    )
    return [f'<p class="insight">{_e(text)}</p>']


def _figure(svg: str, caption: str, *, key: str = "") -> str:
    return f"<figure>{key}{svg}<figcaption>{_e(caption)}</figcaption></figure>"


def _key(found: Comparison) -> str:
    shown = {p.name for m in found.modes for p in m.freshness.parts if p.seconds > 0}
    items = [
        f'<li><span style="background:var(--{name})"></span>{_e(text)}</li>'
        for name, text in PARTS.items()
        if name in shown
    ]
    return '<ul class="key">' + "".join(items) + "</ul>"


def _table(found: Comparison) -> str:
    """Lay the figures out: a column for each mode, which fits on paper."""
    currency = found.prices.currency
    rows: list[tuple[str, Callable[[ModeFigures], str]]] = [
        ("visible after, half of the records (p50)", lambda m: spell(m.freshness.p50)),
        ("95% of the records (p95)", lambda m: spell(m.freshness.p95)),
        ("the last one", lambda m: spell(m.freshness.max)),
        ("runs, or micro-batches of a stream", lambda m: f"{m.runs if m.batches is None else m.batches:,}"),
        (
            "of them measured",
            lambda m: f"{m.measured_runs if m.measured_batches is None else m.measured_batches:,}",
        ),
        ("time of one", lambda m: spell(m.run_seconds)),
        ("start-up of one", lambda m: spell(m.start_up_seconds) if m.kind == "bounded" else "\N{EN DASH}"),
        ("core time used a day", lambda m: spell(m.cpu_seconds_per_day)),
        ("core time held a day", lambda m: spell(m.held_core_seconds_per_day)),
        ("peak memory", lambda m: f"{m.peak_memory_bytes / _GIB:.2f} GiB"),
        ("read over the range", lambda m: f"{m.bytes_read / _MIB:,.1f} MiB"),
        ("written over the range", lambda m: f"{m.bytes_written / _MIB:,.1f} MiB"),
        ("data files a day", lambda m: f"{m.files_per_day:,.0f}"),
        ("objects written a day", lambda m: f"{m.object_writes_per_day:,.0f}"),
        (f"{currency} a day", lambda m: money(m.dollars_per_day)),
        ("rows", lambda m: f"{m.rows:,}" + ("" if m.agrees else " (differ)")),
    ]
    heads = "".join(f'<th scope="col">{_e(label(m))}</th>' for m in found.modes)
    body = "".join(
        f'<tr><th scope="row">{_e(name)}</th>'
        + "".join(f"<td>{_e(cell(m))}</td>" for m in found.modes)
        + "</tr>"
        for name, cell in rows
    )
    return f'<div class="wide"><table><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _notes(found: Comparison) -> list[str]:
    prices = found.prices
    notes = [
        (
            "Measured: the time of runs and micro-batches, start-up, processor time, bytes, files, memory and rows, on this "
            f"machine ({found.machine.cores} cores, {found.machine.memory_gib:g} GiB), {_when(found.created_at)}."
        ),
        (
            "From the schedule: the wait for an interval's end, for late records "
            f"(an interval closes {spell(found.closes_after_seconds)} after its end) and for the next run."
        ),
        (
            "Bounded modes ran as their schedule would have had them, each run on what the one before it had left. Of many "
            "runs an evenly spread sample was measured, and scaled to all. One run of each mode was done in a process of its "
            "own: what it took longer is the start-up, which is added to each run."
        ),
        (
            "A stream was measured in micro-batches as small as live ones. How many come in a day follows from their time and "
            "from when records arrived, hour by hour; rows that wait for late records are shown by the batch after the one "
            "that learns of it. A runs column of a stream counts micro-batches."
        ),
        f"Freshness was worked out for {found.sampled_records:,} records, from arrival in the log to the first row that "
        + (
            "shows the record, to be revised."
            if found.emit == "early"
            else "shows the record, which is final."
        ),
        (
            f"{_dollars_of(found)} {prices.core_hour:g} {prices.currency} a core hour, {prices.gib_hour:g} a GiB hour, "
            f"{prices.thousand_object_writes:g} for a thousand objects written. Storage, reads and the broker are not in it."
        ),
        (
            "Read and written are all bytes that the processes read and wrote, files and network, start-up aside, over the "
            "whole range. Sinks that follow the table are not part of the comparison."
        ),
    ]
    if found.agrees:
        notes.append("The modes gave the same rows.")
    return notes


def _dollars_of(found: Comparison) -> str:
    return f"The price is that of {found.dollars_of}."


def _after(seconds: float) -> str:
    return f"{spell(abs(seconds))} {'before' if seconds < 0 else 'after'}"


def _when(text: str) -> str:
    return text.replace("T", " ").partition(".")[0].removesuffix("Z").removesuffix(":00") + " UTC"


def _e(text: str) -> str:
    return html.escape(text)
