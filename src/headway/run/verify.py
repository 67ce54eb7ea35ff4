"""The same log through every open mode, compared row by row. Leaves nothing behind."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.errors import CallError
from headway.interval import Interval
from headway.lookup import Lookup
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.plan.analysis import Analysis, analyse, continuous_faults
from headway.run import agreement, bounded, continuous
from headway.run.books import Books
from headway.run.job import Cut, Job, Report, opened, scratch
from headway.run.judging import RESULT
from headway.run.upstreams import UpstreamTable
from headway.run.validity import ValidityTable
from headway.source import Erasable, Log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Verdict", "cut_of", "verify", "without_copies"]

_BATCHES = 12
"""About how many micro-batches the continuous run takes, so that their bounds are put to the test."""
_JOBS = 60
"""About how many jobs a bounded mode takes at most."""
_ALL = 10**15
"""More records than any job reads."""
_PARTITIONS = (2, 3, 5, 7)
"""Shuffle partitions, another number for each mode."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What `verify --json` prints."""

    pipeline: str
    differences: int = 0
    inexact: int = 0
    units: int = 0
    """Units that suites have judged, whose verdicts were compared."""
    modes: list[dict[str, object]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None

    @property
    def agree(self) -> bool:
        """Whether every mode gave the same rows."""
        return self.differences == 0

    def to_json(self) -> dict[str, object]:
        """Write as `verify --json` prints it."""
        given: dict[str, object] = {
            "pipeline": self.pipeline,
            "agree": self.agree,
            "differences": self.differences,
            "inexact": self.inexact,
            "units": self.units,
            "modes": self.modes,
        }
        if not self.agree:
            given |= {"reason": self.reason, "rows": self.rows}
        return given


def verify(
    spark: SparkSession,
    pipeline: Pipeline,
    logs: Mapping[str, Log],
    modes: Mapping[str, Mode],
    interval: Interval,
    *,
    zone: str,
    say: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Compute a range of output time in each mode that is open, into tables of its own.

    The log is taken up to the last record that the range can depend on, and declared to have
    ended there. Bounded modes compute each interval in a job of its own, or a
    few where there are many.

    Raises:
        CallError: Fewer than two modes are open.
    """
    analysis = analyse(spark, pipeline)
    # What is shown early and how is not compared, so the stream itself is put to the test.
    subject = replace(pipeline, emit="final") if analysis.early == "recomputing" else pipeline
    closed = continuous_faults(spark, subject, analysis)
    is_open = {n: m for n, m in modes.items() if m.is_bounded or not closed}
    if len(is_open) < 2:
        raise CallError(
            f"only {', '.join(is_open)} is open to {pipeline.name!r}: there is nothing to compare"
        )
    cut = cut_of(spark, pipeline, analysis, logs, interval)
    verdict = Verdict(pipeline=pipeline.name)
    mark = uuid.uuid4().hex[:8]
    work = Path(tempfile.mkdtemp(prefix="headway-verify-"))
    partitions = spark.conf.get("spark.sql.shuffle.partitions")
    used: list[Job] = []
    results: dict[str, DataFrame] = {}
    marks: dict[str, dict[tuple[str, str], tuple[str, ...]]] = {}
    try:
        for number, (name, mode) in enumerate(is_open.items()):
            spark.conf.set("spark.sql.shuffle.partitions", str(_PARTITIONS[number % len(_PARTITIONS)]))
            say(f"{pipeline.name}: {name}")
            catalog = pipeline.sink.table.partition(".")[0]
            trial = scratch(
                subject,
                f"{catalog}.headway_verify.{pipeline.name}_{name}_{mark}",
                f"{pipeline.name}_verify_{mark}_{name}",
            )
            trial = without_copies(trial)
            with opened(
                spark,
                trial,
                logs,
                mode=mode,
                state=str(work),
                beats=str(work / "beats"),
                lease_seconds=3600,
                zone=zone,
            ) as job:
                used.append(job)
                report = _run(_lenient(job), mode, cut, interval, zone)
                marks[name] = _found(job, interval)
                results[name] = spark.table(trial.sink.table).filter(job.target.result.condition(interval))
                verdict.modes.append({"name": name, "rows": results[name].count(), "batches": report.batches})
        _compare(verdict, results)
        _compare_marks(verdict, marks)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
        for job in used:
            job.target.drop()
            job.books.drop()
        shutil.rmtree(work, ignore_errors=True)
    if not verdict.agree:
        verdict.reason = _reason(pipeline, analysis, verdict)
    return verdict


def _lenient(job: Job) -> Job:
    """Return a job whose suites end nothing and hold nothing: their verdicts are compared too."""
    return replace(
        job,
        gate=None if job.gate is None else job.gate.lenient(),
        source_gates={name: gate.lenient() for name, gate in job.source_gates.items()},
    )


def _found(job: Job, interval: Interval) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return which rules have failed by subject and unit, for the units that lie in a range."""
    gates = {**job.source_gates, **({} if job.gate is None else {RESULT: job.gate})}
    ownership = job.target.ownership()
    return {
        (subject, str(unit)): mark.failed
        for subject, gate in gates.items()
        for mark in ownership.marks.get(subject, ())
        for unit in gate.within(mark.interval)
        if interval.contains(unit)
    }


def _compare_marks(verdict: Verdict, found: Mapping[str, dict[tuple[str, str], tuple[str, ...]]]) -> None:
    """Count the units of which the suites have said other things in one mode than in another."""
    first = next(iter(found))
    verdict.units = len({unit for marks in found.values() for unit in marks})
    for name, marks in found.items():
        for subject, unit in sorted(found[first].keys() | marks.keys()):
            a, b = found[first].get((subject, unit)), marks.get((subject, unit))
            # A mode with longer intervals closes more of the empty time around the log.
            if a is not None and b is not None and a != b:
                verdict.differences += 1
                verdict.rows.append(
                    {"only_in": f"{first} and {name}, with other verdicts", "unit": unit, first: a, name: b}
                )


def without_copies(pipeline: Pipeline) -> Pipeline:
    """Return the same definition, whose lookups are compared as they stand."""
    inputs = {n: replace(i, copies=None) if isinstance(i, Lookup) else i for n, i in pipeline.inputs.items()}
    return replace(pipeline, inputs=inputs)


def _run(job: Job, mode: Mode, cut: Cut, interval: Interval, zone: str) -> Report:
    if mode.is_bounded:
        grid = mode.grid(zone)
        whole = Interval(grid.floor(interval.start), grid.ceiling(interval.end))
        pieces = list(grid.intervals(whole.start, whole.end))
        report = Report(pipeline=job.pipeline.name, mode=mode.name, lineage=bounded.LINEAGE)
        # A job an interval; where there are many, a call takes several, and one job all of them.
        is_many = len(pieces) > _JOBS
        each = -(-len(pieces) // _JOBS) if is_many else len(pieces)
        for at in range(0, len(pieces), each):
            taken = pieces[at : at + each]
            request = bounded.Request(
                mode=mode,
                grid=grid,
                cut=cut,
                wanted=Interval(taken[0].start, taken[-1].end),
                complete=True,
                records_per_job=_ALL if is_many else 1,
            )
            bounded.run(job, request, report)
        report.batches = len(report.intervals)
        return report
    total = sum(
        cut.ends[name].offsets.minus(
            log.offsets_at(
                job.analysis.reach.before(interval.start) - job.pipeline.sources[name].earliness_micros,
                cut.ends[name].offsets,
            )
        )
        for name, log in job.logs.items()
    )
    stream = continuous.Request(
        mode=mode,
        grid=Mode(name="corrections", every="1 hour").grid(zone),
        until=cut,
        complete=True,
        begin=interval.start,
        max_records_per_batch=max(1, total // _BATCHES // max(1, len(job.logs))),
    )
    return continuous.run(job, stream, threading.Event())


def cut_of(
    spark: SparkSession,
    pipeline: Pipeline,
    analysis: Analysis,
    logs: Mapping[str, Log],
    interval: Interval,
) -> Cut:
    """Return where each log is cut: behind the last record that the range can depend on."""
    ends = {}
    for name, log in logs.items():
        source = pipeline.sources[name]
        last = interval.end + analysis.reach.ahead + source.too_late_micros + source.disorder_micros + 1
        now = log.ends()
        ends[name] = replace(now, offsets=log.offsets_at(instant.clamp(last), now.offsets))
    upstreams = {name: UpstreamTable(spark, given) for name, given in pipeline.upstreams.items()}
    validities = {
        n: ValidityTable(spark, given, shows_bounds=True) for n, given in pipeline.valid_at_event_time.items()
    }
    return Cut(
        ends=ends,
        versions={name: table.version() for name, table in upstreams.items()},
        validities={name: table.version() for name, table in validities.items()},
        erasures={name: log.erasures() for name, log in logs.items() if isinstance(log, Erasable)},
        decisions=Books(spark, pipeline.name, pipeline.sink.table).decisions(),
    )


def _compare(verdict: Verdict, results: Mapping[str, DataFrame]) -> None:
    names = list(results)
    for name in names[1:]:
        found = agreement.compare(results[names[0]], results[name], names[0], name)
        verdict.differences += found.differences
        verdict.inexact += found.inexact
        verdict.rows += found.rows


def _reason(pipeline: Pipeline, analysis: Analysis, verdict: Verdict) -> str:
    counts = ", ".join(f"{m['name']} {m['rows']}" for m in verdict.modes)
    reason = f"the modes disagree on {verdict.differences} rows (rows: {counts})."
    if pipeline.history is not None or pipeline.ahead is not None:
        reason += (
            f" history={instant.spell(analysis.reach.history)} and ahead={instant.spell(analysis.reach.ahead)} are declared"
            f" at {pipeline.where}, where the plan hides what {pipeline.output_time!r} depends on: rows depend on records"
            " further away than that."
        )
    if analysis.operators.python_functions:
        reason += " A Python function is part of the plan; headway cannot see whether it is pure."
    return reason
