"""A Spark session for one command, its logs opened and closed."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headway.cli.context import Context
from headway.embedded import stack
from headway.interval import Interval
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.project import Project
from headway.run import engine
from headway.run.job import EVERYTHING, Job, connect, opened
from headway.sinks.postgres import Postgres
from headway.source import Log
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Meter", "begun", "connected", "sink_settings", "spark_for", "working"]


@dataclass(slots=True)
class Meter:
    """Seconds by the clock and by the processors, of this process and its JVM."""

    spark: SparkSession | None = None
    _began: float = field(default_factory=time.monotonic)
    _before: float = 0.0

    def again(self) -> Meter:
        """Return a meter that begins now, in the same process."""
        return Meter(self.spark, _before=self._before + self.cpu_seconds)

    @property
    def seconds(self) -> float:
        """Seconds by the clock since the meter was made."""
        return round(time.monotonic() - self._began, 3)

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of this process, of its ended children, and of the driver's JVM."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        total = own.ru_utime + own.ru_stime
        if self.spark is not None:
            total += jvm_cpu_seconds(self.spark)
        return round(total - self._before, 3)


def jvm_cpu_seconds(spark: SparkSession) -> float:
    """Return the processor seconds that the driver's JVM has used; 0 where the system does not tell."""
    jvm = spark._jvm
    assert jvm is not None
    stat = Path(f"/proc/{jvm.java.lang.ProcessHandle.current().pid()}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def spark_for(context: Context, *, short: bool = True) -> Iterator[SparkSession]:
    """Start Spark for a command, and stop it at the end."""
    spark = engine.start(context.project, short=short, run=context.run, is_verbose=context.verbose)
    try:
        yield spark
    finally:
        spark.stop()


@contextmanager
def working(
    context: Context, pipeline: Pipeline, *, short: bool = True
) -> Iterator[tuple[SparkSession, Mapping[str, Log]]]:
    """Start Spark and meanwhile open a pipeline's logs; let go of both at the end."""
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(
            engine.start, context.project, short=short, run=context.run, is_verbose=context.verbose
        )
        with ExitStack() as held:
            held.callback(lambda: starting.result().stop())
            try:
                logs = held.enter_context(connected(context.project, pipeline, starting.result))
            finally:
                spark = starting.result()
            yield spark, logs


def begun(
    project: Project,
    spark: SparkSession,
    pipeline: Pipeline,
    logs: Mapping[str, Log],
    mode: Mode,
    *,
    interval: Interval = EVERYTHING,
    telemetry: Telemetry | None = None,
) -> AbstractContextManager[Job]:
    """Open a run as `headway.run.job.opened` does, with the project's state and leases."""
    return opened(
        spark,
        pipeline,
        logs,
        mode=mode,
        state=project.state,
        beats=f"{project.state}/leases",
        lease_seconds=project.config.lease_seconds,
        interval=interval,
        settings=sink_settings(project, pipeline),
        zone=project.config.zone,
        quality=project.config.quality,
        telemetry=telemetry,
    )


def sink_settings(project: Project, pipeline: Pipeline) -> dict[str, object]:
    """Return where a pipeline's other sinks are.

    Raises:
        UnavailableError: An embedded server is needed and does not run.
    """
    sections = {sink.section for sink in pipeline.following}
    named = {sink.database for sink in pipeline.following if isinstance(sink, Postgres)}
    copied = {lookup.copies.database for lookup in pipeline.lookups.values() if lookup.copies is not None}
    settings: dict[str, object] = {"delta": {"root": project.delta}}
    if named or copied:
        settings["databases"] = stack.databases(project, named | copied)
    others = sections - settings.keys() - {"databases"}
    return settings | {name: stack.section(project, name) for name in others}


@contextmanager
def connected(
    project: Project, pipeline: Pipeline, session: Callable[[], SparkSession]
) -> Iterator[Mapping[str, Log]]:
    """Open a pipeline's logs for a command, and close them at the end; `session` waits for Spark."""
    logs = connect(project, pipeline, session)
    try:
        yield logs
    finally:
        for log in logs.values():
            log.close()
