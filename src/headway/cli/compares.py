"""The command compare: each mode's freshness and cost, as a table, as JSON and as a page."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.cli.context import Context
from headway.cli.sessions import working
from headway.comparison import Comparison, ModeFigures
from headway.comparison_page.plots import money
from headway.errors import CallError, TerminalError
from headway.freshness import spell
from headway.pipeline import Pipeline
from headway.project import Project
from headway.run import compare as comparing
from headway.run.job import scratch
from headway.run.scheduled import Spent
from headway.run.trial import Trial, live
from headway.run.usage import Usage
from headway.run.verify import without_copies
from headway.source import Log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["compare", "order_from_json"]

_MIB = 1024**2
_GIB = 1024**3


def compare(context: Context, name: str, start: str, end: str, out: Path | None) -> int:
    """Compare the modes; the exit status is 1 where their rows disagree."""
    project = context.project
    pipeline = project.pipeline(name)
    interval = context.span(start, end)
    assert interval is not None
    master = project.config.spark.master
    if master is None or not master.startswith("local"):
        raise CallError(
            f"compare measures the processes of this machine, and Spark's master is {master or 'not set'}",
            hint="Use an environment whose spark.master is local[*].",
        )
    with working(context, pipeline, short=False) as (spark, logs):
        found = comparing.compare(
            spark,
            logs,
            comparing.Request(
                pipeline=pipeline,
                modes=project.modes,
                interval=interval,
                zone=project.config.zone,
                prices=project.config.prices.listed(),
                fresh=_fresh(context, project, pipeline),
                now=instant.from_datetime(datetime.now(UTC).replace(microsecond=0)),
                say=context.say,
            ),
        )
    page, data = _write(project, found, out)
    context.give(found.to_json(), [*_lines(context, found), f"page: {page}", f"figures: {data}"])
    return 0 if found.agrees else 1


def _write(project: Project, found: Comparison, out: Path | None) -> tuple[Path, Path]:
    """Write the page and the figures; returns where."""
    from headway.comparison_page import page

    folder = project.home / "comparisons"
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{found.pipeline}.json"
    data.write_text(json.dumps(found.to_json(), indent=2) + "\n")
    at = out or folder / f"{found.pipeline}.html"
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(page(found), encoding="utf-8")
    return at, data


def _fresh(context: Context, project: Project, pipeline: Pipeline) -> Callable[[Trial, int], Spent]:
    """Return what does one scheduled run in a process of its own."""

    def run(trial: Trial, moment: int) -> Spent:
        order = {
            "project": str(project.root.resolve()),
            "environment": project.environment,
            "pipeline": pipeline.name,
            "table": trial.pipeline.sink.table,
            "name": trial.pipeline.name,
            "mode": trial.mode.name,
            "state": trial.state,
            "begin": trial.begin,
            "moment": moment,
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "headway.cli.scheduled_run"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - began
        if done.returncode != 0:
            raise TerminalError(
                f"a run of {pipeline.name!r} in a process of its own failed: {_last(done.stderr)}",
                hint=f"Try `headway run {pipeline.name} --mode {trial.mode.name}`.",
            )
        if context.verbose:
            context.say(done.stderr)
        return Spent(seconds=seconds, usage=Usage(**json.loads(done.stdout)))

    return run


def order_from_json(
    data: Mapping[str, Any], spark: SparkSession, project: Project, logs: Mapping[str, Log]
) -> tuple[Trial, int]:
    """Return what a run in a process of its own is to do; called in that process."""
    placed = scratch(without_copies(project.pipeline(data["pipeline"])), data["table"], data["name"])
    trial = Trial(
        spark=spark,
        pipeline=live(placed),
        logs=logs,
        mode=project.mode(data["mode"]),
        state=data["state"],
        zone=project.config.zone,
        begin=data["begin"],
        say=lambda _: None,
    )
    return trial, data["moment"]


def _lines(context: Context, found: Comparison) -> list[str]:
    """Lay out two tables: how fresh at what price, and what that takes."""
    currency, lag = found.prices.currency, found.arrival_lag
    lines = [f"{found.pipeline}, {found.start} to {found.end}: {found.records:,} records", ""]
    lines += context.table(
        "",
        ("mode", "p50", "p95", "max", "waits", "runs", f"{currency}/day", "cores held", "CPU/day", "rows"),
        [
            (
                m.name,
                spell(m.freshness.p50),
                spell(m.freshness.p95),
                spell(m.freshness.max),
                spell(m.freshness.seconds("schedule")),
                spell(m.freshness.seconds("measured")),
                money(m.dollars_per_day),
                f"{m.held_core_seconds_per_day / (864 * found.machine.cores):.3g}%",
                spell(m.cpu_seconds_per_day),
                f"{m.rows:,}" if m.agrees else f"{m.rows:,} DIFFER",
            )
            for m in found.modes
        ],
    )
    header = ("mode", "runs", "measured", "start-up", "one run", "memory", "read", "written", "files/day")
    lines += ["", *context.table("", header, [_effort(m) for m in found.modes])]
    late = f"late: {found.late_share:.2%}"
    lines += [
        "",
        f"arrival lag: p50 {spell(lag.p50)}, p95 {spell(lag.p95)}, p99 {spell(lag.p99)}; {late}",
        (
            "p50, p95, max: from arrival in the log to the first row. On average it waits, by the schedule and the lateness, "
            "and runs, which is measured."
        ),
        f"{currency}/day is of {found.dollars_of}; read and written are of the whole range. Runs of a stream are micro-batches.",
    ]
    lines += [
        f"{mode.name} does not keep up with its busiest hour" for mode in found.modes if not mode.keeps_up
    ]
    lines += [f"{name} is closed: {why}" for name, why in found.closed_modes.items()]
    differing = [mode.name for mode in found.modes if not mode.agrees]
    if differing:
        lines.append(
            f"the rows of {', '.join(differing)} differ: `headway verify {found.pipeline}` shows them"
        )
    else:
        lines.append("The modes agree row by row.")
    return lines


def _effort(mode: ModeFigures) -> tuple[str, ...]:
    count, measured = mode.runs, mode.measured_runs
    if mode.batches is not None and mode.measured_batches is not None:
        count, measured = mode.batches, mode.measured_batches
    return (
        mode.name,
        f"{count:,}",
        f"{measured:,}",
        spell(mode.start_up_seconds) if mode.kind == "bounded" else "",
        spell(mode.run_seconds),
        f"{mode.peak_memory_bytes / _GIB:.1f} GiB",
        f"{mode.bytes_read / _MIB:,.1f} MiB",
        f"{mode.bytes_written / _MIB:,.1f} MiB",
        f"{mode.files_per_day:,.0f}",
    )


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
