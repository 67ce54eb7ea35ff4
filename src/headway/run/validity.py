"""Lookups whose rows say from when to when they are valid: read at their newest version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zlib import crc32

from headway import instant
from headway.catalog import ancestry, java_table
from headway.errors import DefinitionError, UnavailableError, suggestion
from headway.interval import Interval, coalesce
from headway.lookup import Lookup
from headway.offsets import Offsets
from headway.result import quoted_column
from headway.run import versions
from headway.sink import Applied

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["ValidityTable"]

_EVERYTHING = (Interval(instant.BEGINNING, instant.END),)


class ValidityTable:
    """A lookup with `as_of="event_time"`, opened for one run; used from the driver only."""

    def __init__(self, spark: SparkSession, lookup: Lookup, *, shows_bounds: bool) -> None:
        """Name the table; nothing is asked of the catalog yet.

        Args:
            spark: The session.
            lookup: The definition.
            shows_bounds: Whether the result depends on the columns `valid_from` and `valid_to` otherwise than
                by which rows are valid.
        """
        self._spark = spark
        self._lookup = lookup
        self._shows_bounds = shows_bounds

    def version(self) -> Applied:
        """Return which snapshot is current now.

        Raises:
            UnavailableError: The table was never loaded.
            DefinitionError: It lacks a column that says when its rows are valid.
        """
        table = java_table(self._spark, self._lookup.table)
        snapshot = table.currentSnapshot()
        if snapshot is None:
            raise UnavailableError(
                f"the lookup {self._lookup.table} has never been loaded",
                hint="Load it, then run the same command again.",
            )
        columns = self._spark.table(self._lookup.table).columns
        for name in (self._lookup.valid_from, self._lookup.valid_to):
            if name not in columns:
                raise DefinitionError(
                    f"the lookup {self._lookup.table} has no column {name!r}", hint=suggestion(name, columns)
                )
        return Applied(
            snapshot=int(snapshot.snapshotId()),
            sequence=int(snapshot.sequenceNumber()),
            closed_through=instant.END,
        )

    def position(self, version: Applied) -> Offsets:
        """Return what a map of ownership notes of a version: its number, in this very table."""
        return Offsets({_number(java_table(self._spark, self._lookup.table)): version.sequence})

    def frame(self, version: Applied) -> DataFrame:
        """Return the rows of a version, which is tagged so that expiry cannot take it."""
        versions.tag(self._spark, self._lookup, version.snapshot)
        return versions.frame(self._spark, self._lookup, version.snapshot)

    def changed(self, seen: Offsets, to: Applied) -> tuple[Interval, ...]:
        """Return the ranges of time for which a version holds other rows than the one at a position.

        Where expiry has taken that one, or the table was made anew, any range may have changed.
        """
        from pyspark.sql import functions as F

        table = java_table(self._spark, self._lookup.table)
        since = seen.get(_number(table))
        line = ancestry(table, table.snapshot(to.snapshot))
        old = next((s for s in line if s.sequenceNumber() == since), None)
        if old is None:
            return _EVERYTHING
        before = versions.frame(self._spark, self._lookup, int(old.snapshotId()))
        now = versions.frame(self._spark, self._lookup, to.snapshot)
        bounds = () if self._shows_bounds else (self._lookup.valid_from, self._lookup.valid_to)
        content = F.to_json(F.struct(*[F.col(quoted_column(c)) for c in now.columns if c not in bounds]))

        def valid(rows: DataFrame, sign: int) -> DataFrame:
            start = _micros(self._lookup.valid_from, instant.BEGINNING)
            end = _micros(self._lookup.valid_to, instant.END)
            return rows.select(content.alias("content"), F.struct(start, end, F.lit(sign)).alias("range"))

        rows = valid(before.exceptAll(now), -1).unionByName(valid(now.exceptAll(before), 1))
        found = rows.groupBy("content").agg(F.collect_list("range").alias("ranges"))
        return coalesce(part for row in found.toLocalIterator() for part in _unequal(row["ranges"]))


def _number(table: Any) -> int:
    """Return a number that tells a table from one that is made anew under its name."""
    return crc32(str(table.uuid()).encode())


def _unequal(ranges: Iterable[tuple[int, int, int]]) -> list[Interval]:
    """Return when one content is valid more or less often than before; a row that goes counts as -1, one that comes as 1."""
    steps: Counter[int] = Counter()
    for start, end, sign in ranges:
        if start < end:
            steps[start] += sign
            steps[end] -= sign
    parts, surplus = [], 0
    for at, after in pairwise([*sorted(steps), instant.END]):
        surplus += steps[at]
        if surplus and at < after:
            parts.append(Interval(at, after))
    return parts


def _micros(column: str, otherwise: int) -> Column:
    """Return a bound of validity in microseconds; where it is null, the row has none."""
    from pyspark.sql import functions as F

    moment = F.unix_micros(F.col(quoted_column(column)).cast("timestamp"))
    within = F.greatest(F.lit(instant.BEGINNING), F.least(moment, F.lit(instant.END)))
    return F.when(moment.isNull(), F.lit(otherwise)).otherwise(within)
