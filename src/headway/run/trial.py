"""One mode of one pipeline on scratch tables of its own, for `headway compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headway.catalog import java_table, quoted
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.run import bounded
from headway.run.books import Books
from headway.run.files import Files
from headway.run.job import Cut, Job, Report, opened
from headway.source import Ends, Log, Source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Trial", "as_of", "live", "run_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a run in one mode needs."""

    spark: SparkSession
    pipeline: Pipeline
    """The definition with a scratch table and a scratch name."""
    logs: Mapping[str, Log]
    mode: Mode
    state: str
    """Folder of checkpoints; the trial's own."""
    zone: str
    begin: int
    """Output times before it are left alone."""
    say: Callable[[str], None]
    """Told which step comes; runs themselves say nothing."""

    def open(self) -> AbstractContextManager[Job]:
        """Open a run as `headway run` does; verdicts of suites are told nobody."""
        return opened(
            self.spark,
            self.pipeline,
            self.logs,
            mode=self.mode,
            state=self.state,
            beats=f"{self.state}/beats",
            lease_seconds=600,
            zone=self.zone,
        )

    def snapshots(self) -> dict[int, int]:
        """Return how many data files each commit on the table has added, by its sequence number."""
        if not self.spark.catalog.tableExists(self.pipeline.sink.table):
            return {}
        table = java_table(self.spark, self.pipeline.sink.table)
        return {
            int(s.sequenceNumber()): int(s.summary().get("added-data-files") or 0) for s in table.snapshots()
        }

    def objects(self) -> int:
        """Count the files of the table, of what is kept beside it, and of the checkpoints."""
        files = Files(self.spark)
        books = Books(self.spark, self.pipeline.name, self.pipeline.sink.table)
        tables = [self.pipeline.sink.table, books.name("corrections"), books.name("quarantine")]
        there = [name for name in tables if self.spark.catalog.tableExists(name)]
        folders = [str(java_table(self.spark, name).location()) for name in there]
        return sum(files.count(folder) for folder in [*folders, f"{self.state}/{self.pipeline.name}"])

    def remove(self) -> None:
        """Remove the tables."""
        self.spark.sql(f"DROP TABLE IF EXISTS {quoted(self.spark, self.pipeline.sink.table)} PURGE")
        Books(self.spark, self.pipeline.name, self.pipeline.sink.table).drop()


def live(pipeline: Pipeline) -> Pipeline:
    """Return the same definition for a log that counts as live: a partition read to its end is complete to that moment.

    A replay of old timestamps has `clock="log"`, by which the last intervals of a quiet night never
    close; what a schedule would do with it live is the question here. Rows do not depend on it.
    """
    inputs = {n: replace(i, clock="wall") if isinstance(i, Source) else i for n, i in pipeline.inputs.items()}
    return replace(pipeline, inputs=inputs)


def as_of(cut: Cut, logs: Mapping[str, Log], moment: int) -> Cut:
    """Return where the logs ended at a moment of the past, as if they were asked then."""
    ends = {}
    for name, log in logs.items():
        offsets = log.offsets_at(moment, cut.ends[name].offsets)
        ends[name] = Ends(offsets=offsets, asked_at=moment, settled=frozenset(offsets))
    return replace(cut, ends=ends)


def run_at(trial: Trial, moment: int | None, whole: Cut | None = None) -> Report:
    """Do one scheduled run, as of a moment; None takes the log as ended where it is cut.

    Raises:
        FailedRuleError: A suite ends the run; in compare as everywhere.
    """
    with trial.open() as job:
        cut = whole or job.cut()
        request = bounded.Request(
            mode=trial.mode,
            grid=trial.mode.grid(trial.zone),
            cut=cut if moment is None else as_of(cut, trial.logs, moment),
            complete=moment is None,
            begin=trial.begin,
        )
        return bounded.run(job, request)
