"""The page: sentences, pictures, the table and how it was measured. Needs nothing from outside."""

from __future__ import annotations

import html
from importlib import resources
from itertools import pairwise

from headway.comparison import Comparison, ModeFigures
from headway.comparison_page import plots
from headway.comparison_page.plots import PARTS, label
from headway.freshness import spell

__all__ = ["page"]

_MIB = 1024**2
_GIB = 1024**3


def page(found: Comparison) -> str:
    """Write a comparison as an HTML document. It makes no request, follows the reader's dark mode, and prints.

    Imports matplotlib, which takes a moment.
    """
    title = f"How fresh, at what price: {found.pipeline}"
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    body = [
        f"<h1>{_e(title)}</h1>",
        f'<p class="about">{_e(_about(found))}</p>',
        *_warnings(found),
        "<h2>The steps</h2>",
        _steps(found),
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
        f"<style>\n{style}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _about(found: Comparison) -> str:
    lag = found.arrival_lag
    return (
        f"{found.records:,} records from {_when(found.start)} to {_when(found.end)}, the same log through each mode. "
        f"They arrive {spell(lag.p50)} after their event time (median; 95%: {spell(lag.p95)}, 99%: {spell(lag.p99)}); "
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
            f"for {_money(first.dollars_per_day)} {_e(currency)} a day."
        )
    ]
    for before, mode in pairwise(found.modes):
        more = mode.dollars_per_day - before.dollars_per_day
        gained = before.freshness.p50 - mode.freshness.p50
        step = f"{spell(gained)} sooner" if gained > 0 else f"{spell(-gained)} later"
        price = f"{_money(abs(more))} {_e(currency)} a day {'more' if more >= 0 else 'less'}"
        lines.append(
            f"<b>{_e(label(mode))}</b>: within {spell(mode.freshness.p50)}, {step} than {_e(label(before))}, "
            f"for {price} ({_money(mode.dollars_per_day)})."
        )
    return '<ol class="steps">' + "".join(f"<li>{line}</li>" for line in lines) + "</ol>"


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
    head = (
        "", "p50", "p95", "max", "runs (measured)", "a run", "start-up", "CPU s a day", "core s held a day",
        "read", "written", "files a day", "objects a day", "peak memory", f"{found.prices.currency} a day", "rows",
    )  # fmt: skip
    rows = [
        f'<tr><th scope="row">{_e(label(m))}</th>' + "".join(f"<td>{_e(c)}</td>" for c in _cells(m)) + "</tr>"
        for m in found.modes
    ]
    heads = "".join(f'<th scope="col">{_e(h)}</th>' for h in head)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _cells(mode: ModeFigures) -> tuple[str, ...]:
    fresh = mode.freshness
    count, measured = mode.runs, mode.measured_runs
    if mode.batches is not None and mode.measured_batches is not None:
        count, measured = mode.batches, mode.measured_batches
    return (
        spell(fresh.p50),
        spell(fresh.p95),
        spell(fresh.max),
        f"{count:,} ({measured:,})",
        spell(mode.run_seconds),
        spell(mode.start_up_seconds) if mode.kind == "bounded" else "",
        f"{mode.cpu_seconds_per_day:,.0f}",
        f"{mode.held_core_seconds_per_day:,.0f}",
        f"{mode.bytes_read / _MIB:,.1f} MiB",
        f"{mode.bytes_written / _MIB:,.1f} MiB",
        f"{mode.files_per_day:,.0f}",
        f"{mode.object_writes_per_day:,.0f}",
        f"{mode.peak_memory_bytes / _GIB:.2f} GiB",
        _money(mode.dollars_per_day),
        f"{mode.rows:,}" + ("" if mode.agrees else " differ"),
    )


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


def _when(text: str) -> str:
    return text.replace("T", " ").partition(".")[0].removesuffix("Z").removesuffix(":00") + " UTC"


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.4f}"


def _e(text: str) -> str:
    return html.escape(text)
