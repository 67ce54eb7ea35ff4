"""Reading what another pipeline publishes, by its commits."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headway import instant
from headway.errors import DefinitionError, UnavailableError
from headway.interval import Interval, coalesce
from headway.offsets import Offsets
from headway.plan.analysis import event_time_column, upstream_schema
from headway.result import Result, quoted_column, types
from headway.sink import Applied
from headway.sinks.iceberg_history import PREFIX, History
from headway.upstream import EVENT_TIME, Upstream

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["News", "UpstreamTable", "event_time"]

_EVERYTHING = Interval(instant.BEGINNING, instant.END)
_TOUCHES = f"{PREFIX}touches"


@dataclass(frozen=True, slots=True)
class News:
    """What has changed in an input that this pipeline has not looked at, beside the new records of a log."""

    position: Offsets
    """Up to where this looks, as the map of ownership notes it."""
    touched: tuple[Interval, ...]
    """Ranges of event time; for an upstream of its output time."""
    results: tuple[Interval, ...] = ()
    """Ranges of this pipeline's output time."""
    added: int = 0
    """Rows that commits of an upstream have added, as their summaries say."""


class UpstreamTable:
    """An upstream, opened for one run; used from the driver only."""

    def __init__(self, spark: SparkSession, upstream: Upstream) -> None:
        """Name the table; nothing is asked of the catalog yet."""
        self._spark = spark
        self._upstream = upstream
        self._columns = upstream_schema(upstream)
        self._is_window = event_time_column(upstream) != upstream.event_time
        result = Result(output_time=upstream.event_time, is_window=self._is_window, keys=())
        self._history = History(spark, upstream.name, result)
        self._bounds: dict[int, tuple[int, int] | None] = {}

    def identity(self) -> str:
        """Return the id that the catalog gave the table when it was made."""
        self._require_there()
        return str(self._history.table().uuid())

    def version(self) -> Applied:
        """Return which commit is visible now, and up to where the upstream is closed there.

        Raises:
            UnavailableError: There is no such table, or no pipeline has published to it.
            DefinitionError: It lacks a column that the input declares, or has it with another type.
        """
        self._require_there()
        if not self._history.newest():
            raise UnavailableError(
                f"{self._upstream.name} is no table that a pipeline publishes",
                hint="sources.Iceberg reads the table of another pipeline; run that one first.",
            )
        visible = self._history.visible()
        closed = self._history.ownership_at(visible).closed_without_gap
        given = types(self._spark.table(self._upstream.name).schema)
        faults = [
            f"{name} is {kind} here and {given.get(name, 'missing')} there"
            for name, kind in types(self._columns).items()
            if given.get(name) != kind and not (self._is_window and name == EVENT_TIME)
        ]
        if faults:
            raise DefinitionError(
                f"the input {self._upstream.name} is declared with other columns than the table has: "
                + "; ".join(faults),
                hint="Mend the schema of sources.Iceberg, or the pipeline that writes the table.",
            )
        return replace(
            self._history.at(visible), closed_through=instant.BEGINNING if closed is None else closed
        )

    def visible(self) -> int:
        """Return the id of the visible snapshot: cheap, to ask whether anything has changed."""
        return self._history.visible()

    def frame(self, version: Applied, low: int, high: int) -> DataFrame:
        """Return the rows of a version whose event time lies in `[low, high)`, with the declared columns."""
        from pyspark.sql import functions as F

        rows = self._history.rows_at(version.snapshot, [Interval(low, high)] if low < high else ())
        columns = self._columns.names
        if self._is_window:
            last = F.col(quoted_column(self._upstream.event_time))["end"] - F.expr("INTERVAL 1 MICROSECOND")
            rows = rows.withColumn(EVENT_TIME, last)
        return rows.select(*map(quoted_column, columns))

    def bounds(self, version: Applied) -> tuple[int, int] | None:
        """Return the bounds of a version's event times: those of its rows, and of what is closed without a row.

        None where it has no row and nothing is closed.
        """
        if version.snapshot not in self._bounds:
            segments = self._history.ownership_at(version.snapshot).segments
            closed = [(segments[0].interval.start, version.closed_through - 1)] if segments else []
            held = self._ask_bounds(version)
            parts = closed + ([held] if held is not None else [])
            found = (min(low for low, _ in parts), max(high for _, high in parts)) if parts else None
            self._bounds = {version.snapshot: found}
        return self._bounds[version.snapshot]

    def _ask_bounds(self, version: Applied) -> tuple[int, int] | None:
        from pyspark.sql import functions as F

        rows = self.frame(version, instant.BEGINNING, instant.END)
        e = event_time(self._upstream)
        found = rows.agg(F.min(e).alias("first"), F.max(e).alias("last")).first()
        if found is None or found["first"] is None:
            return None
        return int(found["first"]), int(found["last"])

    def rows_about(self, version: Applied, span: Interval) -> int:
        """Return about how many rows of a version lie in a span of event time: their share of the time."""
        bounds = self.bounds(version)
        if bounds is None:
            return 0
        first, last = bounds
        shared = min(span.end, last + 1) - max(span.start, first)
        summary = self._history.table().snapshot(version.snapshot).summary()
        return int(summary.get("total-records") or 0) * max(0, shared) // (last + 1 - first)

    def news(self, since: int, to: Applied) -> News:
        """Return what the commits with a sequence number beyond `since` have changed, up to a version.

        Where expiry has cut the history in between, or somebody else has changed rows, any range may have.
        """
        found = []
        for snapshot in self._history.ancestry(to.snapshot):
            if snapshot.sequenceNumber() <= since:
                is_whole = snapshot.sequenceNumber() == since  # else it was rolled back in between
                break
            found.append(snapshot)
            is_whole = snapshot.parentId() is None
        summaries = [dict(snapshot.summary()) for snapshot in found]
        ranges = [Interval.from_json(json.loads(s[_TOUCHES])) for s in summaries if _TOUCHES in s]
        if not is_whole or self._history.changed_by_others(found):
            ranges = [_EVERYTHING]
        added = sum(int(s.get("added-records") or 0) for s in summaries)
        return News(Offsets({0: to.sequence}), coalesce(ranges), added=added)

    def _require_there(self) -> None:
        if not self._spark.catalog.tableExists(self._upstream.name):
            raise UnavailableError(
                f"the upstream table {self._upstream.name} is not there",
                hint="Run the pipeline that publishes it first, or `headway run --select '+NAME'`.",
            )


def event_time(upstream: Upstream) -> Column:
    """Return the event time of a row of an upstream's frame, in microseconds."""
    from pyspark.sql import functions as F

    return F.unix_micros(F.col(quoted_column(event_time_column(upstream))))
