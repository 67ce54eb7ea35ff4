"""What people have decided about quarantined records and rejected rows: a part of the log that every run reads.

A decision is a row in the pipeline's table of decisions and has a number. A run takes those up to the
number that its cut names, and its commits carry that number; so recomputing never undoes a decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headway.interval import Interval
from headway.run import admission
from headway.source import Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from headway.offsets import Offsets

__all__ = ["POSITION", "Decision", "Decisions"]

POSITION = "headway.decisions"
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
    decided: str = ""
    """Table that has the decisions."""
    taken: tuple[Decision, ...] = field(default=())

    @property
    def number(self) -> int:
        """The newest decision's number; 0 where there is none."""
        return max((d.number for d in self.taken), default=0)

    def after(self, number: int) -> Decisions:
        """Return those that came after a number."""
        return replace(self, taken=tuple(d for d in self.taken if d.number > number))

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

        place = ["source", "log", "partition", "offset"]
        mine = (F.col("source") == source.name) & (F.col("log") == log)
        numbers = [d.number for d in self.taken]
        decided = (
            spark.table(self.decided)
            .filter(mine & F.col("number").between(min(numbers), max(numbers)))
            .select(*place)
            .distinct()
        )
        return (
            spark.table(self.quarantine)
            .filter(mine & (F.col("attempt") == 0))
            .join(decided, place, "left_semi")
            .select(
                "key", "value", "topic", "partition", "offset", F.col("arrival").alias("timestamp"), "headers"
            )
        )

    def marked(self, raw: DataFrame, source: Source, log: str, *, start: Offsets) -> DataFrame:
        """Return the records of a stream that begins at `start`, with a column `admission.DECIDED` where it may meet any."""
        from pyspark.sql import functions as F

        places = {
            p: [o for o in offsets if o >= start.get(p, 0)]
            for p, offsets in self.places(source.name, log).items()
        }
        if not any(places.values()):
            return raw
        is_decided = admission.is_among(places, F.col("partition"), F.col("offset"))
        return raw.withColumn(admission.DECIDED, is_decided)

    def beside(
        self, raw: DataFrame, spark: SparkSession, source: Source, log: str, *, start: Offsets, end: Offsets
    ) -> DataFrame:
        """Return records read from `[start, end)` and those that are to be taken in from elsewhere.

        Where there are any, a column `admission.DECIDED` tells which they are.
        """
        from pyspark.sql import functions as F

        places = self.places(source.name, log)
        if not places:
            return raw
        among = {
            p: [o for o in offsets if start.get(p, 0) <= o < end.get(p, 0)] for p, offsets in places.items()
        }
        partition, offset = F.col("partition"), F.col("offset")
        own = raw.withColumn(admission.DECIDED, admission.is_among(among, partition, offset))
        if all(len(among[p]) == len(offsets) for p, offsets in places.items()):
            return own
        others = self.raw(spark, source, log)
        for p in end:
            is_read = (partition == p) & offset.between(start.get(p, 0), end[p] - 1)
            others = others.filter(~is_read)
        if admission.PARSED in raw.columns:
            others = admission.parse(others, source)
        others = others.withColumn(admission.DECIDED, F.lit(True))
        # Spark's own source of Kafka has a column more.
        return own.select(*others.columns).unionByName(others)
