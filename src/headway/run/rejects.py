"""The second look at new records, taken only where some are not admitted or come for what is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headway import instant
from headway.errors import RejectedDataError
from headway.interval import Interval, coalesce
from headway.ownership import Ownership
from headway.run import admission
from headway.run.admission import FATE, Fate
from headway.run.decisions import Decisions
from headway.run.inputs import Reading, Scan, touching
from headway.run.job import Job
from headway.sink import Staged

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["beyond", "corrections", "keep", "left_out", "pending", "queued", "settle", "stop_if_too_many"]

_LEAST_HOUR = 1_000
_SHOWN = 3


def settle(job: Job, name: str, reading: Reading, scan: Scan) -> int:
    """Do what a source's policy wants with new records that were not admitted; returns how many are kept.

    Raises:
        RejectedDataError: Too many of them are dead letters.
    """
    accounts = scan.accounts
    if accounts.dead:
        stop_if_too_many(job, name, reading)
    is_kept = accounts.late + accounts.early > 0 and job.pipeline.sources[name].late != "drop"
    return keep(job, name, reading) if accounts.dead or scan.rejected or is_kept else 0


def stop_if_too_many(job: Job, name: str, reading: Reading) -> None:
    """Compare the dead letters of each arrival hour with `max_rejects`.

    An hour counts as at least a thousand records, so that a few dead letters in a quiet hour
    do not stop a pipeline.

    Raises:
        RejectedDataError: With the hour, the share and where some of them stand.
    """
    from pyspark.sql import functions as F

    source = job.pipeline.sources[name]
    judged = _new(job, name, reading)
    is_dead = F.col(FATE) == int(Fate.DEAD)
    place = F.concat_ws("-", admission.log_field("partition"), admission.log_field("offset"))
    hours = judged.groupBy(F.date_trunc("hour", admission.log_field("arrival")).alias("hour")).agg(
        F.count(F.lit(1)).alias("all"),
        F.count(F.when(is_dead, 1)).alias("dead"),
        F.slice(F.sort_array(F.collect_list(F.when(is_dead, place))), 1, _SHOWN).alias("places"),
    )
    over = hours.filter(F.col("dead") > F.greatest("all", F.lit(_LEAST_HOUR)) * source.max_rejects)
    worst = over.orderBy(F.desc("dead")).first()
    if worst is not None:
        raise RejectedDataError(
            f"{worst['dead']} of the {worst['all']} records that arrived in the hour of "
            f"{worst['hour'].isoformat()}Z in {source.name!r} are dead letters, more than max_rejects={source.max_rejects} allows; "
            f"nothing was published. The first (partition-offset): {', '.join(worst['places'])}",
            hint="Mend the schema or the producer, or raise max_rejects on the source.",
        )


def keep(job: Job, name: str, reading: Reading) -> int:
    """Quarantine the new records that the source's policy does not just drop; returns how many."""
    from pyspark.sql import functions as F

    source = job.pipeline.sources[name]
    kept = [Fate.DEAD, Fate.REJECTED]
    if source.late in ("quarantine", "correct"):
        kept += [Fate.LATE, Fate.EARLY]
    judged = admission.errors(_raw(job, name, reading), source, job.checks.get(name)).filter(
        F.col(FATE).isin([int(f) for f in kept])
    )
    return job.books.quarantine(source.name, job.identities[name], judged, reading.end)


def corrections(
    job: Job, name: str, reading: Reading, closed: int, own: Interval | None
) -> tuple[Interval, ...]:
    """Write down the new records that come for what is final, and return the ranges they touch.

    Args:
        job: The run.
        name: The source.
        reading: The range whose new records are looked at.
        closed: Everything before it is final.
        own: The range that this very run computes with these records, which needs no correction.
    """
    condition = touching(job.pipeline.sources[name], closed, job.analysis.reach.ahead)
    return beyond(_record(job, name, reading, condition), closed, own)


def beyond(touched: Sequence[Interval], closed: int, own: Interval | None) -> tuple[Interval, ...]:
    """Return the parts of touched ranges that are final already, and not what this very run computes."""
    parts = [part for t in touched for part in _outside(t, own)]
    return tuple(Interval(p.start, min(p.end, closed)) for p in parts if p.start < closed)


def left_out(job: Job, name: str, reading: Reading, past: int) -> tuple[Interval, ...]:
    """Write down the records of a micro-batch that come too late for it, and return what they touch.

    Those are the stragglers, whose event time is at or before `past`, and the late records that a
    correction admits.
    """
    from pyspark.sql import functions as F

    e = admission.event_time(job.pipeline.sources[name])
    is_straggler = (F.col(FATE) == int(Fate.ADMITTED)) & (e <= past)
    return _record(job, name, reading, is_straggler | (F.col(FATE) == int(Fate.CORRECTABLE)))


def taken_in(job: Job, new: Decisions) -> tuple[Interval, ...]:
    """Return for which event time new decisions bring records in, to the minute.

    Records that they do not bring in, because they cannot be read or break a rule still, are quarantined again.
    """
    from pyspark.sql import functions as F

    touched: list[Interval] = []
    for name, source in job.pipeline.sources.items():
        log = job.identities[name]
        if not new.places(source.name, log):
            continue
        raw = new.raw(job.spark, source, log).withColumn(admission.DECIDED, F.lit(True))
        judged = admission.errors(raw, source, job.checks.get(name))
        is_in = F.col(FATE).isin(int(Fate.ADMITTED), int(Fate.CORRECTABLE))
        touched += _minutes(judged.filter(is_in), admission.event_time(source))
        job.books.quarantine_again(source.name, log, judged.filter(~is_in), new.number)
    return tuple(touched)


def queued(job: Job, staged: Staged, touched: Sequence[Interval]) -> Staged:
    """Return what is staged, with a map in which further ranges wait for a correction."""
    if not touched:
        return staged
    after = pending(job, staged.commit.ownership, touched)
    return job.target.amend(staged, replace(staged.commit, ownership=after))


def pending(job: Job, ownership: Ownership, touched: Sequence[Interval]) -> Ownership:
    """Return a map in which further ranges wait for a correction; what sources' suites have found there goes."""
    after = ownership.with_pending(touched)
    reach = job.analysis.reach
    for name in job.source_gates:
        for part in touched:
            records = Interval(reach.before(part.start), instant.clamp(part.end + reach.ahead))
            after = after.without_marks(name, records)
    return after


def _record(job: Job, name: str, reading: Reading, condition: Column) -> tuple[Interval, ...]:
    """Write records into the corrections table, and return the output times they touch, to the minute."""
    source = job.pipeline.sources[name]
    reach = job.analysis.reach
    e = admission.event_time(source)
    found = _new(job, name, reading).filter(condition)
    job.books.corrections(
        source.name, job.identities[name], found, e, reach.ahead, reach.history, reading.end
    )
    return coalesce(reach.around(minute) for minute in _minutes(found, e))


def _minutes(records: DataFrame, e: Column) -> list[Interval]:
    """Return the minutes of event time in which there are records."""
    from pyspark.sql import functions as F

    minutes = records.select(
        (F.floor(e / (60 * instant.SECOND)) * 60 * instant.SECOND).alias("minute")
    ).distinct()
    starts = [int(row["minute"]) for row in minutes.toLocalIterator()]
    return [Interval(at, at + 60 * instant.SECOND) for at in starts]


def _outside(touched: Interval, own: Interval | None) -> list[Interval]:
    if own is None or not touched.meets(own):
        return [touched]
    parts = []
    if touched.start < own.start:
        parts.append(Interval(touched.start, own.start))
    if own.end < touched.end:
        parts.append(Interval(own.end, touched.end))
    return parts


def _raw(job: Job, name: str, reading: Reading) -> DataFrame:
    assert reading.new_from is not None
    return job.logs[name].read(job.spark, reading.new_from, reading.end)


def _new(job: Job, name: str, reading: Reading) -> DataFrame:
    return admission.judge(_raw(job, name, reading), job.pipeline.sources[name], job.checks.get(name))
