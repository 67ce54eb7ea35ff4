"""The micro-batches of a query that another thread runs, and what the processes used meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from headway.run import usage
from headway.run.usage import Usage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["Watch", "watched"]

_LOOK_EVERY = 0.2
_WARM_UP = 3
"""Batches that are not counted: the first ones compile their plan."""


@dataclass(frozen=True, slots=True)
class _Batch:
    seconds: float
    records: int
    used: Usage
    """What the processes had used when the batch was first seen to have ended."""


@dataclass(slots=True)
class Watch:
    """What has been seen of a query's batches, by their number."""

    batches: dict[int, _Batch] = field(default_factory=dict)

    @property
    def counted(self) -> list[_Batch]:
        """The batches that count: without the first few, as far as there are more."""
        ordered = [self.batches[number] for number in sorted(self.batches)]
        return ordered[_WARM_UP:] if len(ordered) > 2 * _WARM_UP else ordered

    @property
    def seconds(self) -> float:
        """Median time of a batch; 0 where none was seen."""
        return median(batch.seconds for batch in self.counted) if self.batches else 0.0

    @property
    def records(self) -> float:
        """Mean number of records of a batch."""
        return sum(b.records for b in self.counted) / len(self.counted) if self.batches else 0.0

    @property
    def used(self) -> Usage | None:
        """What was used between the first and the last batch that count; None where there are no two."""
        counted = self.counted
        return counted[-1].used.minus(counted[0].used) if len(counted) > 1 else None

    @property
    def busy_seconds(self) -> float:
        """Time of the batches after the first that counts, up to the last."""
        return sum(batch.seconds for batch in self.counted[1:])


@contextmanager
def watched(spark: SparkSession, pipeline: str) -> Iterator[Watch]:
    """Watch the batches of a pipeline's query from a thread of its own, while the caller runs it."""
    seen, ended = Watch(), threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY):
            query = running(spark, pipeline)
            last = None if query is None else query.lastProgress
            if query is None or last is None or last.batchId in seen.batches:
                continue
            fresh = {p.batchId: p for p in query.recentProgress if p.batchId not in seen.batches}
            used = usage.of_run(spark) if fresh else None
            for number, progress in fresh.items():
                spent = progress.durationMs
                if used is not None and "addBatch" in spent:
                    seconds = spent["triggerExecution"] / 1_000
                    seen.batches[number] = _Batch(seconds, int(progress.numInputRows), used)

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def running(spark: SparkSession, pipeline: str) -> StreamingQuery | None:
    """Return the query of a pipeline, if it runs."""
    return next((q for q in spark.streams.active if q.name == f"headway {pipeline}"), None)
