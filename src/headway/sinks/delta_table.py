"""Exactly-once changes of a Delta table: rows and the note of how far it has followed in one commit.

The note is the commit's user metadata. The commit is also an idempotent transaction of Delta
(`txnAppId`, `txnVersion`) whose name is the state that it starts from: Delta commits one
successor of a state and skips every other, which makes a compare-and-set of it.
See https://docs.delta.io/latest/delta-streaming.html, "Idempotent table writes in foreachBatch".
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from delta import exceptions
from delta.tables import DeltaTable as Table
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from headway.errors import ResultError, TransientError
from headway.result import Result, mismatches, types
from headway.sink import Applied, Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["DeltaTable"]

_LAST = "spark.databricks.delta.lastCommitVersionInSession"
_NEWEST = (1, 100, None)
"""How many commits are looked through for the note, at first and then; None is all that are left."""
_RETENTION = "interval 30 days"
"""How long Delta remembers which states have a successor: longer than any run can be asleep."""
_CONFLICTS = (
    exceptions.DeltaConcurrentModificationException,
    exceptions.ConcurrentWriteException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentTransactionException,
)


class _RaceError(TransientError):
    """Another writer has committed meanwhile; nothing was written."""


class DeltaTable:
    """One table, as one run uses it."""

    def __init__(self, spark: SparkSession, name: str, path: str, result: Result) -> None:
        """Name a table.

        Args:
            spark: The session, with Delta's extension.
            name: What people call it.
            path: Its folder, on any Hadoop file system.
            result: What the rows look like.
        """
        self.name = name
        self._spark = spark
        self._path = path
        self._result = result
        self._begins_at = -1
        """Version of the table when it had no note yet."""

    def prepare(self, schema: StructType) -> None:
        """See `headway.sink.Follower.prepare`."""
        if self._is_there():
            table = types(self._spark.read.format("delta").load(self._path).schema)
            result = types(schema)
            faults = mismatches(table, result)
            if faults:
                raise ResultError(
                    f"the Delta table {self.name} does not take this result: " + "; ".join(faults),
                    hint="Alter or drop the table, or mend the definition; the table of record has the rows.",
                )
            if set(result) <= set(table):
                return
        empty = self._spark.createDataFrame([], schema).write.format("delta").mode("append")
        with self._told():
            empty.option("delta.setTransactionRetentionDuration", _RETENTION).option(
                "mergeSchema", "true"
            ).save(self._path)

    def applied(self) -> Applied | None:
        """See `headway.sink.Follower.applied`."""
        if not self._is_there():
            return None
        table = Table.forPath(self._spark, self._path)
        for limit in _NEWEST:
            history = table.history() if limit is None else table.history(limit)
            commits = history.select("version", "userMetadata")
            if limit == _NEWEST[0]:
                # Read before the note is missed: whoever notes something afterwards has made a later version.
                self._begins_at = int(commits.collect()[0]["version"])
            noted = commits.filter("userMetadata LIKE '{\"headway\":%'")
            newest = noted.orderBy("version", ascending=False).first()
            if newest is not None:
                return Applied(**json.loads(newest["userMetadata"])["headway"])
        return None

    def unfinished(self) -> int | None:
        """See `headway.sink.Follower.unfinished`: a commit is one step."""
        return None

    def apply(self, change: Change, since: Applied | None) -> bool:
        """See `headway.sink.Follower.apply`.

        Raises:
            ResultError: Delta does not take the rows, for example because of a constraint.
        """
        note = {
            "snapshot": change.to.snapshot,
            "sequence": change.to.sequence,
            "closed_through": change.to.closed_through,
        }
        state = f"version {self._begins_at}" if since is None else since.snapshot
        options = {
            "userMetadata": json.dumps({"headway": note}, separators=(",", ":")),
            "txnAppId": f"headway:{state}",
            "txnVersion": "1",
        }
        session = change.rows.sparkSession
        session.conf.unset(_LAST)
        try:
            with self._told():
                if change.upserts:
                    self._merge(session, change, options)
                else:
                    self._write(change, options)
        except _RaceError:
            return False
        return session.conf.get(_LAST, None) is not None

    def close(self) -> None:
        """See `headway.sink.Follower.close`: nothing is held."""

    def _write(self, change: Change, options: dict[str, str]) -> None:
        rows: DataFrame = change.rows
        writer = rows.write.format("delta").mode("append")
        if change.replaced:
            where = self._result.any_of(change.replaced)
            writer = writer.mode("overwrite").option("replaceWhere", where)
        writer.options(**options).save(self._path)

    def _merge(self, session: SparkSession, change: Change, options: dict[str, str]) -> None:
        # A merge takes what a write takes as options from the session.
        settings = {
            "spark.databricks.delta.commitInfo.userMetadata": options["userMetadata"],
            "spark.databricks.delta.write.txnAppId": options["txnAppId"],
            "spark.databricks.delta.write.txnVersion": options["txnVersion"],
        }
        for key, value in settings.items():
            session.conf.set(key, value)
        try:
            merge: Any = Table.forPath(session, self._path).alias("t")
            merge = merge.merge(change.rows.alias("s"), self._result.same_keys("t", "s"))
            merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
        finally:
            for key in settings:
                session.conf.unset(key)

    def _is_there(self) -> bool:
        return bool(Table.isDeltaTable(self._spark, self._path))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what Delta refuses as a fault of the rows or the table."""
        try:
            yield
        except _CONFLICTS as exc:
            raise _RaceError(f"another run changed the Delta table {self.name} at the same moment") from exc
        except PySparkException as exc:
            raise self._refused(str(exc)) from exc
        except Py4JJavaError as exc:
            # What a row breaks is raised by a task, and PySpark does not know Delta's exceptions.
            if not exc.java_exception.getClass().getName().startswith("org.apache.spark.sql.delta."):
                raise
            raise self._refused(str(exc.java_exception.getMessage())) from exc

    def _refused(self, said: str) -> ResultError:
        return ResultError(
            f"Delta refuses what is to go into {self.name}: {said.strip().splitlines()[0]}",
            hint="Mend the rows or the table; the next run makes up for what is missing.",
        )
