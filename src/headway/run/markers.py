"""A streaming source with one row each time a frontier has moved while a query was quiet: what makes it go on.

A batch that takes records makes what it has proved the watermark of the next one by itself.
Spark sets a watermark to the greatest event time it has seen, less a delay. The marker's event
time is the frontier plus that delay, so the watermark becomes the frontier itself. The offset
*is* the frontier, so a batch that is replayed sees the same marker. It also names the start of the
query: a query that starts again forgets what each source had reached, and waits for a marker of each.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from headway import instant
from headway.run import driven

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["DELAY_DAYS", "Frontiers"]

DELAY_DAYS = 3650
_DAY = 86_400 * instant.SECOND


class Frontiers:
    """How far each source is proved, as a query is told since its start."""

    def __init__(self) -> None:
        self.start = uuid.uuid4().hex[:8]
        """Tells this start of the query apart from those before."""
        self._proved: dict[str, int] = {}

    def move(self, source: str, frontier: int) -> None:
        """Send a marker of a frontier, where it is ahead of the one before."""
        if frontier > self._proved.get(source, instant.BEGINNING):
            self._proved[source] = frontier

    def proved(self, source: str) -> int | None:
        """Return the frontier that was told last; None where none was."""
        return self._proved.get(source)

    def markers(self, spark: SparkSession, source: str) -> DataFrame:
        """Return a streaming frame of a source's markers: one column, `at timestamp`."""
        from pyspark.sql.types import StructType, TimestampType

        schema = StructType().add("at", TimestampType())
        return driven.stream(spark, schema, _Markers(spark, self, source))


class _Markers:
    """Decides what markers a source has, as `headway.run.driven.Driver` says."""

    def __init__(self, spark: SparkSession, frontiers: Frontiers, source: str) -> None:
        self._spark = spark
        self._frontiers = frontiers
        self._source = source

    def next(self, start: str | None) -> str:
        """Return an offset behind `start` if the frontier has moved since, or the query has started anew."""
        proved = self._frontiers.proved(self._source)
        if proved is None:
            return self._offset(instant.BEGINNING, "") if start is None else start
        before = instant.BEGINNING if start is None else _frontier(start)
        return self._offset(max(before, proved), self._frontiers.start)

    def rows(self, start: str | None, end: str) -> DataFrame:
        """Return the marker of an offset; none for the offset before any."""
        at = _frontier(end) + DELAY_DAYS * _DAY
        before_any = self._offset(instant.BEGINNING, "")
        marker = self._spark.sql(f"SELECT * FROM VALUES timestamp_micros({at}) AS marker(at)")
        return marker.filter("false") if end == (start or before_any) else marker

    def _offset(self, frontier: int, start: str) -> str:
        return json.dumps({"marker": self._source, "frontier": frontier, "start": start})


def _frontier(offset: str) -> int:
    return int(json.loads(offset)["frontier"])
