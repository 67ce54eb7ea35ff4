"""Exactly-once changes of a Postgres table: one transaction for rows and the ledger's row.

A transaction is one connection, so one task of Spark makes it, and copies the rows straight into the table:
the server's one process for it takes longer over each row than the task. Small changes go from the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from headway.errors import ResultError, TransientError
from headway.result import Result, mismatches, quoted_column
from headway.sink import Applied, Change
from headway.sinks.postgres import Postgres
from headway.sinks.postgres_failure import Failure
from headway.sinks.postgres_indexes import has_unique, identifier, may_build
from headway.sinks.postgres_transaction import LEDGER, SCHEMA, Transaction, connect, noted

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType, StructType

__all__ = ["PostgresTable", "server_version"]

_SMALL = 10_000
"""Rows that the driver copies itself: about what one Arrow batch of a task holds."""
_APPLIED, _PASSED, _SHORT = "applied", "passed", "short"
_JSON = ("struct", "array", "map", "variant")
_TYPES = {
    "boolean": "boolean",
    "tinyint": "smallint",
    "smallint": "smallint",
    "int": "integer",
    "bigint": "bigint",
    "float": "real",
    "double": "double precision",
    "string": "text",
    "binary": "bytea",
    "date": "date",
    "timestamp": "timestamp with time zone",
    "timestamp_ntz": "timestamp without time zone",
}


class PostgresTable:
    """One table, as one run uses it, over a connection of its own."""

    def __init__(self, sink: Postgres, *, dsn: str, result: Result) -> None:
        """Name a table; connects when it is first used.

        Args:
            sink: The definition.
            dsn: Connection string; never written to a message.
            result: What the rows look like.
        """
        self.name = sink.table
        self._dsn = dsn
        self._database = sink.database
        self._keys = sink.keys
        self._output_time = result.output_time
        self._is_window = result.is_window
        self._table = identifier(sink.table)
        self._open: psycopg.Connection[Any] | None = None

    def prepare(self, schema: StructType) -> None:
        """See `headway.sink.Follower.prepare`."""
        columns = self._columns(schema)
        keys = self._key_columns
        missing = [key for key in keys if key not in columns]
        if missing:
            raise ResultError(
                f"the key {missing[0]!r} of the sink {self.name!r} is no column of the result",
                hint=f"Its columns are {', '.join(columns)}.",
            )
        with self._transaction() as cursor:
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (target text PRIMARY KEY, snapshot bigint NOT NULL, "
                    "sequence bigint NOT NULL, closed_through timestamptz NOT NULL, applied_at timestamptz NOT NULL)"
                ).format(LEDGER)
            )
            existing = self._existing(cursor)
            if existing:
                self._compare(cursor, existing, columns, keys)
            else:
                self._create(cursor, columns)

    def applied(self) -> Applied | None:
        """See `headway.sink.Follower.applied`."""
        with self._transaction() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.ledger"])
            return noted(cursor, self.name) if cursor.fetchone() != (None,) else None

    def unfinished(self) -> int | None:
        """See `headway.sink.Follower.unfinished`: a transaction is one step."""
        return None

    def apply(self, change: Change, since: Applied | None) -> bool:
        """See `headway.sink.Follower.apply`.

        Raises:
            ResultError: Postgres does not take the rows, for example because of equal keys.
            UnavailableError: The database cannot be reached, or went away.
            TransientError: It gave up, or not all rows came to the task that copies them.
        """
        rows = change.rows.select(*self._encoded(change.rows.schema))
        # A commit that upserts counts what it has rewritten too.
        count = change.count if change.count is not None and change.count <= _SMALL else rows.count()
        if count > _SMALL:
            return self._run_by_task(self._of(change, since, count), rows)
        batches = rows.toArrow().to_batches() if count else []
        with self._transaction() as cursor:
            return self._of(change, since, sum(map(len, batches))).run(cursor, batches)

    def close(self) -> None:
        """See `headway.sink.Follower.close`."""
        if self._open is not None:
            self._open.close()

    def _run_by_task(self, transaction: Transaction, rows: DataFrame) -> bool:
        rows, dsn = rows.coalesce(1), self._dsn
        with self._transaction() as cursor:
            has_index = has_unique(cursor, self.name, transaction.keys)
        if has_index:
            # The nearer a row is to the one before it, the less an index has to be searched for its place.
            rows = rows.sortWithinPartitions(*[quoted_column(key) for key in transaction.keys])

        def run(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
            import pyarrow as pa

            given = iter(batches)
            first = list(islice(given, 1))  # nothing is locked while Spark sorts
            said = ""
            try:
                with connect(dsn) as connection, connection.transaction(), connection.cursor() as cursor:
                    outcome = _APPLIED if transaction.run(cursor, chain(first, given)) else _PASSED
            except psycopg.Error as exc:
                failure = Failure.of(exc)
                outcome, said = failure.kind, failure.said
            except TransientError as exc:
                outcome, said = _SHORT, exc.what
            yield pa.RecordBatch.from_pydict({"outcome": [outcome], "said": [said]})

        # A task that is tried again although it had committed finds its own note, and has passed.
        ((outcome, said),) = rows.mapInArrow(run, "outcome string, said string").collect()
        if outcome == _SHORT:
            raise TransientError(said, hint="Run the same command again.")
        if outcome not in (_APPLIED, _PASSED):
            raise Failure(outcome, said).error(self._database, self.name)
        return bool(outcome == _APPLIED)

    def _of(self, change: Change, since: Applied | None, count: int) -> Transaction:
        *_, last = self._names(self._output_time)
        return Transaction(
            table=self.name,
            columns=self._columns(change.rows.schema),
            keys=self._key_columns,
            time=last,
            is_end=self._is_window,
            replaced=change.replaced,
            upserts=change.upserts,
            is_small=count <= _SMALL,
            count=count,
            since=since,
            to=change.to,
        )

    def _create(self, cursor: psycopg.Cursor[Any], columns: Mapping[str, str]) -> None:
        parts = self.name.split(".")
        if len(parts) == 2:
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(parts[0])))
        # A note of an earlier table of this name says nothing of this one.
        cursor.execute(sql.SQL("DELETE FROM {} WHERE target = %s").format(LEDGER), [self.name])
        described = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in columns.items()]
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(self._table, sql.SQL(", ").join(described)))

    def _existing(self, cursor: psycopg.Cursor[Any]) -> dict[str, str]:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [self._table.as_string()],
        )
        return dict(cursor.fetchall())

    def _compare(
        self,
        cursor: psycopg.Cursor[Any],
        existing: Mapping[str, str],
        columns: Mapping[str, str],
        keys: Sequence[str],
    ) -> None:
        faults = mismatches(existing, columns)
        if keys and not has_unique(cursor, self.name, keys) and not may_build(cursor, self.name):
            faults.append(f"it has no unique index on {', '.join(keys)} for which nulls are equal")
        if faults:
            raise ResultError(
                f"the Postgres table {self.name} does not take this result: " + "; ".join(faults),
                hint="Alter or drop the table, or mend the definition.",
            )
        for name, kind in columns.items():
            if name not in existing:
                cursor.execute(
                    sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                        self._table, sql.Identifier(name), sql.SQL(kind)
                    )
                )

    @property
    def _key_columns(self) -> list[str]:
        return [name for key in self._keys for name in self._names(key)]

    def _names(self, column: str) -> list[str]:
        """Return what a column of the result is called in the table."""
        is_range = self._is_window and column == self._output_time
        return [f"{column}_start", f"{column}_end"] if is_range else [column]

    def _columns(self, schema: StructType) -> dict[str, str]:
        """Return the table's columns and their types in Postgres, in order."""
        return {
            name: _TYPES["timestamp"]
            if self._is_window and f.name == self._output_time
            else _kind(f.name, f.dataType)
            for f in schema.fields
            for name in self._names(f.name)
        }

    def _encoded(self, schema: StructType) -> list[Column]:
        """Return the result's columns as COPY reads them."""
        from pyspark.sql import functions as F

        encoded = []
        for field in schema.fields:
            column = F.col(quoted_column(field.name))
            kind = field.dataType.typeName()
            if self._is_window and field.name == self._output_time:
                start, end = self._names(field.name)
                encoded += [column["start"].alias(start), column["end"].alias(end)]
            elif kind in _JSON:
                encoded.append(F.to_json(column, {"ignoreNullFields": "false"}).alias(field.name))
            else:
                encoded.append(column)
        return encoded

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        """Run statements in one transaction.

        Raises:
            UnavailableError: The database went away.
            TransientError: It gave up, for example for a deadlock or a full disk.
            ResultError: It refuses a statement.
        """
        try:
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as exc:
            raise Failure.of(exc).error(self._database, self.name) from exc

    def _connected(self) -> psycopg.Connection[Any]:
        if self._open is None or self._open.closed:
            self._open = connect(self._dsn)
        return self._open


def server_version(database: str, dsn: str) -> str:
    """Connect to a database, and return the version of its server.

    Raises:
        UnavailableError: It does not answer.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            return connection.info.parameter_status("server_version") or ""
    except psycopg.OperationalError as exc:
        raise Failure.of(exc).error(database, "") from exc


def _kind(name: str, kind: DataType) -> str:
    family = kind.typeName()
    if family == "decimal":
        return f"numeric({kind.precision},{kind.scale})"  # type: ignore[attr-defined]
    if family in _JSON:
        return "jsonb"
    if family in ("varchar", "char"):
        return "text"
    if kind.simpleString() not in _TYPES:
        raise ResultError(
            f"the column {name!r} is {kind.simpleString()}, which no Postgres type holds",
            hint="Cast it in the function, for example to string.",
        )
    return _TYPES[kind.simpleString()]
