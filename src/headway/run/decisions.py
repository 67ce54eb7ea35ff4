"""What people have decided about quarantined records and rejected rows: a part of the log that every run reads.

A decision is a row in the pipeline's table of decisions and has a number. A run takes those up to the
number that its cut names, and its commits carry that number; so recomputing never undoes a decision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway.interval import Interval
from headway.run import admission
from headway.source import Source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from headway.offsets import Offsets

__all__ = ["POSITION", "Decision", "Decisions"]

POSITION = "decisions"
"""Name under which the map of ownership notes how many decisions were taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the table: about a record of a source, or about a range of output time whose rows were rejected."""

    number: int
    """From 1 on."""
    source: str | None
    log: str | None
    """Identity of the source's log: offsets of one that was made anew mean other records."""
    partition: int | None
    offset: int | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The decisions of one pipeline up to a number."""

    quarantine: str = ""
    """Table that has the records' bytes."""
    taken: tuple[Decision, ...] = field(default=())

    @property
    def number(self) -> int:
        """The newest decision's number; 0 where there is none."""
        return max((d.number for d in self.taken), default=0)

    def after(self, number: int) -> Decisions:
        """Return those that came after a number."""
        return Decisions(quarantine=self.quarantine, taken=tuple(d for d in self.taken if d.number > number))

    @property
    def ranges(self) -> tuple[Interval, ...]:
        """Ranges of output time that are to be computed again."""
        return tuple(d.interval for d in self.taken if d.interval is not None)

    def places(self, source: str, log: str) -> dict[int, set[int]]:
        """Return which records of a source are to be taken in, by partition and offset."""
        found: dict[int, set[int]] = {}
        for d in self.taken:
            if d.source == source and d.log == log and d.partition is not None and d.offset is not None:
                found.setdefault(d.partition, set()).add(d.offset)
        return found

    def raw(self, spark: SparkSession, source: Source, log: str) -> DataFrame:
        """Return the records that are to be taken in, as `headway.source.Log.read` returns them, each once."""
        from pyspark.sql import functions as F

        return (
            spark.table(self.quarantine)
            .filter((F.col("source") == source.name) & (F.col("log") == log) & (F.col("attempt") == 0))
            .filter(_among(self.places(source.name, log)))
            .select(
                "key", "value", "topic", "partition", "offset", F.col("arrival").alias("timestamp"), "headers"
            )
        )

    def beside(
        self, raw: DataFrame, spark: SparkSession, source: Source, log: str, *, start: Offsets, end: Offsets
    ) -> DataFrame:
        """Return records read from `[start, end)` and those that are to be taken in from elsewhere."""
        places = {
            p: {o for o in offsets if not start.get(p, 0) <= o < end.get(p, 0)}
            for p, offsets in self.places(source.name, log).items()
        }
        if not any(places.values()):
            return raw
        others = self.raw(spark, source, log).filter(_among(places))
        if admission.PARSED in raw.columns:
            others = admission.parse(others, source)
        return raw.unionByName(others.select(*raw.columns))


def _among(places: Mapping[int, Collection[int]]) -> Column:
    """Return the condition that a raw record is one of some."""
    from pyspark.sql import functions as F

    return admission.is_among(places, F.col("partition"), F.col("offset"))
