"""Which checkpoint a stream goes on with, and which range of output time it publishes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from headway import instant
from headway.errors import CallError
from headway.interval import Interval
from headway.ownership import Ownership
from headway.run import bounded, versions
from headway.run.files import Files
from headway.run.job import Job, digest

__all__ = ["Lineage", "chosen", "epochs", "require_no_gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """One checkpoint from its first batch to its last; batch numbers repeat across lineages."""

    name: str
    begin: int
    """It publishes no row with an earlier output time."""
    end: int
    """It publishes rows before it only. State cannot take up a new version of a lookup, so a
    successor goes on where the versions end; `instant.END` where they do not."""
    is_new: bool
    epochs: tuple[versions.Epoch, ...]
    """The versions of lookups that it joins with."""
    folder: str

    @property
    def checkpoint(self) -> str:
        """Location of Spark's checkpoint."""
        return f"{self.folder}/checkpoint"


def chosen(job: Job, ownership: Ownership, begin: int | None = None) -> Lineage:
    """Return the lineage that the sink's newest commit names, or a new one.

    A lineage is gone on with where its checkpoint is there and it was made from the same
    inputs: another definition, or another topic, starts a new one.

    Args:
        job: The run.
        ownership: Who has published what.
        begin: Where a new lineage has to begin. None goes on with the one that is there, else begins
            after what is final, else at the log's begin.
    """
    name = _resumable(job, ownership) if begin is None else None
    is_new = name is None
    if begin is None:
        begin = ownership.closed_through if is_new else ownership.begins
    if begin is None:
        bounds = bounded.output_range(job, job.cut())
        begin = bounds[0] if bounds is not None else instant.BEGINNING
    found = epochs(job, begin)
    name = name or f"{uuid.uuid4().hex[:8]}-{_inputs(job, found)}"
    return Lineage(
        name=name,
        begin=begin,
        end=found[-1].end if found else instant.END,
        is_new=is_new,
        epochs=found,
        folder=_folder(job, name),
    )


def require_no_gap(job: Job, ownership: Ownership) -> None:
    """See that a stream, which goes on after what is final, leaves nothing behind it that is nobody's.

    Raises:
        CallError: Named intervals were published beyond a range that is not final.
    """
    if not ownership.segments:
        return
    first = ownership.segments[0].interval.start
    if ownership.stream is None:
        bounds = bounded.output_range(job, job.cut())
        first = first if bounds is None else min(first, bounds[0])
    gaps = ownership.gaps(Interval(first, ownership.segments[-1].interval.end))
    if gaps:
        raise CallError(
            f"{gaps[0]} is not published, and later output times are: a stream would go on after them",
            where=job.pipeline.sink.table,
            hint="Publish what is missing first: run a bounded mode without --start and --end.",
        )


def epochs(job: Job, begin: int) -> tuple[versions.Epoch, ...]:
    """Return the versions of lookups that a lineage joins with, as they are known now.

    Row by row, a version counts by the record's time, and a query takes all that its records may
    see. Above state it counts by the output time, and a query takes the one of `begin`.
    """
    if not job.pipeline.versioned:
        return ()
    if job.analysis.is_stateful:
        return tuple(versions.epochs(job.spark, job.pipeline.versioned, begin, instant.END)[:1])
    earliness = max(source.earliness_micros for source in job.pipeline.sources.values())
    first = instant.clamp(job.analysis.reach.before(begin) - earliness)
    return tuple(versions.epochs(job.spark, job.pipeline.versioned, first, instant.END))


def _resumable(job: Job, ownership: Ownership) -> str | None:
    held = ownership.stream
    if held is None or ownership.begins is None:
        return None
    if not held.endswith(_inputs(job, epochs(job, ownership.begins))):
        return None
    return held if Files(job.spark).exists(f"{_folder(job, held)}/checkpoint/metadata") else None


def _inputs(job: Job, found: tuple[versions.Epoch, ...]) -> str:
    """Return what a checkpoint is bound to: definition, logs, and the versions that its plan joins with."""
    if job.analysis.is_stateful:
        return digest([job.inputs, [dict(e.snapshots) for e in found]])
    return digest([job.inputs, [[e.start, e.end, dict(e.snapshots)] for e in found]])


def _folder(job: Job, name: str) -> str:
    return f"{job.state}/{job.pipeline.name}/{name}"
