"""What a table of record holds, and what its commits say: for runs, and for all that follow it.

Each own commit has headway's entries in its snapshot's summary: key, offsets, ownership, and
the range of output time whose rows it changes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.catalog import ancestry, java_table
from headway.interval import Interval, coalesce
from headway.ownership import Ownership
from headway.result import Result
from headway.sink import Applied

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["PREFIX", "TAG", "History"]

PREFIX = "headway."
"""Of headway's entries in a snapshot's summary."""
TAG = "headway"
"""Of the newest own snapshot, so that expiry cannot take it."""


_REWRITES = "replace"
"""Operation of snapshots that write files anew and change no row."""


class History:
    """The commits of one table, on `main`; reads only."""

    def __init__(self, spark: SparkSession, name: str, result: Result) -> None:
        """Name a table; nothing is asked of the catalog yet."""
        self.name = name
        self.result = result
        self._spark = spark
        self._handle: Any = None

    def table(self) -> Any:
        """Return Iceberg's own handle, brought up to date: cheap where nothing has changed."""
        if self._handle is None:
            self._handle = java_table(self._spark, self.name)
        else:
            self._handle.refresh()
        return self._handle

    def forget(self) -> None:
        """Let go of the handle, because the table is dropped."""
        self._handle = None

    def newest(self) -> dict[str, str]:
        """Return headway's entries in the summary of the newest own snapshot on `main`, and its id."""
        current = self.table().currentSnapshot()
        return {} if current is None else self._own(current)

    def at(self, snapshot: int) -> Applied:
        """Return what somebody who has followed up to a visible snapshot notes of it."""
        found = self.table().snapshot(snapshot)
        closed = self._own(found).get("closed-through")
        return Applied(
            snapshot=snapshot,
            sequence=int(found.sequenceNumber()),
            closed_through=instant.BEGINNING if closed is None else instant.parse(closed),
        )

    def ownership_at(self, snapshot: int) -> Ownership:
        """Return the map of who has published what, as it stood at a visible snapshot."""
        own = self._own(self.table().snapshot(snapshot))
        return Ownership.from_json(own["ownership"]) if own else Ownership()

    def ancestry(self, snapshot: int) -> Iterator[Any]:
        """Yield a snapshot and those before it, back to the first or to where expiry has cut the history."""
        table = self.table()
        return ancestry(table, table.snapshot(snapshot))

    def visible(self) -> int:
        """Return the id of the visible snapshot."""
        return int(self.table().currentSnapshot().snapshotId())

    def keeps(self, snapshot: int) -> bool:
        """Tell whether expiry has left a snapshot."""
        return self.table().snapshot(snapshot) is not None

    def touched(self, since: int, to: int) -> tuple[Interval, ...] | None:
        """Return the ranges of output time that own commits after `since` have changed, up to `to`.

        None where `since` is no ancestor of `to`, or expiry has taken commits between them.
        """
        found: list[Interval] = []
        for snapshot in self.ancestry(to):
            if snapshot.snapshotId() == since:
                return coalesce(found)
            touches = snapshot.summary().get(f"{PREFIX}touches")
            if touches is not None:
                found.append(Interval.from_json(json.loads(touches)))
        return None

    def changed_by_others(self, snapshots: Iterable[Any]) -> bool:
        """Tell whether one of several snapshots, newest first, changes rows and is no pipeline's."""
        deletions: set[str] = set()
        for snapshot in snapshots:
            summary = _summary(snapshot)
            deletions.add(summary.get("deletion", ""))
            is_own = bool(summary) or str(snapshot.snapshotId()) in deletions
            if not is_own and snapshot.operation() != _REWRITES:
                return True
        return False

    def rows_at(self, snapshot: int, ranges: Collection[Interval]) -> DataFrame:
        """Return the rows of ranges of output time, as they stand at a snapshot, with the columns of now."""
        from pyspark.sql import functions as F

        frame = self._spark.read.option("versionAsOf", snapshot).table(self.name)
        new = [f for f in self._spark.table(self.name).schema if f.name not in frame.columns]
        frame = frame.withColumns({f.name: F.lit(None).cast(f.dataType) for f in new}) if new else frame
        return frame.filter(self.result.any_of(ranges))

    def first_moment(self) -> int | None:
        """Return the least output time of a visible row, in microseconds; None where there is no row."""
        from pyspark.sql import functions as F

        row = self._spark.table(self.name).agg(F.min(F.expr(self.result.moment)).alias("first")).first()
        return None if row is None else row["first"]

    def added_between(self, since: int, to: int) -> DataFrame:
        """Return the rows that commits after `since` have added, up to `to`, where none has removed any."""
        reader = self._spark.read.format("iceberg").option("start-snapshot-id", since)
        return reader.option("end-snapshot-id", to).load(self.name)

    def _own(self, snapshot: Any) -> dict[str, str]:
        table = self.table()
        for found in ancestry(table, snapshot):
            if found.summary().containsKey(f"{PREFIX}ownership"):
                return {**_summary(found), "snapshot": str(found.snapshotId())}
            if found.parentId() is None:
                return {}
        # Expiry has taken a commit of maintenance in between; it leaves the newest own one, which is tagged.
        ref = table.refs().get(TAG)
        if ref is None:
            return {}
        return {**_summary(table.snapshot(ref.snapshotId())), "snapshot": str(ref.snapshotId())}


def _summary(snapshot: Any) -> dict[str, str]:
    """Return headway's own entries of a snapshot's summary, without their prefix."""
    return {
        str(key).removeprefix(PREFIX): str(value)
        for key, value in dict(snapshot.summary()).items()
        if str(key).startswith(PREFIX)
    }
