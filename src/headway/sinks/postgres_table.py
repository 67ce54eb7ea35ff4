"""Exactly-once changes of a Postgres table: rows by COPY, then one transaction with the ledger's row.

Executors copy their rows into a staging table, each row with the number of the task's attempt.
The driver moves the rows of the attempts that succeeded in one transaction, together with the
note of how far the table has followed. Small changes go from the driver straight into it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from headway import instant
from headway.errors import ResultError, UnavailableError
from headway.interval import Interval
from headway.result import Result, mismatches
from headway.sink import Applied, Change
from headway.sinks.postgres import Postgres

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType, StructType

__all__ = ["PostgresTable", "server_version"]

_SCHEMA = "headway"
_LEDGER = sql.Identifier(_SCHEMA, "ledger")
_ATTEMPT = "__attempt"
_SMALL = 10_000
"""Rows that the driver copies itself: about what one Arrow batch of an executor holds."""
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
_NESTED = ("struct", "array", "map", "variant")


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
        keys = [name for key in self._keys for name in self._names(key)]
        missing = [key for key in keys if key not in columns]
        if missing:
            raise ResultError(
                f"the key {missing[0]!r} of the sink {self.name!r} is no column of the result",
                hint=f"Its columns are {', '.join(columns)}.",
            )
        with self._transaction() as cursor:
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(_SCHEMA)))
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (target text PRIMARY KEY, snapshot bigint NOT NULL, "
                    "sequence bigint NOT NULL, closed_through timestamptz NOT NULL, applied_at timestamptz NOT NULL)"
                ).format(_LEDGER)
            )
            self._drop_abandoned(cursor)
            existing = self._existing(cursor)
            if existing:
                self._compare(cursor, existing, columns, keys)
            else:
                self._create(cursor, columns, keys)

    def applied(self) -> Applied | None:
        """See `headway.sink.Follower.applied`."""
        with self._transaction() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [f"{_SCHEMA}.ledger"])
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
        columns = list(self._columns(change.rows.schema))
        rows = change.rows.select(*self._encoded(change.rows.schema))
        if change.count is not None and change.count <= _SMALL:
            batches = rows.toArrow().to_batches() if change.count else []
            return self._commit(change, since, columns, batches)
        staging = sql.Identifier(_SCHEMA, f"staging_{uuid.uuid4().hex}")
        with self._staged(staging):
            statement = _copy_into(staging, [*columns, _ATTEMPT]).as_string(self._connected())
            attempts = _copied(rows, self._dsn, statement, self.name)
            return self._commit(change, since, columns, (staging, attempts))

    def close(self) -> None:
        """See `headway.sink.Follower.close`."""
        if self._open is not None:
            self._open.close()

    def _commit(
        self,
        change: Change,
        since: Applied | None,
        columns: Sequence[str],
        rows: Sequence[pa.RecordBatch] | tuple[sql.Identifier, list[int]],
    ) -> bool:
        """Put rows in, from Arrow or from a staging table, together with the ledger's row."""
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [self.name])
            if self._applied(cursor) != since:
                return False
            for interval in change.replaced:
                self._remove(cursor, interval)
            if isinstance(rows, tuple):
                self._insert(cursor, columns, rows[0], change, attempts=rows[1])
            elif change.upserts:
                arrived = sql.Identifier("headway_arrived")
                cursor.execute(
                    sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(arrived, self._table)
                )
                _copy(cursor, _copy_into(arrived, columns), rows)
                self._insert(cursor, columns, arrived, change, attempts=None)
            else:
                _copy(cursor, _copy_into(self._table, columns), rows)
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

    def _insert(
        self,
        cursor: psycopg.Cursor[Any],
        columns: Sequence[str],
        arrived: sql.Identifier,
        change: Change,
        *,
        attempts: list[int] | None,
    ) -> None:
        names = _listed(columns)
        statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
            self._table, names, names, arrived
        )
        if attempts is not None:
            statement += sql.SQL(" WHERE {} = ANY({})").format(
                sql.Identifier(_ATTEMPT), sql.Literal(attempts)
            )
        if change.upserts:
            keys = [name for key in self._keys for name in self._names(key)]
            changed = [
                sql.SQL("{} = EXCLUDED.{}").format(sql.Identifier(c), sql.Identifier(c))
                for c in columns
                if c not in keys
            ]
            action = (
                sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changed))
                if changed
                else sql.SQL("NOTHING")
            )
            statement += sql.SQL(" ON CONFLICT ({}) DO {}").format(_listed(keys), action)
        cursor.execute(statement)

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
    def _staged(self, staging: sql.Identifier) -> Iterator[None]:
        """Make a table for what executors copy. A lock tells others that its maker is alive."""
        name = staging.as_string()
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
            cursor.execute(
                sql.SQL("CREATE UNLOGGED TABLE {} (LIKE {}, {} bigint)").format(
                    staging, self._table, sql.Identifier(_ATTEMPT)
                )
            )
        try:
            yield
        finally:
            with self._transaction() as cursor:
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging))
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])

    def _drop_abandoned(self, cursor: psycopg.Cursor[Any]) -> None:
        """Drop the staging tables of runs that have died."""
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename LIKE 'staging\\_%%'",
            [_SCHEMA],
        )
        for (name,) in cursor.fetchall():
            staging = sql.Identifier(_SCHEMA, name)
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [staging.as_string()])
            if cursor.fetchone() == (True,):
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging))

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
            column = F.col("`" + field.name.replace("`", "``") + "`")
            kind = field.dataType.typeName()
            if self._is_window and field.name == self._output_time:
                start, end = self._names(field.name)
                encoded += [column["start"].alias(start), column["end"].alias(end)]
            elif kind in _NESTED:
                encoded.append(F.to_json(column, {"ignoreNullFields": "false"}).alias(field.name))
            elif kind == "binary":
                encoded.append(F.concat(F.lit("\\x"), F.hex(column)).alias(field.name))
            elif kind == "decimal":
                encoded.append(column.cast("string").alias(field.name))
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
                self._open = psycopg.connect(self._dsn, autocommit=True, application_name="headway")
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
    if family in _NESTED:
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


def _copy_into(table: sql.Identifier, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table, _listed(columns))


def _copy(cursor: psycopg.Cursor[Any], statement: sql.Composed, batches: Iterable[pa.RecordBatch]) -> None:
    with cursor.copy(statement) as copy:
        for batch in batches:
            copy.write(_csv(batch))


def _csv(batch: pa.RecordBatch) -> bytes:
    """Write rows as Postgres reads them: nulls are empty, and strings are always in quotes."""
    from pyarrow import csv

    out = BytesIO()
    csv.write_csv(batch, out, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return out.getvalue()


def _copied(rows: DataFrame, dsn: str, statement: str, table: str) -> list[int]:
    """Have the executors copy their rows; returns the numbers of the attempts that succeeded."""
    from pyspark.errors import PythonException

    def copy_rows(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        attempt = context.taskAttemptId()
        with (
            psycopg.connect(dsn) as connection,
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for batch in batches:
                number = pa.array([attempt] * batch.num_rows, pa.int64())
                copy.write(_csv(batch.append_column(_ATTEMPT, number)))
        yield pa.RecordBatch.from_pydict({"attempt": [attempt]})

    try:
        return [row["attempt"] for row in rows.mapInArrow(copy_rows, "attempt bigint").collect()]
    except PythonException as exc:
        said = next((line for line in reversed(str(exc).splitlines()) if "psycopg" in line), None)
        if said is None:
            raise
        raise _refused(table, said.rpartition(": ")[2]) from exc


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
