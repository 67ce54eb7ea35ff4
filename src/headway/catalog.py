"""Tables of the Iceberg catalogs that a session knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from headway.errors import ResultError, UnavailableError
from headway.result import mismatches, quoted_column, types

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

__all__ = ["add_columns", "ancestry", "create_namespace", "escaped", "expire", "java_table", "quoted"]


def java_table(spark: SparkSession, name: str) -> Any:
    """Return Iceberg's own handle of a table, with its newest metadata."""
    jvm = spark._jvm
    assert jvm is not None
    try:
        return jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, name)
    except (Py4JJavaError, PySparkException) as exc:
        what = str(exc).strip().splitlines()[0]
        raise UnavailableError(f"the table {name} cannot be loaded: {what}") from exc


def ancestry(table: Any, snapshot: Any) -> Iterator[Any]:
    """Yield a snapshot and those before it, back to the first or to where expiry has cut the history."""
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parentId()
        snapshot = None if parent is None else table.snapshot(parent)


def create_namespace(spark: SparkSession, table: str) -> None:
    """Make the namespace of a table where it is missing."""
    namespace = table.rpartition(".")[0]
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {quoted(spark, namespace)}")


def add_columns(spark: SparkSession, table: str, schema: StructType, *, refusal: str, hint: str) -> None:
    """Add the columns that a schema has and a table lacks, empty in older rows.

    Raises:
        ResultError: A column is gone, or has another type; its words begin with `refusal`.
    """
    held, given = types(spark.table(table).schema), types(schema)
    faults = mismatches(held, given)
    if faults:
        raise ResultError(f"{refusal}: " + "; ".join(faults), hint=hint)
    added = [f"{quoted_column(n)} {kind}" for n, kind in given.items() if n not in held]
    if added:
        spark.sql(f"ALTER TABLE {quoted(spark, table)} ADD COLUMNS ({', '.join(added)})")


def expire(spark: SparkSession, table: str) -> None:
    """Remove every snapshot but the newest and those that a branch or a tag keeps, and the files that only they held."""
    catalog, _, name = table.partition(".")
    spark.sql(
        f"CALL {quoted(spark, catalog)}.system.expire_snapshots(table => '{escaped(quoted(spark, name))}', "
        "older_than => current_timestamp(), retain_last => 1)"
    )


def escaped(text: str) -> str:
    """Return a text as it stands between apostrophes in Spark's SQL; Iceberg's extension of it takes no parameters."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def quoted(spark: SparkSession, name: str) -> str:
    """Quote each part of a table name as Spark's SQL wants it."""
    jvm = spark._jvm
    assert jvm is not None
    quote = jvm.org.apache.spark.sql.catalyst.util.QuotingUtils.quoteIdentifier
    return ".".join(quote(part) for part in name.split("."))
