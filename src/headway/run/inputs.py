"""The frames that a definition's function gets, from ranges of the logs and versions of lookups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.accounts import Accounts
from headway.errors import LostDataError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.pipeline import Pipeline
from headway.run import admission, versions
from headway.run.admission import FATE, Fate
from headway.run.job import Cut, Job
from headway.run.upstreams import event_time
from headway.sink import Applied
from headway.source import Source
from headway.upstream import Upstream

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Observation

__all__ = [
    "Reading",
    "Scan",
    "at_versions",
    "observed",
    "recount",
    "require_left",
    "result",
    "total",
    "validity_frames",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A range of one source's log, and which part of it is looked at for the first time."""

    start: Offsets
    end: Offsets
    new_from: Offsets | None
    """Where the records begin that no run has counted; None where all are counted already."""

    @property
    def new_records(self) -> int:
        """How many positions are looked at for the first time."""
        return 0 if self.new_from is None else self.end.minus(self.new_from)

    def to_json(self) -> dict[str, object]:
        """Write for a commit's summary."""
        return {"from": self.start.to_json(), "to": self.end.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was counted of one source's new records."""

    accounts: Accounts
    touching: int
    """New records that may change what is final already."""
    rejected: int = 0
    """New records that are admitted and that the source's suite quarantines."""
    refused: int = 0
    """New records that are admitted and that the source's suite leaves out."""


def result(
    job: Job,
    readings: Mapping[str, Reading],
    cut: Cut,
    span: Interval,
    observations: Mapping[str, Observation],
    closed: int,
) -> tuple[DataFrame, dict[str, list[int]]]:
    """Return the rows of a span of output time, and the lookup snapshots that they used."""
    from pyspark.sql import functions as F

    reach = job.analysis.reach
    low, high = reach.before(span.start), instant.clamp(span.end + reach.ahead)
    judged = {name: job.upstreams[name].frame(version, low, high) for name, version in cut.versions.items()}
    for name, reading in readings.items():
        source = job.pipeline.sources[name]
        raw = job.logs[name].read(job.spark, reading.start, reading.end)
        log = job.identities[name]
        raw = cut.decisions.beside(raw, job.spark, source, log, start=reading.start, end=reading.end)
        frame = admission.judge(raw, source, job.checks.get(name))
        # By the column itself: an archive leaves out the hours that this does not meet.
        e = F.col(source.event_time)
        within = (e >= F.timestamp_micros(F.lit(low))) & (e < F.timestamp_micros(F.lit(high)))
        if name in observations:
            is_new = _is_new(reading, others=admission.DECIDED in raw.columns)
            frame = frame if is_new is None else frame.filter(is_new | within)
            frame = frame.observe(observations[name], *_counts(source, is_new, closed, reach.ahead))
        is_relevant = admission.is_relevant(source, corrections=True)
        judged[name] = admission.admit(frame, within & is_relevant)
    valid = validity_frames(job, cut.validities)
    used = {name: [version.snapshot] for name, version in cut.validities.items()}
    lookups = job.pipeline.versioned
    if not lookups:
        return _apply(job, {**judged, **valid}).filter(job.target.result.condition(span)), used
    row_by_row = not job.analysis.is_stateful
    found = versions.epochs(
        job.spark,
        lookups,
        instant.clamp(low - _earliness(job)) if row_by_row else span.start,
        high if row_by_row else span.end,
    )
    used |= {name: [] for name in lookups}
    parts = []
    for epoch in found:
        for name, snapshot in epoch.snapshots.items():
            if snapshot not in used[name]:
                used[name].append(snapshot)
        part = at_versions(job, judged, valid, epoch, by_record=row_by_row and len(found) > 1)
        bounds = span if row_by_row else Interval(max(span.start, epoch.start), min(span.end, epoch.end))
        parts.append(part.filter(job.target.result.condition(bounds)))
    return reduce(lambda a, b: a.unionByName(b), parts), used


def validity_frames(job: Job, read: Mapping[str, Applied]) -> dict[str, DataFrame]:
    """Return the frames of the lookups whose rows say when they are valid."""
    return {name: job.validities[name].frame(version) for name, version in read.items()}


def at_versions(
    job: Job,
    records: Mapping[str, DataFrame],
    valid: Mapping[str, DataFrame],
    epoch: versions.Epoch,
    *,
    by_record: bool,
) -> DataFrame:
    """Call the function with the lookups of an epoch, and tag their versions.

    Args:
        job: The run.
        records: The sources' frames.
        valid: Those of lookups whose rows say when they are valid.
        epoch: Whose versions count.
        by_record: Whether the function gets only the records that see this epoch.
    """
    tables = {}
    for name, snapshot in epoch.snapshots.items():
        lookup = job.pipeline.lookups[name]
        tables[name] = versions.frame(job.spark, lookup, snapshot)
        versions.tag(job.spark, lookup, snapshot)
    if by_record:
        records = {
            name: frame.filter(_seen(job, name).between(epoch.start, epoch.end - 1))
            for name, frame in records.items()
        }
    return _apply(job, {**records, **valid, **tables})


def _seen(job: Job, name: str) -> Column:
    """Return the instant that decides which versions of lookups a record sees, in microseconds."""
    given = job.pipeline.records[name]
    return event_time(given) if isinstance(given, Upstream) else admission.seen(given)


def _apply(job: Job, frames: Mapping[str, DataFrame]) -> DataFrame:
    """Call the function, and keep Spark from filtering its sessions before they are merged.

    Spark pushes a condition on a grouping column below the grouping. A session window is no
    ordinary one: its value changes when sessions merge, so the condition would take away events
    that belong to a session which is wanted. An observation stops the push-down.
    """
    from pyspark.sql import functions as F

    rows = job.pipeline.function(**frames)
    if job.analysis.operators.sessions:
        rows = rows.observe("headway_sessions", F.count(F.lit(1)).alias("rows"))
    return rows


def require_left(job: Job, start: int, why: str) -> None:
    """See that the records which rows from an output time on depend on are still in the logs.

    Raises:
        LostDataError: Retention has eaten some of them, or may have; the words begin with `why`.
    """
    for name, log in job.logs.items():
        source = job.pipeline.sources[name]
        low = job.analysis.reach.before(start) - source.earliness_micros
        gone = [p for p, since in log.intact_since().items() if since > low]
        if gone:
            raise LostDataError(
                f"{why}, and retention may have eaten records of {source.name!r} that it depends on "
                f"(partitions {', '.join(map(str, gone))})",
                hint="What is published stays as it is. Raise the topic's retention to keep what may be needed again.",
            )


def recount(job: Job, name: str, reading: Reading, closed: int) -> Scan:
    """Count a source's new records in a job of its own."""
    source = job.pipeline.sources[name]
    assert reading.new_from is not None
    only_new = Reading(start=reading.new_from, end=reading.end, new_from=reading.new_from)
    raw = job.logs[name].read(job.spark, only_new.start, only_new.end)
    judged = admission.judge(raw, source, job.checks.get(name))
    counted = judged.agg(*_counts(source, None, closed, job.analysis.reach.ahead)).first()
    assert counted is not None
    return scan_of(counted.asDict())


def observed(observation: Observation) -> dict[str, int] | None:
    """Return what a job has counted; None where Spark has left the counting out.

    It does so where it finds out at run time that a part of the plan has no effect, such as
    one side of a join whose other side is empty.
    """
    java: Any = observation._jo
    row = java.getRow()
    if row.schema() is None:
        return None
    return {name: row.getLong(i) for i, name in enumerate(row.schema().fieldNames())}


def scan_of(counts: Mapping[str, int]) -> Scan:
    """Turn what was observed into accounts."""
    return Scan(
        accounts=Accounts(
            read=counts["read"],
            admitted=counts["admitted"],
            late=counts["late"],
            early=counts["early"],
            dead=counts["dead"],
            tombstones=counts["tombstones"],
        ),
        touching=counts["touching"],
        rejected=counts["rejected"],
        refused=counts["refused"],
    )


def total(pipeline: Pipeline, scans: Mapping[str, Scan], *, quarantined: int, published: int) -> Accounts:
    """Add up what was counted of a pipeline's sources; what `late="drop"` leaves out is dropped."""
    counted = Accounts(published=published, quarantined=quarantined)
    for name, scan in scans.items():
        is_dropped = name in pipeline.sources and pipeline.sources[name].late == "drop"
        dropped = scan.accounts.late + scan.accounts.early if is_dropped else 0
        counted = counted.plus(replace(scan.accounts, dropped=dropped + scan.refused))
    return counted


def touching(source: Source, closed: int, ahead: int) -> Column:
    """Return the condition that a judged record may change what is final already."""
    from pyspark.sql import functions as F

    relevant = F.col(FATE).isin(int(Fate.ADMITTED), int(Fate.CORRECTABLE))
    return relevant & (admission.event_time(source) < instant.clamp(closed + ahead))


def _counts(source: Source, is_new: Column | None, closed: int, ahead: int) -> list[Column]:
    from pyspark.sql import functions as F

    def count(condition: Column, name: str) -> Column:
        return F.count(F.when(is_new & condition if is_new is not None else condition, 1)).alias(name)

    fate = F.col(FATE)
    return [
        (F.count(F.lit(1)) if is_new is None else F.count(F.when(is_new, 1))).alias("read"),
        count(fate.isin(*map(int, admission.ADMITTED)), "admitted"),
        count(fate.isin(int(Fate.LATE), int(Fate.CORRECTABLE)), "late"),
        count(fate == int(Fate.EARLY), "early"),
        count(fate == int(Fate.DEAD), "dead"),
        count(fate == int(Fate.TOMBSTONE), "tombstones"),
        count(touching(source, closed, ahead), "touching"),
        count(fate == int(Fate.REJECTED), "rejected"),
        count(fate == int(Fate.REFUSED), "refused"),
    ]


def _is_new(reading: Reading, *, others: bool) -> Column | None:
    """Return the condition that a record is looked at for the first time; None where all are.

    `others` tells whether records from outside of the range are among them.
    """
    from pyspark.sql import functions as F

    assert reading.new_from is not None
    if not others and all(reading.start.get(p, 0) >= reading.new_from.get(p, 0) for p in reading.end):
        return None
    condition = F.lit(False)
    for partition in reading.end:
        since = reading.new_from.get(partition, 0)
        condition = condition | (
            (admission.log_field("partition") == partition) & (admission.log_field("offset") >= since)
        )
    return condition


def _earliness(job: Job) -> int:
    return max((s.earliness_micros for s in job.pipeline.sources.values()), default=0)
