"""Which version of a dimension table a record sees: a function of the record alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError

from headway import instant
from headway.catalog import java_table
from headway.errors import TransientError, UnavailableError
from headway.lookup import Lookup
from headway.result import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Epoch", "epochs", "frame", "tag"]


_TAG = "headway-"
_RACES = 10


@dataclass(frozen=True, slots=True)
class Epoch:
    """A range of record time within which every lookup of a pipeline has one version."""

    start: int
    end: int
    snapshots: Mapping[str, int]
    """Snapshot id by lookup."""


def epochs(spark: SparkSession, lookups: Mapping[str, Lookup], start: int, end: int) -> list[Epoch]:
    """Return the epochs that meet `[start, end)`, in order."""
    changes = {name: _changes(spark, lookup) for name, lookup in lookups.items()}
    points = sorted({at for found in changes.values() for at, _ in found if start < at < end})
    bounds = [start, *points, end]
    return [
        Epoch(low, high, {name: _current(found, low) for name, found in changes.items()})
        for low, high in pairwise(bounds)
    ]


def frame(spark: SparkSession, lookup: Lookup, snapshot: int) -> DataFrame:
    """Return a lookup's table as it was at a snapshot, with the columns of now: those that came later are null."""
    from pyspark.sql import functions as F

    rows = spark.read.option("versionAsOf", snapshot).table(lookup.table)
    columns = spark.table(lookup.table).schema
    return rows.select(
        *[
            F.col(quoted_column(f.name))
            if f.name in rows.columns
            else F.lit(None).cast(f.dataType).alias(f.name)
            for f in columns
        ]
    )


def tag(spark: SparkSession, lookup: Lookup, snapshot: int) -> None:
    """Tag a version that was used, so that expiry cannot take it from later runs."""
    name = f"{_TAG}{snapshot}"
    for attempt in range(_RACES):
        table = java_table(spark, lookup.table)
        if name in set(table.refs().keySet()):
            return
        try:
            table.manageSnapshots().createTag(name, snapshot).commit()
        except Py4JJavaError as exc:  # others tag it too, or load the table
            if attempt == _RACES - 1:
                raise TransientError(
                    f"the version {snapshot} of {lookup.table} could not be tagged",
                    hint="Run the same command again.",
                ) from exc


def _changes(spark: SparkSession, lookup: Lookup) -> list[tuple[int, int]]:
    """Return from which record time on each snapshot counts, oldest first.

    Those are the table's history, and versions before it that a run has used: expiry cuts the
    history at the newest snapshot that it takes, and leaves what is tagged. A version between
    that no run has used, and that expiry has taken, counts for nobody.
    """
    table = java_table(spark, lookup.table)
    history = [(entry.timestampMillis() * 1_000, entry.snapshotId()) for entry in table.history()]
    used = {int(ref.snapshotId()) for name, ref in dict(table.refs()).items() if name.startswith(_TAG)}
    tagged = [(table.snapshot(used_id).timestampMillis() * 1_000, used_id) for used_id in used]
    before = [version for version in tagged if not history or version[0] < history[0][0]]
    settle, refresh = instant.duration(lookup.settle), instant.duration(lookup.refresh)
    changes: list[tuple[int, int]] = []
    for committed, snapshot_id in [*sorted(before), *history]:
        boundary = -(-committed // refresh) * refresh
        changes.append((boundary + settle if changes else instant.BEGINNING, snapshot_id))
    if not changes:
        raise UnavailableError(
            f"the lookup {lookup.table} has never been loaded, so nobody can say what its first version will hold",
            hint="Load it, then run the same command again.",
        )
    return changes


def _current(changes: list[tuple[int, int]], moment: int) -> int:
    return [snapshot_id for at, snapshot_id in changes if at <= moment][-1]
