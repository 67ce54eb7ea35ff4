"""Exactly-once changes of a Postgres table: rows by COPY, then one transaction with the ledger's row.

Executors copy their rows into a staging table, each row with the number of the task's attempt.
The driver moves the rows of the attempts that succeeded in one transaction, together with the
note of how far the table has followed. Small changes go from the driver straight into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from headway import instant
from headway.errors import ResultError, UnavailableError
from headway.interval import Interval
from headway.result import Result, mismatches, quoted_column
from headway.sink import Applied, Change
from headway.sinks.postgres import Postgres
from headway.sinks.postgres_staging import SCHEMA, Arrived, Staging, copy_into, drop_abandoned, send

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType, StructType

__all__ = ["PostgresTable", "server_version"]

_LEDGER = sql.Identifier(SCHEMA, "ledger")
_SMALL = 10_000
"""Rows that the driver copies itself: about what one Arrow batch of an executor holds."""
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
        self._table = sql.Identifier(*sink.table.split("."))
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
                ).format(_LEDGER)
            )
            drop_abandoned(cursor)
            existing = self._existing(cursor)
            if existing:
                self._compare(cursor, existing, columns, keys)
            else:
                self._create(cursor, columns, keys)

    def applied(self) -> Applied | None:
        """See `headway.sink.Follower.applied`."""
        with self._transaction() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.ledger"])
            return self._applied(cursor) if cursor.fetchone() != (None,) else None

    def unfinished(self) -> int | None:
        """See `headway.sink.Follower.unfinished`: a transaction is one step."""
        return None

    def apply(self, change: Change, since: Applied | None) -> bool:
        """See `headway.sink.Follower.apply`.

        Raises:
            ResultError: Postgres does not take the rows, for example because of equal keys.
            UnavailableError: The database cannot be reached, or went away.
        """
        columns = self._columns(change.rows.schema)
        rows = change.rows.select(*self._encoded(change.rows.schema))
        if change.count is not None and change.count <= _SMALL:
            batches = rows.toArrow().to_batches() if change.count else []
            return self._commit(change, since, lambda cursor: self._put(cursor, columns, batches, change))
        with self._staging() as staging:
            arrived = self._copied(rows, columns, staging)
            return self._commit(
                change, since, lambda cursor: self._move(cursor, list(columns), staging, arrived, change)
            )

    def close(self) -> None:
        """See `headway.sink.Follower.close`."""
        if self._open is not None:
            self._open.close()

    def _commit(
        self, change: Change, since: Applied | None, put: Callable[[psycopg.Cursor[Any]], None]
    ) -> bool:
        """Put rows in, in place of what the change replaces, together with the ledger's row."""
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [self.name])
            if self._applied(cursor) != since:
                return False
            for interval in change.replaced:
                self._remove(cursor, interval)
            put(cursor)
            cursor.execute(
                sql.SQL(
                    "INSERT INTO {} VALUES (%s, %s, %s, %s, now()) ON CONFLICT (target) DO UPDATE SET "
                    "snapshot = EXCLUDED.snapshot, sequence = EXCLUDED.sequence, "
                    "closed_through = EXCLUDED.closed_through, applied_at = EXCLUDED.applied_at"
                ).format(_LEDGER),
                [
                    self.name,
                    change.to.snapshot,
                    change.to.sequence,
                    instant.to_datetime(change.to.closed_through),
                ],
            )
            return True

    def _put(
        self,
        cursor: psycopg.Cursor[Any],
        columns: Mapping[str, str],
        batches: Sequence[pa.RecordBatch],
        change: Change,
    ) -> None:
        """Put the driver's rows in."""
        if not change.upserts:
            send(cursor, copy_into(self._table, columns), batches, columns.values())
            return
        arrived = sql.Identifier("headway_arrived")
        cursor.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(arrived, self._table))
        send(cursor, copy_into(arrived, columns), batches, columns.values())
        cursor.execute(self._insertion(list(columns), arrived) + self._on_conflict(list(columns)))

    def _move(
        self,
        cursor: psycopg.Cursor[Any],
        columns: Sequence[str],
        staging: Staging,
        arrived: Arrived,
        change: Change,
    ) -> None:
        """Put the executors' rows in.

        Of many rows, taking away those with the same keys and adding all costs half as much as ON CONFLICT,
        which looks each of them up alone, and notes each in the log twice.
        """
        insertion = self._insertion(columns, staging.table) + sql.SQL(" WHERE ") + arrived.condition
        if change.upserts and arrived.has_null_keys:  # which equal each other, but not for a join
            cursor.execute(insertion + self._on_conflict(columns))
            return
        if change.upserts and self._has_rows(cursor):
            same = [
                sql.SQL("held.{} = arrived.{}").format(sql.Identifier(key), sql.Identifier(key))
                for key in self._key_columns
            ]
            cursor.execute(
                sql.SQL("DELETE FROM {} AS held USING {} AS arrived WHERE {} AND {}").format(
                    self._table, staging.table, sql.SQL(" AND ").join(same), arrived.condition
                )
            )
        cursor.execute(insertion)

    def _insertion(self, columns: Sequence[str], arrived: sql.Identifier) -> sql.Composed:
        names = _listed(columns)
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(self._table, names, names, arrived)

    def _on_conflict(self, columns: Sequence[str]) -> sql.Composed:
        changed = [
            sql.SQL("{} = EXCLUDED.{}").format(sql.Identifier(c), sql.Identifier(c))
            for c in columns
            if c not in self._key_columns
        ]
        action = (
            sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changed)) if changed else sql.SQL("NOTHING")
        )
        return sql.SQL(" ON CONFLICT ({}) DO {}").format(_listed(self._key_columns), action)

    def _has_rows(self, cursor: psycopg.Cursor[Any]) -> bool:
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self._table))
        return cursor.fetchone() == (True,)

    def _remove(self, cursor: psycopg.Cursor[Any], interval: Interval) -> None:
        bounds = [instant.to_datetime(t) for t in (interval.start, interval.end)]
        *_, last = self._names(self._output_time)
        # A window's last instant counts, which is its end less a microsecond.
        text = (
            "DELETE FROM {} WHERE {} > %s AND {} <= %s"
            if self._is_window
            else "DELETE FROM {} WHERE {} >= %s AND {} < %s"
        )
        column = sql.Identifier(last)
        cursor.execute(sql.SQL(text).format(self._table, column, column), bounds)

    def _applied(self, cursor: psycopg.Cursor[Any]) -> Applied | None:
        cursor.execute(
            sql.SQL("SELECT snapshot, sequence, closed_through FROM {} WHERE target = %s").format(_LEDGER),
            [self.name],
        )
        row = cursor.fetchone()
        if row is None:
            return None
        return Applied(snapshot=row[0], sequence=row[1], closed_through=instant.from_datetime(row[2]))

    @contextmanager
    def _staging(self) -> Iterator[Staging]:
        """Give a table for what executors copy, and drop it afterwards."""
        staging = Staging()
        with self._transaction() as cursor:
            staging.make(cursor, self._table)
        try:
            yield staging
        finally:
            with self._transaction() as cursor:
                staging.drop(cursor)

    def _copied(self, rows: DataFrame, columns: Mapping[str, str], staging: Staging) -> Arrived:
        """Have the executors copy rows by the order of their keys, for which an index has to be searched less.

        Raises:
            ResultError: Postgres does not take them.
        """
        from pyspark.errors import PythonException

        keys = self._key_columns
        if keys:
            rows = rows.sortWithinPartitions(*[quoted_column(key) for key in keys])
        try:
            return staging.fill(rows, self._dsn, columns, keys)
        except PythonException as exc:
            said = next((line for line in reversed(str(exc).splitlines()) if "psycopg" in line), None)
            if said is None:
                raise
            raise _refused(self.name, said.rpartition(": ")[2]) from exc

    def _create(self, cursor: psycopg.Cursor[Any], columns: Mapping[str, str], keys: Sequence[str]) -> None:
        parts = self.name.split(".")
        if len(parts) == 2:
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(parts[0])))
        # A note of an earlier table of this name says nothing of this one.
        cursor.execute(sql.SQL("DELETE FROM {} WHERE target = %s").format(_LEDGER), [self.name])
        described = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in columns.items()]
        cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(self._table, sql.SQL(", ").join(described)))
        *_, last = self._names(self._output_time)
        cursor.execute(sql.SQL("CREATE INDEX ON {} ({})").format(self._table, sql.Identifier(last)))
        if keys:
            cursor.execute(
                sql.SQL("CREATE UNIQUE INDEX ON {} ({}) NULLS NOT DISTINCT").format(
                    self._table, _listed(keys)
                )
            )

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
        if keys and not self._has_unique_index(cursor, keys):
            faults.append(f"it has no unique index on {', '.join(keys)}")
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

    def _has_unique_index(self, cursor: psycopg.Cursor[Any], keys: Sequence[str]) -> bool:
        cursor.execute(
            "SELECT (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid "
            "AND a.attnum = ANY(i.indkey::int2[])) FROM pg_index i "
            "WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL",
            [self._table.as_string()],
        )
        return any(set(names) == set(keys) for (names,) in cursor.fetchall())

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
            ResultError: It refuses a statement.
        """
        try:
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor:
                yield cursor
        except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
            raise _unavailable(self._database, exc) from exc
        except psycopg.Error as exc:
            raise _refused(self.name, exc.diag.message_primary or str(exc)) from exc

    def _connected(self) -> psycopg.Connection[Any]:
        if self._open is None or self._open.closed:
            try:
                self._open = psycopg.connect(
                    self._dsn, autocommit=True, application_name="headway", client_encoding="utf8"
                )
                # In other zones the earliest instants are before Christ, which Python has no times for.
                self._open.execute("SET TIME ZONE 'UTC'")
            except psycopg.OperationalError as exc:
                raise _unavailable(self._database, exc) from exc
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
        raise _unavailable(database, exc) from exc


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


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _unavailable(database: str, exc: psycopg.Error) -> UnavailableError:
    said = str(exc).strip().splitlines()
    return UnavailableError(
        f"the Postgres database {database!r} does not answer: {said[0] if said else type(exc).__name__}",
        hint="What the other sinks lack is made up for by the same command, once it does.",
    )


def _refused(table: str, said: str) -> ResultError:
    return ResultError(
        f"Postgres refuses what is to go into {table}: {said}",
        hint="Mend the rows or the table; the next run makes up for what is missing.",
    )
