"""Commands that write: run, backfill, verify, erase."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from types import FrameType
from typing import TYPE_CHECKING

from headway import instant
from headway.cli.context import Context
from headway.cli.sessions import Meter, begun, connected, spark_for, working
from headway.cli.telling import commanded, told
from headway.errors import CallError, Error, FailedRuleError
from headway.interval import Interval
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.project import Project
from headway.run import bounded, continuous, erasing, landing
from headway.run import verify as verification
from headway.run.job import EVERYTHING, Report
from headway.source import Log
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["backfill", "erase", "run", "verify"]

_SHOWN = 5
_CORRECTIONS = Mode(name="corrections", every="1 hour")


def run(
    context: Context,
    name: str | None,
    mode_name: str,
    start: str | None,
    end: str | None,
    *,
    select: str | None,
    until_caught_up: bool,
    complete: bool,
) -> None:
    """Run one pipeline in one mode, or several that read each other's tables."""
    project = context.project
    if (name is None) == (select is None):
        raise CallError(
            "name either a pipeline or --select",
            hint="Such as `headway run --select punctuality+ --mode hourly`.",
        )
    names = project.graph.select(select) if select is not None else [name or ""]
    pipelines, mode = [project.pipeline(chosen) for chosen in names], project.mode(mode_name)
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
    if select is not None and not mode.is_bounded and not until_caught_up:
        raise CallError(
            f"--select runs one pipeline after the other, and a stream of mode {mode.name!r} does not end",
            hint="Add --until-caught-up, or start each stream by its name.",
        )
    order = _Order(mode, wanted, EVERYTHING, until_caught_up=until_caught_up, complete=complete)
    if select is None:
        _go(context, pipelines[0], order)
    else:
        _go_through(context, pipelines, order)


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
    _go(context, pipeline, _Order(mode, wanted, wanted, until_caught_up=False, complete=complete))


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


def erase(context: Context, archive: str, key: str, *, is_hex: bool) -> None:
    """Take the records of a key out of an archive and the quarantine of its readers."""
    try:
        given = bytes.fromhex(key) if is_hex else key.encode()
    except ValueError as exc:
        raise CallError("--key holds something else than pairs of hexadecimal digits") from exc
    with spark_for(context) as spark:
        report = erasing.erase(spark, context.project, archive, given, say=context.say)
    lines = [f"{report.records} records erased from {archive}, {report.quarantined} from quarantine"]
    if report.hours:
        lines.append(f"hours of event time: {', '.join(str(hour) for hour in report.hours)}")
        lines.append(
            f"the next runs of {', '.join(report.pipelines)} recompute what the records have contributed to"
        )
    context.give(report.to_json(), lines)


@dataclass(frozen=True, slots=True)
class _Order:
    """What a run is asked for, whichever pipeline it is of."""

    mode: Mode
    wanted: Interval | None
    claim: Interval
    _: KW_ONLY
    until_caught_up: bool
    complete: bool

    @property
    def ends(self) -> bool:
        """Whether the run ends by itself."""
        return self.mode.is_bounded or self.until_caught_up


def _go(context: Context, pipeline: Pipeline, order: _Order) -> None:
    stop = threading.Event()
    meter = Meter()
    with (
        commanded(context),
        told(context, pipeline, order.mode, ends=order.ends) as telemetry,
        working(context, pipeline, short=order.mode.is_bounded) as (spark, logs),
    ):
        meter.spark = spark
        _stop_on_signal(stop, order.mode)
        try:
            report = _run(context.project, spark, pipeline, logs, order, stop, telemetry)
        except FailedRuleError as exc:
            if isinstance(exc.report, Report):
                context.give(_facts(pipeline, exc.report, meter), _lines(pipeline, exc.report))
            raise
        context.give(_facts(pipeline, report, meter), _lines(pipeline, report))


def _go_through(context: Context, pipelines: Sequence[Pipeline], order: _Order) -> None:
    """Run pipelines one after the other; where one fails, those after it are not run."""
    stop = threading.Event()
    done: list[dict[str, object]] = []
    lines: list[str] = []
    meter = Meter()
    with commanded(context) as command, spark_for(context, short=order.mode.is_bounded) as spark:
        meter.spark = spark
        _stop_on_signal(stop, order.mode)
        try:
            for pipeline in pipelines:
                with (
                    told(context, pipeline, order.mode, ends=order.ends) as telemetry,
                    connected(context.project, pipeline, lambda: spark) as logs,
                ):
                    report = _run(context.project, spark, pipeline, logs, order, stop, telemetry)
                done.append(_facts(pipeline, report, meter))
                lines += _lines(pipeline, report)
                meter = meter.again()
        except Error:
            left = [p.name for p in pipelines[len(done) + 1 :]]
            command.warn(
                f"{pipelines[len(done)].name} failed" + (f"; not run: {', '.join(left)}" if left else "")
            )
            raise
        finally:
            context.give({"runs": done}, lines)


def _run(
    project: Project,
    spark: SparkSession,
    pipeline: Pipeline,
    logs: Mapping[str, Log],
    order: _Order,
    stop: threading.Event,
    telemetry: Telemetry,
) -> Report:
    mode = order.mode
    with begun(project, spark, pipeline, logs, mode, interval=order.claim, telemetry=telemetry) as job:
        if mode.is_bounded or order.until_caught_up:
            landing.land(job)
        cut = job.cut()
        if mode.is_bounded:
            request = bounded.Request(
                mode=mode,
                grid=mode.grid(project.config.zone),
                cut=cut,
                wanted=order.wanted,
                complete=order.complete,
                records_per_job=project.config.records_per_job,
            )
            return bounded.run(job, request)
        if not order.until_caught_up:
            job.say(f"{pipeline.name}: streaming; stop it with `headway stop {pipeline.name}` or SIGTERM")
        stream = continuous.Request(
            mode=mode,
            grid=_CORRECTIONS.grid(project.config.zone),
            until=cut if order.until_caught_up else None,
            complete=order.complete,
        )
        if order.until_caught_up:
            return continuous.run(job, stream, stop)
        with landing.beside(job, stop):
            return continuous.run(job, stream, stop)


def _facts(pipeline: Pipeline, report: Report, meter: Meter) -> dict[str, object]:
    """Return what `run --json` prints."""
    return report.to_json() | {
        "sinks": [
            {"name": o.table, "rows": report.accounts.published, "snapshot": report.snapshot}
            for o in pipeline.outputs
        ],
        "seconds": meter.seconds,
        "cpu_seconds": meter.cpu_seconds,
    }


def _lines(pipeline: Pipeline, report: Report) -> list[str]:
    lines = [
        f"{pipeline.name}, {report.mode}: {len(report.intervals)} intervals published"
        + (f", {len(report.unchanged)} unchanged" if report.unchanged else "")
        + (f", {report.batches} batches" if report.batches else ""),
        "records: " + ", ".join(f"{k} {v}" for k, v in report.accounts.to_json().items()),
    ]
    if report.units or report.rejected:
        failed = [f"{f['rule']} ({f['subject']}, {f['start']})" for j in report.failed for f in j.to_json()]
        lines.append(
            f"quality: {report.units} units judged, {report.rejected} rows rejected"
            + (f"; failed: {', '.join(failed[:_SHOWN])}" if failed else "")
            + (f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else "")
        )
    if report.closed_through > instant.BEGINNING:
        lines.append(f"closed through {instant.iso(report.closed_through)}")
    return lines


def _stop_on_signal(stop: threading.Event, mode: Mode) -> None:
    """Let SIGTERM end a stream between batches, and a bounded run by giving its lease back."""

    def ended(_number: int, _frame: FrameType | None) -> None:
        if mode.is_bounded:
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, ended)
    if not mode.is_bounded:
        signal.signal(signal.SIGINT, ended)
