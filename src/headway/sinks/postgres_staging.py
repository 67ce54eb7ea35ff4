"""A table for rows that executors copy, before one transaction of the driver moves them.

Each row has the number of the task's attempt, as an attempt that Spark has given up may have copied rows too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

__all__ = ["SCHEMA", "Arrived", "Staging", "copy_into", "drop_abandoned", "send"]

SCHEMA = "headway"
_ATTEMPT = "__attempt"
_LOCK = "hashtextextended(%s, 0)"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What executors have copied."""

    attempts: tuple[int, ...]
    """Numbers of the attempts that succeeded."""
    has_null_keys: bool
    """Whether a key of a row has a part that is null."""

    @property
    def condition(self) -> sql.Composed:
        """The rows of the attempts that succeeded."""
        return sql.SQL("{} = ANY({})").format(sql.Identifier(_ATTEMPT), sql.Literal(list(self.attempts)))


class Staging:
    """One staging table; its name is nobody else's."""

    def __init__(self) -> None:
        """Choose a name."""
        self.table = sql.Identifier(SCHEMA, f"staging_{uuid.uuid4().hex}")

    def make(self, cursor: psycopg.Cursor[Any], like: sql.Identifier) -> None:
        """Make it. A lock tells others that its maker is alive."""
        cursor.execute(f"SELECT pg_advisory_lock({_LOCK})", [self.table.as_string()])
        cursor.execute(
            sql.SQL("CREATE UNLOGGED TABLE {} (LIKE {}, {} bigint)").format(
                self.table, like, sql.Identifier(_ATTEMPT)
            )
        )

    def drop(self, cursor: psycopg.Cursor[Any]) -> None:
        """Drop it, and let go of the lock."""
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.table))
        cursor.execute(f"SELECT pg_advisory_unlock({_LOCK})", [self.table.as_string()])

    def fill(self, rows: DataFrame, dsn: str, columns: Mapping[str, str], keys: Iterable[str]) -> Arrived:
        """Have the executors copy rows, a connection each.

        Args:
            rows: What is copied, by the names of the table's columns.
            dsn: Connection string.
            columns: The table's columns and their types in Postgres, in the order of `rows`.
            keys: The columns whose nulls are told of.

        Raises:
            pyspark.errors.PythonException: A task failed as often as Spark tries, for example because
                Postgres does not take a value.
        """
        kinds, keys = [*columns.values(), "bigint"], list(keys)
        statement = copy_into(self.table, [*columns, _ATTEMPT]).as_string()

        def copy_rows(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
            import pyarrow as pa
            from pyspark import TaskContext

            context = TaskContext.get()
            assert context is not None
            attempt = context.taskAttemptId()
            nulls = 0

            def marked() -> Iterator[pa.RecordBatch]:
                nonlocal nulls
                for batch in batches:
                    nulls += sum(batch.column(key).null_count for key in keys)
                    yield batch.append_column(_ATTEMPT, pa.repeat(pa.scalar(attempt, pa.int64()), len(batch)))

            with psycopg.connect(dsn, client_encoding="utf8") as connection, connection.cursor() as cursor:
                # A crash of the server empties the table and ends the driver's transaction all the same.
                cursor.execute("SET LOCAL synchronous_commit TO off")
                send(cursor, statement, marked(), kinds)
            yield pa.RecordBatch.from_pydict({"attempt": [attempt], "has_null_keys": [nulls > 0]})

        done = rows.mapInArrow(copy_rows, "attempt bigint, has_null_keys boolean").collect()
        return Arrived(tuple(row["attempt"] for row in done), any(row["has_null_keys"] for row in done))


def drop_abandoned(cursor: psycopg.Cursor[Any]) -> None:
    """Drop the staging tables of runs that have died."""
    cursor.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename LIKE 'staging\\_%%'", [SCHEMA]
    )
    for (name,) in cursor.fetchall():
        table = sql.Identifier(SCHEMA, name)
        cursor.execute(f"SELECT pg_try_advisory_xact_lock({_LOCK})", [table.as_string()])
        if cursor.fetchone() == (True,):
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def copy_into(table: sql.Identifier, columns: Iterable[str]) -> sql.Composed:
    """Return the statement that `send` needs."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)


def send(
    cursor: psycopg.Cursor[Any],
    statement: sql.Composed | str,
    batches: Iterable[pa.RecordBatch],
    kinds: Iterable[str],
) -> None:
    """Copy rows, a batch at a time."""
    from headway.sinks.postgres_rows import HEADER, TRAILER, encoded

    kinds = list(kinds)
    with cursor.copy(statement) as copy:
        copy.write(HEADER)
        for batch in batches:
            copy.write(encoded(batch, kinds))
        copy.write(TRAILER)
