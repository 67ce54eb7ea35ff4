"""Commands that write: run, backfill, verify."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from headway import instant
from headway.cli.context import Context
from headway.cli.sessions import Meter, begun, working
from headway.errors import CallError
from headway.interval import Interval
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.run import bounded, continuous
from headway.run import verify as verification
from headway.run.job import EVERYTHING, Report

__all__ = ["backfill", "run", "verify"]

_CORRECTIONS = Mode(name="corrections", every="1 hour")


def run(
    context: Context,
    name: str,
    mode_name: str,
    start: str | None,
    end: str | None,
    *,
    until_caught_up: bool,
    complete: bool,
) -> None:
    """Run one pipeline in one mode."""
    pipeline, mode = context.project.pipeline(name), context.project.mode(mode_name)
    wanted = context.span(start, end)
    if not mode.is_bounded and wanted is not None:
        raise CallError(
            f"mode {mode.name!r} is a stream and takes no --start and --end",
            hint="Use --until-caught-up, or a bounded mode.",
        )
    if mode.is_bounded and until_caught_up:
        raise CallError(f"--until-caught-up is for streams; mode {mode.name!r} ends by itself")
    if not mode.is_bounded and complete and not until_caught_up:
        raise CallError(
            "--complete needs --until-caught-up in a stream",
            hint="A log that has ended leaves nothing to wait for.",
        )
    _go(context, pipeline, mode, wanted, EVERYTHING, until_caught_up=until_caught_up, complete=complete)


def backfill(context: Context, name: str, mode_name: str, start: str, end: str, *, complete: bool) -> None:
    """Publish a range of intervals again."""
    pipeline, mode = context.project.pipeline(name), context.project.mode(mode_name)
    if not mode.is_bounded:
        raise CallError(
            f"mode {mode.name!r} is a stream; a backfill takes whole intervals",
            hint="Use --mode daily or hourly.",
        )
    wanted = context.span(start, end)
    assert wanted is not None
    _go(context, pipeline, mode, wanted, wanted, until_caught_up=False, complete=complete)


def verify(context: Context, name: str, start: str, end: str) -> int:
    """Compare the modes; the exit status is 1 where they disagree."""
    project = context.project
    pipeline = project.pipeline(name)
    interval = context.span(start, end)
    assert interval is not None
    with working(context, pipeline) as (spark, logs):
        verdict = verification.verify(
            spark, pipeline, logs, project.modes, interval, zone=project.config.zone, say=context.say
        )
    rows = [(m["name"], m["rows"], m["batches"]) for m in verdict.modes]
    lines = context.table("", ("mode", "rows", "batches"), rows)
    if verdict.agree:
        lines.append(
            f"{pipeline.name}: the modes agree row by row"
            + (f", {verdict.inexact} within 1e-9" if verdict.inexact else "")
        )
    else:
        lines += [f"{pipeline.name}: {verdict.reason}", *[f"  {row}" for row in verdict.rows]]
    context.give(verdict.to_json(), lines)
    return 0 if verdict.agree else 1


def _go(
    context: Context,
    pipeline: Pipeline,
    mode: Mode,
    wanted: Interval | None,
    claim: Interval,
    *,
    until_caught_up: bool,
    complete: bool,
) -> None:
    project = context.project
    stop = threading.Event()
    meter = Meter()
    with working(context, pipeline, short=mode.is_bounded) as (spark, logs):
        meter.spark = spark
        _stop_on_signal(stop, mode)
        with begun(project, spark, pipeline, logs, mode, interval=claim, say=context.say) as job:
            ends = {name: log.ends() for name, log in logs.items()}
            if mode.is_bounded:
                grid = mode.grid(project.config.zone)
                request = bounded.Request(
                    mode=mode,
                    grid=grid,
                    ends=ends,
                    wanted=wanted,
                    complete=complete,
                    records_per_job=project.config.records_per_job,
                )
                report = bounded.run(job, request)
            else:
                context.say(
                    f"{pipeline.name}: streaming; stop it with `headway stop {pipeline.name}` or SIGTERM"
                )
                stream = continuous.Request(
                    mode=mode,
                    grid=_CORRECTIONS.grid(project.config.zone),
                    until=ends if until_caught_up else None,
                    complete=complete,
                )
                report = continuous.run(job, stream, stop)
        _give(context, pipeline, report, meter)


def _give(context: Context, pipeline: Pipeline, report: Report, meter: Meter) -> None:
    accounts = report.accounts
    data = report.to_json() | {
        "sinks": [
            {"name": o.table, "rows": accounts.published, "snapshot": report.snapshot}
            for o in pipeline.outputs
        ],
        "seconds": meter.seconds,
        "cpu_seconds": meter.cpu_seconds,
    }
    lines = [
        f"{pipeline.name}, {report.mode}: {len(report.intervals)} intervals published"
        + (f", {len(report.unchanged)} unchanged" if report.unchanged else "")
        + (f", {report.batches} batches" if report.batches else ""),
        "records: " + ", ".join(f"{k} {v}" for k, v in accounts.to_json().items()),
    ]
    if report.closed_through > instant.BEGINNING:
        lines.append(f"closed through {instant.iso(report.closed_through)}")
    context.give(data, lines)


def _stop_on_signal(stop: threading.Event, mode: Mode) -> None:
    """Let SIGTERM end a stream between batches, and a bounded run by giving its lease back."""

    def ended(_number: int, _frame: FrameType | None) -> None:
        if mode.is_bounded:
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, ended)
    if not mode.is_bounded:
        signal.signal(signal.SIGINT, ended)
