"""One change of a Postgres table: all of it, with the note of how far the table has followed, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from headway import instant
from headway.errors import TransientError
from headway.interval import Interval
from headway.sink import Applied
from headway.sinks.postgres_indexes import add_by_keys, add_by_time, identifier, listed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LEDGER", "SCHEMA", "Transaction", "connect", "noted"]

SCHEMA = "headway"
LEDGER = sql.Identifier(SCHEMA, "ledger")
_ARRIVED = sql.Identifier("headway_arrived")
_IS_WATCHED = """
    SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%(table)s) AND NOT tgisinternal)
        OR EXISTS (SELECT FROM pg_constraint WHERE to_regclass(%(table)s) IN (conrelid, confrelid) AND contype = 'f')
"""
"""Whether somebody sees a row go that only changes: a trigger, or a foreign key, which may take rows of others along."""
_SETTINGS = {
    "TimeZone": "UTC",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
"""In other zones the earliest instants are before Christ, which Python has no times for. And a server that hears nothing
of a task's machine for a minute lets go of its transaction, and of the lock that the next attempt waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What is to be done, by whoever has the rows: the driver, or a task of Spark. It can be sent to one."""

    table: str
    """Table, or schema and table."""
    columns: Mapping[str, str]
    """Its columns and their types in Postgres, in the order of the rows."""
    keys: Sequence[str]
    """Columns that identify a row; empty where the table has no keys."""
    time: str
    """The column by which rows are taken away."""
    is_end: bool
    """Whether it is the end of a window, whose last instant counts: its end less a microsecond."""
    replaced: Sequence[Interval]
    """Ranges of output time whose rows make way."""
    upserts: bool
    """Whether rows take the place of those with the same keys."""
    is_small: bool
    """Whether the rows are few: then those that are there are changed in place, which spares the other indexes. Many
    are deleted and inserted instead, which costs two thirds: nothing is looked up, or logged, row by row."""
    count: int
    """How many rows there are: a stream of them that breaks off looks like one that ends."""
    since: Applied | None
    to: Applied

    def run(self, cursor: psycopg.Cursor[Any], batches: Iterable[pa.RecordBatch]) -> bool:
        """Make the change in the transaction that the cursor is in; a batch of rows is held at a time.

        Returns:
            False, and nothing has changed, if the table is no longer where `since` says.

        Raises:
            psycopg.Error: The database does not take the rows, for example because of equal keys, or went away.
            TransientError: There are fewer rows than there should be: whoever gives them has died.
        """
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [self.table])
        if noted(cursor, self.table) != self.since:
            return False
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(identifier(self.table)))
        if cursor.fetchone() == (True,):
            if self.replaced:
                add_by_time(cursor, self.table, self.time)
            for interval in self.replaced:
                self._remove(cursor, interval)
            (self._upsert if self.upserts else self._copy)(cursor, batches)
        else:
            is_indexed = not self.keys or not self.count
            if not is_indexed and self._is_watched(
                cursor
            ):  # what waits for the commit would forbid it afterwards
                add_by_keys(cursor, self.table, self.keys)
                is_indexed = True
            self._copy(cursor, batches)
            if not is_indexed:
                add_by_keys(cursor, self.table, self.keys)
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} VALUES (%s, %s, %s, %s, now()) ON CONFLICT (target) DO UPDATE SET "
                "snapshot = EXCLUDED.snapshot, sequence = EXCLUDED.sequence, "
                "closed_through = EXCLUDED.closed_through, applied_at = EXCLUDED.applied_at"
            ).format(LEDGER),
            [self.table, self.to.snapshot, self.to.sequence, instant.to_datetime(self.to.closed_through)],
        )
        return True

    def _upsert(self, cursor: psycopg.Cursor[Any], batches: Iterable[pa.RecordBatch]) -> None:
        null_keys = 0

        def seen() -> Iterator[pa.RecordBatch]:
            nonlocal null_keys
            for batch in batches:
                null_keys += sum(batch.column(key).null_count for key in self.keys)
                yield batch

        table = identifier(self.table)
        cursor.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(_ARRIVED, table))
        self._copy(cursor, seen(), into=_ARRIVED)
        names = listed(self.columns)
        insertion = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(table, names, names, _ARRIVED)
        # Nulls equal each other, but not for a join.
        if self.is_small or null_keys or self._is_watched(cursor):
            cursor.execute(insertion + self._on_conflict())
            return
        same = [sql.SQL("held.{} = arrived.{}").format(*[sql.Identifier(key)] * 2) for key in self.keys]
        cursor.execute(
            sql.SQL("DELETE FROM {} AS held USING {} AS arrived WHERE {}").format(
                table, _ARRIVED, sql.SQL(" AND ").join(same)
            )
        )
        cursor.execute(insertion)

    def _copy(
        self,
        cursor: psycopg.Cursor[Any],
        batches: Iterable[pa.RecordBatch],
        *,
        into: sql.Identifier | None = None,
    ) -> None:
        from headway.sinks.postgres_rows import HEADER, TRAILER, encoded

        kinds, count = list(self.columns.values()), 0
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            into or identifier(self.table), listed(self.columns)
        )
        with cursor.copy(statement) as copy, ThreadPoolExecutor(1) as thread:
            written = thread.submit(copy.write, HEADER)
            for batch in batches:  # one is encoded while the server takes the one before
                block = encoded(batch, kinds)
                written.result()
                written = thread.submit(copy.write, block)
                count += len(batch)
            written.result()
            copy.write(TRAILER)
        if count != self.count:
            raise TransientError(
                f"{count} of {self.count} rows came for {self.table}, which is as it was",
                hint="Run the same command again.",
            )

    def _is_watched(self, cursor: psycopg.Cursor[Any]) -> bool:
        cursor.execute(_IS_WATCHED, {"table": identifier(self.table).as_string()})
        return cursor.fetchone() == (True,)

    def _on_conflict(self) -> sql.Composed:
        changed = [
            sql.SQL("{} = EXCLUDED.{}").format(*[sql.Identifier(column)] * 2)
            for column in self.columns
            if column not in self.keys
        ]
        action = (
            sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changed)) if changed else sql.SQL("NOTHING")
        )
        return sql.SQL(" ON CONFLICT ({}) DO {}").format(listed(self.keys), action)

    def _remove(self, cursor: psycopg.Cursor[Any], interval: Interval) -> None:
        text = (
            "DELETE FROM {} WHERE {} > %s AND {} <= %s"
            if self.is_end
            else "DELETE FROM {} WHERE {} >= %s AND {} < %s"
        )
        column = sql.Identifier(self.time)
        cursor.execute(
            sql.SQL(text).format(identifier(self.table), column, column),
            [instant.to_datetime(t) for t in (interval.start, interval.end)],
        )


def connect(dsn: str) -> psycopg.Connection[Any]:
    """Open a connection on which each statement outside of `transaction()` stands for itself.

    Raises:
        psycopg.OperationalError: The database cannot be reached.
    """
    connection = psycopg.connect(dsn, autocommit=True, application_name="headway", client_encoding="utf8")
    # What another has committed while this one waited for the lock has to be seen.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
        [list(_SETTINGS), list(_SETTINGS.values())],
    )
    return connection


def noted(cursor: psycopg.Cursor[Any], table: str) -> Applied | None:
    """Return how far a table has followed, as the ledger says; None where it says nothing."""
    cursor.execute(
        sql.SQL("SELECT snapshot, sequence, closed_through FROM {} WHERE target = %s").format(LEDGER), [table]
    )
    row = cursor.fetchone()
    if row is None:
        return None
    return Applied(snapshot=row[0], sequence=row[1], closed_through=instant.from_datetime(row[2]))
