"""Indexes of a Postgres table: they are built when they are first needed, behind the rows that are there by then.

That is quicker than to search each row's place in them, and locks no reader out, as dropping them would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

__all__ = ["add_by_keys", "add_by_time", "has_unique", "identifier", "listed", "may_build"]

_HAS_UNIQUE = """
    SELECT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = to_regclass(%(table)s) AND i.indisunique AND i.indisvalid AND i.indimmediate
        AND i.indpred IS NULL AND i.indexprs IS NULL
        AND (
            SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
                FILTER (WHERE i.indnullsnotdistinct OR a.attnotnull)
            FROM pg_attribute a
            WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        ) = %(keys)s::text[]
    )
"""
_BEGINS_WITH = """
    SELECT EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass(%(table)s) AND a.attname = %(column)s
    )
"""
_IS_OWNED = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%(table)s)"


def has_unique(cursor: psycopg.Cursor[Any], table: str, keys: Iterable[str]) -> bool:
    """Tell whether a table has a unique index on keys, to which nulls are equal, or whose columns have none."""
    return _holds(cursor, _HAS_UNIQUE, table, keys=sorted(keys))


def may_build(cursor: psycopg.Cursor[Any], table: str) -> bool:
    """Tell whether a table has no row yet, and belongs to the user of the connection."""
    cursor.execute(sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(identifier(table)))
    return cursor.fetchone() == (True,) and _holds(cursor, _IS_OWNED, table)


def add_by_keys(cursor: psycopg.Cursor[Any], table: str, keys: Sequence[str]) -> None:
    """Make the unique index where it is missing. Writers wait until the transaction ends, readers do not.

    Raises:
        psycopg.errors.UniqueViolation: Two rows have the same keys.
    """
    if not has_unique(cursor, table, keys):
        cursor.execute(
            sql.SQL("CREATE UNIQUE INDEX ON {} ({}) NULLS NOT DISTINCT").format(
                identifier(table), listed(keys)
            )
        )


def add_by_time(cursor: psycopg.Cursor[Any], table: str, time: str) -> None:
    """Make an index by which intervals are found, where it is missing and the table is the user's own."""
    if not _holds(cursor, _BEGINS_WITH, table, column=time) and _holds(cursor, _IS_OWNED, table):
        cursor.execute(sql.SQL("CREATE INDEX ON {} ({})").format(identifier(table), sql.Identifier(time)))


def identifier(table: str) -> sql.Identifier:
    """Quote a table's name, with or without schema."""
    return sql.Identifier(*table.split("."))


def listed(columns: Iterable[str]) -> sql.Composed:
    """Quote columns, with commas between them."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _holds(cursor: psycopg.Cursor[Any], query: str, table: str, **given: object) -> bool:
    cursor.execute(query, {"table": identifier(table).as_string(), **given})
    return cursor.fetchone() == (True,)
