"""`headway demo`: real flights, each pipeline in each mode, and whether the rows agree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from headway import instant
from headway.catalog import quoted
from headway.cli.context import Context
from headway.cli.sessions import begun, connected, jvm_cpu_seconds, spark_for
from headway.demo import flights, replay
from headway.embedded import stack
from headway.errors import CallError
from headway.interval import Grid, Interval
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.project import Project
from headway.result import Result
from headway.run import agreement, bounded, continuous
from headway.run.books import Books
from headway.run.files import Files
from headway.run.job import scratch
from headway.sinks.iceberg_table import IcebergTable
from headway.source import Log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

__all__ = ["demo"]

_FIRST = instant.parse("2013-02-01T05:00:00Z")
"""Midnight in New York."""
_REPLAY_SECONDS = 40.0
_PATIENCE = 240.0


@dataclass(slots=True)
class _Row:
    """One mode in the table, over all pipelines."""

    mode: str
    rows: int = 0
    intervals: int = 0
    files: int = 0
    core_seconds: float = 0.0
    freshness: float = 0.0


def demo(context: Context, days: int) -> int:
    """Tell the whole story; the exit status is 1 where the modes disagree."""
    project = context.project
    if project.config.kafka.bootstrap_servers != "embedded":
        raise CallError("the demo writes to its own broker only", hint="Run it with --env local.")
    span = Interval(_FIRST, _FIRST + days * 86_400 * instant.SECOND)
    servers = stack.up(project, context.say)
    context.say(f"Kafka at {servers}; making the topics flights and weather anew")
    replay.new_topics(servers, ["flights", "weather"])
    records = {
        "flights": flights.flights(span.start, span.end),
        "weather": flights.weather(span.start, span.end),
    }
    pipelines = list(project.pipelines.values())
    rows: dict[str, _Row] = {}
    with spark_for(context, short=False) as spark, ExitStack() as opened_logs:
        replay.load_dimensions(spark, "lake")
        _drop_old(spark, project, pipelines)
        logs = {
            p.name: opened_logs.enter_context(connected(context.project, p, lambda: spark)) for p in pipelines
        }
        streams = [m for m in project.modes.values() if not m.is_bounded]
        batches = sorted(
            (m for m in project.modes.values() if m.is_bounded),
            key=lambda m: -instant.duration(m.every or ""),
        )
        for mode in streams:
            context.say(f"{mode.name}: {len(pipelines)} streams run while the flights are replayed")
            rows[mode.name] = _stream(context, spark, mode, pipelines, logs, servers, records)
        for mode in batches:
            context.say(f"{mode.name}: {len(pipelines)} runs over the whole log")
            rows[mode.name] = _batch(context, spark, mode, pipelines, logs)
        context.say("comparing row by row")
        disagreements = _fill(spark, project, pipelines, rows, span, logs)
    _print(context, rows, disagreements, sum(map(len, records.values())))
    return 1 if disagreements else 0


def _stream(
    context: Context,
    spark: SparkSession,
    mode: Mode,
    pipelines: list[Pipeline],
    logs: Mapping[str, Mapping[str, Log]],
    servers: str,
    records: dict[str, list[flights.Record]],
) -> _Row:
    """Run all pipelines as streams while the records are sent, then declare the log ended."""
    began = jvm_cpu_seconds(spark)
    stop = threading.Event()
    total = sum(map(len, records.values()))
    with ThreadPoolExecutor(len(pipelines)) as pool:
        running = [
            pool.submit(_run_stream, context, spark, mode, p, logs[p.name], stop=stop) for p in pipelines
        ]
        try:
            with _progress(total) as advance:
                replay.send(servers, dict(records), seconds=_REPLAY_SECONDS, progress=advance)
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline and not any(f.done() for f in running):
                if all(_is_caught_up(spark, mode, p, logs[p.name]) for p in pipelines):
                    break
                time.sleep(1)
        finally:
            stop.set()
        for future in running:
            future.result()
    for pipeline in pipelines:
        _run_stream(
            context, spark, mode, pipeline, logs[pipeline.name], stop=threading.Event(), to_the_end=True
        )
    return _Row(mode.name, core_seconds=jvm_cpu_seconds(spark) - began)


def _run_stream(
    context: Context,
    spark: SparkSession,
    mode: Mode,
    pipeline: Pipeline,
    logs: Mapping[str, Log],
    *,
    stop: threading.Event,
    to_the_end: bool = False,
) -> None:
    project = context.project
    with begun(project, spark, _placed(pipeline, mode), logs, mode) as job:
        grid = Mode(name="corrections", every="1 hour").grid(project.config.zone)
        until = job.cut() if to_the_end else None
        request = continuous.Request(mode=mode, grid=grid, until=until, complete=to_the_end)
        continuous.run(job, request, stop)


def _batch(
    context: Context,
    spark: SparkSession,
    mode: Mode,
    pipelines: list[Pipeline],
    logs: Mapping[str, Mapping[str, Log]],
) -> _Row:
    began = jvm_cpu_seconds(spark)
    project = context.project
    for pipeline in pipelines:
        with begun(project, spark, _placed(pipeline, mode), logs[pipeline.name], mode) as job:
            grid = mode.grid(project.config.zone)
            bounded.run(job, bounded.Request(mode=mode, grid=grid, cut=job.cut(), complete=True))
    return _Row(mode.name, core_seconds=jvm_cpu_seconds(spark) - began)


def _fill(
    spark: SparkSession,
    project: Project,
    pipelines: list[Pipeline],
    rows: dict[str, _Row],
    span: Interval,
    logs: Mapping[str, Mapping[str, Log]],
) -> list[str]:
    """Measure what each mode has left in its tables, and compare them."""
    disagreements = []
    for pipeline in pipelines:
        tables = {m: _placed(pipeline, project.modes[m]).sink.table for m in rows}
        names = list(tables)
        for name, table in tables.items():
            rows[name].rows += spark.table(table).count()
            rows[name].files += spark.table(f"{table}.files").count()
        for other in names[1:]:
            found = agreement.compare(
                spark.table(tables[names[0]]), spark.table(tables[other]), names[0], other
            )
            if found.differences:
                disagreements.append(
                    f"{pipeline.name}: {names[0]} and {other} differ in {found.differences} rows, such as {found.rows[0]}"
                )
    for name, row in rows.items():
        mode = project.modes[name]
        grid = mode.grid(project.config.zone) if mode.is_bounded else Grid(instant.duration("1 hour"))
        row.intervals = len(list(grid.intervals(span.start, span.end))) * len(pipelines)
        row.freshness = _freshness(
            spark, logs["departures"]["flights"], _placed(project.pipeline("departures"), mode).sink.table
        )
    return disagreements


def _freshness(spark: SparkSession, log: Log, table: str) -> float:
    """Return the median of sent-to-visible, in seconds, over the records of a row-by-row table.

    A record is visible with the first commit whose offsets cover it. Sent: its header.
    """
    from pyspark.sql import functions as F

    sent = log.read(spark, log.begins(), log.ends().offsets).select(
        "partition",
        "offset",
        F.element_at(F.filter("headers", lambda h: h["key"] == replay.SENT_AT), 1)["value"]
        .cast("string")
        .cast("bigint")
        .alias("sent_at"),
    )
    offsets = F.from_json(
        "offsets", "map<string, struct<`from`: map<string, bigint>, `to`: map<string, bigint>>>"
    )
    commits = (
        spark.table(f"{table}.snapshots")
        .select("committed_at", F.col("summary")["headway.offsets"].alias("offsets"))
        .filter("offsets IS NOT NULL")
        .select("committed_at", F.explode(offsets).alias("source", "range"))
        .select("committed_at", "range.from", F.explode("range.to").alias("p", "until"))
        .select("committed_at", "p", F.coalesce(F.col("from")[F.col("p")], F.lit(0)).alias("since"), "until")
        .withColumn("p", F.col("p").cast("int"))
    )
    covers = (
        (F.col("partition") == F.col("p"))
        & (F.col("offset") >= F.col("since"))
        & (F.col("offset") < F.col("until"))
    )
    waits = (
        sent.join(F.broadcast(commits), covers)
        .groupBy("partition", "offset")
        .agg(((F.unix_micros(F.min("committed_at")) - F.min("sent_at")) / instant.SECOND).alias("seconds"))
    )
    median = waits.agg(F.percentile("seconds", 0.5)).first()
    assert median is not None
    return float(median[0] or 0.0)


def _is_caught_up(spark: SparkSession, mode: Mode, pipeline: Pipeline, logs: Mapping[str, Log]) -> bool:
    placed = _placed(pipeline, mode)
    result = Result(output_time=placed.output_time, is_window=False, keys=())
    position = IcebergTable(spark, placed.sink.table, result, unique=True).ownership().position
    return all(n in position and position[n].covers(log.ends().offsets) for n, log in logs.items())


def _drop_old(spark: SparkSession, project: Project, pipelines: list[Pipeline]) -> None:
    """Remove what an earlier demo has left: its tables speak of topics that are gone."""
    for pipeline in pipelines:
        for placed in (pipeline, *(_placed(pipeline, mode) for mode in project.modes.values())):
            spark.sql(f"DROP TABLE IF EXISTS {quoted(spark, placed.sink.table)} PURGE")
            Books(spark, placed.name, placed.sink.table).drop()
            Files(spark).delete(f"{project.state}/{placed.name}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show how far the replay is: a bar on a terminal, a line for each quarter elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        shown = [0]

        def line(done: int) -> None:
            quarter = 4 * done // total
            if quarter > shown[0]:
                shown[0] = quarter
                console.print(f"sent {done} of {total} records")

        yield line
        return
    columns = (TextColumn("replaying flights"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def _print(context: Context, rows: dict[str, _Row], disagreements: list[str], sent: int) -> None:
    header = ("mode", "rows", "closed intervals", "freshness", "core seconds", "files")
    cells = [
        (r.mode, r.rows, r.intervals, f"{r.freshness:.1f} s", f"{r.core_seconds:.1f}", r.files)
        for r in rows.values()
    ]
    title = f"{sent} records of real flights and weather, six pipelines in each mode"
    lines = context.table("", header, cells)
    lines.append(
        "freshness: median from a record's sending to its row being visible in departures; the batches ran after the replay"
    )
    lines += disagreements or ["The modes agree row by row."]
    lines += [
        "",
        "The broker, the topics and the tables lake.demo.* stay. Next:",
        "  headway run punctuality --mode hourly",
        "  headway verify punctuality --start 2013-02-01 --end 2013-02-03",
        "  headway compare congestion --start 2013-02-01 --end 2013-02-04",
        "  headway status",
    ]
    data: dict[str, object] = {
        "records": sent,
        "agree": not disagreements,
        "disagreements": disagreements,
        "modes": [asdict(r) for r in rows.values()],
    }
    context.give(data, [title, "", *lines])


def _placed(pipeline: Pipeline, mode: Mode) -> Pipeline:
    """Return the definition with a table of its own for a mode."""
    return scratch(pipeline, f"lake.demo.{pipeline.name}_{mode.name}", f"demo_{pipeline.name}_{mode.name}")
