"""Copies of Postgres tables, taken into the Iceberg tables that lookups read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from headway import instant
from headway.catalog import add_columns, create_namespace, java_table
from headway.errors import ConfigError, ResultError, UnavailableError, suggestion
from headway.lookup import Lookup, PostgresTable
from headway.result import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType

__all__ = ["Copies"]

_BATCH = 50_000
_KINDS = {
    "bool": "boolean",
    "int2": "int",
    "int4": "int",
    "int8": "bigint",
    "float4": "float",
    "float8": "double",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "timestamptz": "timestamp",
    "bytea": "binary",
}
"""Spark's types by Postgres's own names; numbers with a scale are decimals, and everything else is read as text."""
_MOST_DIGITS = 38


class Copies:
    """The Postgres tables that a pipeline's lookups are copies of, as one run uses them."""

    def __init__(
        self, spark: SparkSession, lookups: Mapping[str, Lookup], databases: Mapping[str, str]
    ) -> None:
        """Take note of which lookups are copies.

        Args:
            spark: The session.
            lookups: Of a pipeline.
            databases: Connection strings, by name in conf/.
        """
        self._spark = spark
        self._databases = databases
        self._taken_at: dict[str, int] = {}
        self._lookups = [lookup for lookup in lookups.values() if lookup.copies is not None]

    def take(self) -> None:
        """Bring each Iceberg table up to its Postgres table, at most once within a `refresh`.

        Raises:
            UnavailableError: A database does not answer.
            ConfigError: conf/ has no database of that name.
            ResultError: Postgres refuses, or the table lost a column or changed a type.
        """
        for lookup in self._lookups:
            refresh = instant.duration(lookup.refresh)
            taken = self._taken_at.get(lookup.table)
            now = time.time_ns() // 1_000
            if taken is None or now // refresh > taken // refresh:
                self._copy(lookup)
                self._taken_at[lookup.table] = now

    def _copy(self, lookup: Lookup) -> None:
        assert lookup.copies is not None
        read = self._read(lookup.copies)
        if not self._spark.catalog.tableExists(lookup.table):
            create_namespace(self._spark, lookup.table)
            read.writeTo(lookup.table).using("iceberg").tableProperty("format-version", "2").create()
            return
        add_columns(
            self._spark,
            lookup.table,
            read.schema,
            refusal=f"the lookup {lookup.table} does not take what {lookup.copies} holds",
            hint="Alter or drop the Iceberg table, or mend the Postgres table.",
        )
        held = self._spark.table(lookup.table).select(*map(quoted_column, read.columns))
        is_loaded = java_table(self._spark, lookup.table).currentSnapshot() is not None
        if is_loaded and held.exceptAll(read).isEmpty() and read.exceptAll(held).isEmpty():
            return
        from pyspark.sql import functions as F

        read.writeTo(lookup.table).overwrite(F.lit(True))

    def _read(self, source: PostgresTable) -> DataFrame:
        """Read a table as one statement sees it."""
        import pyarrow as pa
        from pyspark.sql.pandas.types import to_arrow_type
        from pyspark.sql.types import StructField, StructType

        if source.database not in self._databases:
            raise ConfigError(
                f"conf/ has no database {source.database!r}, which a lookup copies {source.table!r} from",
                hint=suggestion(source.database, self._databases),
            )
        try:
            with psycopg.connect(self._databases[source.database], application_name="headway") as connection:
                connection.execute("SET TIME ZONE 'UTC'")
                name = sql.Identifier(*source.table.split("."))
                with connection.cursor() as asked:
                    asked.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name))
                    columns = asked.description or []
                kinds = [_kind(column, connection) for column in columns]
                # Postgres has times that are infinite, and nobody else has.
                chosen = [
                    _finite(sql.Identifier(c.name), kind)
                    if kind is not None
                    else sql.SQL("{}::text").format(sql.Identifier(c.name))
                    for c, kind in zip(columns, kinds, strict=True)
                ]
                schema = StructType(
                    [StructField(c.name, _type(k)) for c, k in zip(columns, kinds, strict=True)]
                )
                arrow = pa.schema([(f.name, to_arrow_type(f.dataType)) for f in schema.fields])
                parts = []
                with connection.cursor(name="headway") as rows:
                    rows.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(chosen), name))
                    while batch := rows.fetchmany(_BATCH):
                        values = zip(*batch, strict=True)
                        arrays = [pa.array(v, f.type) for v, f in zip(values, arrow, strict=True)]
                        parts.append(pa.record_batch(arrays, schema=arrow))
        except psycopg.OperationalError as exc:
            raise UnavailableError(
                f"the database {source.database!r} does not answer: {_first_line(exc)}",
                hint="Start it, or mend its dsn in conf/.",
            ) from exc
        except psycopg.Error as exc:
            raise ResultError(
                f"Postgres refuses to give {source.table!r} of {source.database!r}: {_first_line(exc)}",
                hint="Mend the name of the table, or the user's rights.",
            ) from exc
        return self._spark.createDataFrame(pa.Table.from_batches(parts, arrow), schema)


def _finite(column: sql.Identifier, kind: str) -> sql.Composable:
    if kind not in ("date", "timestamp", "timestamp_ntz"):
        return column
    return sql.SQL("nullif(nullif({0}, 'infinity'), '-infinity')").format(column)


def _kind(column: psycopg.Column, connection: psycopg.Connection[Any]) -> str | None:
    """Return the Spark type that a column is read as; None for one that is read as text."""
    info = connection.adapters.types.get(column.type_code)
    if info is None or info.array_oid == column.type_code:
        return None
    if info.name == "numeric":
        is_known = column.precision is not None and column.precision <= _MOST_DIGITS
        return f"decimal({column.precision},{column.scale or 0})" if is_known else None
    return _KINDS.get(info.name)


def _type(kind: str | None) -> DataType:
    from pyspark.sql.types import DataType

    return DataType.fromDDL(kind or "string")


def _first_line(exc: psycopg.Error) -> str:
    return (exc.diag.message_primary or str(exc)).strip().splitlines()[0]
