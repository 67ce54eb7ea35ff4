"""Exactly-once commits to an Iceberg table.

Rows are written to a standing staging branch, together with their run key and the map of
ownership in the snapshot's summary. `main` then moves to the head of the branch in one
atomic step, which succeeds only if `main` is an ancestor of it: a compare-and-set that a
writer which has been overtaken loses. Readers of `main` see all of a commit or nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from headway import instant
from headway.catalog import add_columns, create_namespace, quoted
from headway.errors import FencedOffError, ResultError, TransientError
from headway.interval import Interval
from headway.ownership import Ownership
from headway.result import Result, quoted_column
from headway.sink import Commit, Staged
from headway.sinks.iceberg_history import PREFIX, TAG, History

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["IcebergTable", "MainMovedError"]

_RACES = 10
_BRANCH = "headway_"
_PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
    "commit.retry.num-retries": "10",
    "commit.retry.max-wait-ms": "2000",
}


class MainMovedError(TransientError):
    """Another writer moved `main` between staging and publishing; stage again."""


class IcebergTable:
    """One sink table, as one run uses it: with a staging branch of the run's own."""

    def __init__(self, spark: SparkSession, table: str, result: Result, *, unique: bool) -> None:
        """Open a table.

        Args:
            spark: The session.
            table: Its full name.
            result: What the rows look like.
            unique: Whether the plan proves that the keys are unique, so that nobody counts.
        """
        self.result = result
        self.history = History(spark, table, result)
        self._spark = spark
        self._is_unique = unique or not result.keys
        self._name = table
        self._is_there = False
        self._published: tuple[int, Ownership] = (-1, Ownership())

    def prepare(self, schema: StructType) -> None:
        """Make the table where it is missing, and see that it takes the result's columns.

        Columns that the result has and the table lacks are added to the table, empty in older rows.

        Raises:
            ResultError: A column is gone from the result, or has another type.
        """
        if self._spark.catalog.tableExists(self._name):
            add_columns(
                self._spark,
                self._name,
                schema,
                refusal=f"the table {self._name} does not take this result",
                hint="Alter or drop the table, or mend the definition; nothing was published.",
            )
        else:
            self._create(schema)
        table = self.history.table()
        if table.currentSnapshot() is None:
            table.newFastAppend().set(f"{PREFIX}ownership", Ownership().to_json()).commit()

    def ownership(self) -> Ownership:
        """Return the map that the newest own commit on `main` carries."""
        self._is_there = self._is_there or self._spark.catalog.tableExists(self._name)
        if not self._is_there:
            return Ownership()
        snapshot = self.history.table().currentSnapshot()
        if snapshot is not None and snapshot.snapshotId() == self._published[0]:
            return self._published[1]
        summary = self.history.newest()
        return Ownership.from_json(summary["ownership"]) if "ownership" in summary else Ownership()

    def open_branch(self, token: int, alive: Collection[int]) -> None:
        """Make the staging branch of a token at `main`, and remove those of older runs that are not alive.

        That fences them off, in the same commit: what they have staged cannot be published any more.
        """
        self._branch = f"{_BRANCH}{token}"

        def change() -> None:
            table = self.history.table()
            refs = table.manageSnapshots().createBranch(self._branch, table.currentSnapshot().snapshotId())
            for name in table.refs().keySet():
                other = _token(name)
                if other is not None and other < token and other not in alive:
                    refs = refs.removeBranch(name)
            _commit(refs)

        _repeated(change)

    def close_branch(self) -> None:
        """Remove the staging branch."""

        def change() -> None:
            table = self.history.table()
            if self._branch in set(table.refs().keySet()):
                _commit(table.manageSnapshots().removeBranch(self._branch))

        _repeated(change)

    def stage(
        self,
        rows: DataFrame,
        commit: Commit,
        *,
        replace: Interval | None,
        onto: Staged | None = None,
        base: int | None = None,
    ) -> Staged:
        """Write rows to the staging branch, in place of those whose output time lies in `replace`.

        Args:
            rows: The result.
            commit: What goes into the snapshot's summary.
            replace: Range whose rows make way; None appends.
            onto: What was staged before and is not published yet; None starts from what is visible.
            base: The visible snapshot that the commit's map was made from; None does not ask.

        Raises:
            FencedOffError: Another run has taken over, and removed the branch.
            MainMovedError: Another writer has committed since `base`.
            ResultError: Two rows have the same keys.
        """
        base = self._reset(onto, base)
        entries = _entries(commit)
        if replace is not None:
            self._spark.sql(
                f"DELETE FROM {quoted(self._spark, self._name)}.`branch_{self._branch}` "
                f"WHERE {self.result.condition(replace)}"
            )
            entries |= self._deletion(base if onto is None else onto.handle)
        writer = rows.writeTo(f"{self._name}.branch_{self._branch}")
        for key, value in entries.items():
            writer = writer.option(f"snapshot-property.{PREFIX}{key}", value)
        writer.append()
        staged = self._staged(commit, base, replaced=replace if onto is None else onto.replaced)
        if staged.rows and not self._is_unique:
            self._require_unique(self.added(staged))
        return staged

    def stage_upsert(self, rows: DataFrame, commit: Commit, *, onto: Staged | None = None) -> Staged:
        """Write rows, which are read more than once, in place of those with the same keys; see `stage`."""
        base = self._reset(onto)
        view = f"headway_batch_{commit.token}"
        rows.createOrReplaceTempView(view)
        settings = {
            f"spark.sql.iceberg.snapshot-property.{PREFIX}{k}": v for k, v in _entries(commit).items()
        }
        session = rows.sparkSession
        for key, value in settings.items():
            session.conf.set(key, value)
        try:
            self._require_unique(rows)
            session.sql(
                f"MERGE INTO {quoted(session, self._name)}.`branch_{self._branch}` t USING {view} s "
                f"ON {self.result.same_keys('t', 's')} "
                "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )
        finally:
            for key in settings:
                session.conf.unset(key)
            session.catalog.dropTempView(view)
        branch = self.history.table().snapshot(self._branch)
        if branch.summary().get(f"{PREFIX}key") != commit.key:
            self._append(commit)  # a merge without rows makes no snapshot
        return self._staged(commit, base, replaced=None if onto is None else onto.replaced, upserts=True)

    def stage_empty(self, commit: Commit, *, base: int | None = None) -> Staged:
        """Put a commit without rows on the staging branch: positions and ownership alone; see `stage`."""
        base = self._reset(None, base)
        self._append(commit)
        return self._staged(commit, base, replaced=None)

    def amend(self, staged: Staged, commit: Commit) -> Staged:
        """Put one more commit without rows on top of what is staged, with a newer map."""
        self._append(commit)
        return dataclasses.replace(staged, commit=commit, handle=self._head())

    def publish(self, staged: Staged) -> int:
        """Move `main` to the head of the staging branch, and the tag with it.

        Raises:
            MainMovedError: Another writer has moved `main`; stage again.
        """
        table = self.history.table()
        if table.currentSnapshot().snapshotId() == staged.handle:
            return staged.handle
        has_tag = table.refs().containsKey(TAG)
        try:
            change = table.manageSnapshots().fastForwardBranch("main", self._branch)
            tagged = change.replaceTag if has_tag else change.createTag
            tagged(TAG, staged.handle).commit()
        except (Py4JJavaError, PySparkException) as exc:
            # A catalog may lose its answer and not the commit; others may have built on it since.
            if self._is_visible(staged.handle):
                return staged.handle
            raise MainMovedError(
                f"{self._name} was changed by another writer while this one staged its rows",
                hint="Run the same command again.",
            ) from exc
        self._published = (staged.handle, staged.commit.ownership)
        return staged.handle

    def within(self, interval: Interval) -> Column:
        """Return the condition that a row's output time lies in an interval, as a column."""
        from pyspark.sql import functions as F

        moment = F.expr(self.result.moment)
        if interval.end == instant.END:
            return moment >= interval.start
        return (moment >= interval.start) & (moment < interval.end)

    def drop(self) -> None:
        """Remove the table and its files."""
        self.history.forget()
        self._spark.sql(f"DROP TABLE IF EXISTS {quoted(self._spark, self._name)} PURGE")

    def _create(self, schema: StructType) -> None:
        jvm = self._spark._jvm
        assert jvm is not None
        columns = jvm.org.apache.spark.sql.types.DataType.fromJson(schema.json()).toDDL()
        time = quoted_column(self.result.output_time)
        column = f"{time}.`start`" if self.result.is_window else time
        properties = ", ".join(f"'{k}' = '{v}'" for k, v in _PROPERTIES.items())
        create_namespace(self._spark, self._name)
        self._spark.sql(
            f"CREATE TABLE IF NOT EXISTS {quoted(self._spark, self._name)} ({columns}) USING iceberg "
            f"PARTITIONED BY (days({column})) TBLPROPERTIES ({properties})"
        )

    def _append(self, commit: Commit) -> None:
        append = self.history.table().newFastAppend().toBranch(self._branch)
        for key, value in _entries(commit).items():
            append = append.set(f"{PREFIX}{key}", value)
        _commit(append)

    def _is_visible(self, snapshot: int) -> bool:
        """Tell whether a snapshot is `main` or behind it."""
        jvm = self._spark._jvm
        assert jvm is not None
        table = self.history.table()
        return bool(jvm.org.apache.iceberg.util.SnapshotUtil.isAncestorOf(table, snapshot))

    def _reset(self, onto: Staged | None = None, base: int | None = None) -> int:
        """Bring the staging branch back to what is staged or visible: nothing of an aborted attempt stays.

        Returns the visible snapshot that everything on the branch is staged on.
        """
        table = self.history.table()
        head = table.currentSnapshot().snapshotId() if onto is None else onto.handle
        if base is not None and head != base:
            raise MainMovedError(
                f"{self._name} was changed by another writer while this one computed its rows",
                hint="Run the same command again.",
            )
        branch = table.snapshot(self._branch)
        if branch is None:
            raise FencedOffError(
                f"another run has taken over {self._name}",
                hint="Nothing more is published by this run. `headway status` shows who runs.",
            )
        if branch.snapshotId() != head:
            _commit(table.manageSnapshots().replaceBranch(self._branch, head))
        return int(head) if onto is None else onto.base

    def added(self, staged: Staged) -> DataFrame:
        """Return the rows that one staged commit has added, as they were written."""
        return self.history.added_between(
            self.history.table().snapshot(staged.handle).parentId(), staged.handle
        )

    def _require_unique(self, rows: DataFrame) -> None:
        from pyspark.sql import functions as F

        twice = rows.groupBy(*map(quoted_column, self.result.keys)).count().filter(F.col("count") > 1).first()
        if twice is not None:
            keys = {name: str(twice[name]) for name in self.result.keys}
            raise ResultError(
                f"{twice['count']} rows of one commit to {self._name} have the same keys: {keys}",
                hint="The sink's keys have to identify a row; nothing was published.",
            )

    def _deletion(self, before: int) -> dict[str, str]:
        """Return the entry that names the snapshot which made way for rows, if there were any."""
        head = self._head()
        return {} if head == before else {"deletion": str(head)}

    def _head(self) -> int:
        return int(self.history.table().snapshot(self._branch).snapshotId())

    def _staged(
        self, commit: Commit, base: int, *, replaced: Interval | None, upserts: bool = False
    ) -> Staged:
        snapshot = self.history.table().snapshot(self._branch)
        added = int(snapshot.summary().get("added-records") or 0)
        return Staged(commit, added, snapshot.snapshotId(), base=base, replaced=replaced, upserts=upserts)


def _token(branch: str) -> int | None:
    """Return the token of a staging branch; None for a branch of somebody else."""
    number = branch.removeprefix(_BRANCH)
    return int(number) if branch.startswith(_BRANCH) and number.isdigit() else None


def _repeated(change: Callable[[], None]) -> None:
    """Make a change of the table's branches; others may commit to it at the same moment."""
    for attempt in range(_RACES):
        try:
            change()
        except MainMovedError:
            if attempt == _RACES - 1:
                raise
        else:
            return


def _entries(commit: Commit) -> dict[str, str]:
    entries = {
        "key": commit.key,
        "pipeline": commit.pipeline,
        "mode": commit.mode,
        "lineage": commit.lineage,
        "revision": str(commit.revision),
        "fingerprint": commit.fingerprint,
        "closed-through": instant.iso(commit.closed_through),
        "token": str(commit.token),
        "offsets": json.dumps(commit.offsets, separators=(",", ":")),
        "ownership": commit.ownership.to_json(),
    }
    if commit.interval is not None:
        entries["interval"] = str(commit.interval)
    if commit.touches is not None:
        entries["touches"] = json.dumps(commit.touches.to_json())
    if commit.batch_id is not None:
        entries["batch-id"] = str(commit.batch_id)
    if commit.lookups:
        entries["lookups"] = json.dumps(commit.lookups, separators=(",", ":"))
    return entries


def _commit(change: Any) -> None:
    try:
        change.commit()
    except (Py4JJavaError, PySparkException) as exc:
        what = str(exc).strip().splitlines()[0]
        raise MainMovedError(
            f"an Iceberg commit lost a race: {what}", hint="Run the same command again."
        ) from exc
