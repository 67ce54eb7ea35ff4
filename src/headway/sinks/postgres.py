"""A Postgres table that is kept equal to the table of record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from headway.errors import ConfigError, DefinitionError, suggestion

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from headway.result import Result
    from headway.sink import Follower

__all__ = ["Postgres"]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A table in a Postgres database (15 or later), made from the result's columns where it is missing.

    The output time's window or session becomes two columns, such as `window_start` and
    `window_end`; other structs, arrays and maps become `jsonb`.
    """

    table: str
    """Table, or schema and table, such as `reporting.punctuality`."""
    keys: tuple[str, ...] = ()
    """Columns that identify a row; they get a unique index. Needed by `emit="early"` where a stream upserts."""
    database: str = "main"
    """Name of a section under `databases` in conf/."""

    section: ClassVar[str] = "databases"
    spark_settings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, table: str, keys: tuple[str, ...] | list[str] = (), *, database: str = "main") -> None:
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "keys", tuple(keys))
        object.__setattr__(self, "database", database)
        if table.count(".") > 1 or not all(table.split(".")):
            raise DefinitionError(
                f"{table!r} is no Postgres table", hint="Write it as table or schema.table."
            )

    def refuses(self, keys: tuple[str, ...], emit: str) -> str | None:
        """Return why it cannot follow: a stream that shows early upserts rows, by the same keys in both tables."""
        if emit == "early" and keys and set(self.keys) != set(keys):
            return f"emit='early' needs the keys of the Iceberg table on the sink {self.table!r}: {', '.join(keys)}"
        return None

    def follow(self, spark: SparkSession, settings: Mapping[str, Any], result: Result) -> Follower:
        """Open the table; see `headway.sink.FollowingSink.follow`.

        Args:
            spark: The session.
            settings: `databases`: connection strings by name.
            result: What the rows look like.

        Raises:
            ConfigError: conf/ does not name the database.
        """
        from headway.sinks.postgres_table import PostgresTable

        databases = settings["databases"]
        if self.database not in databases:
            raise ConfigError(
                f"the sink {self.table!r} names the database {self.database!r}, which conf/ does not have",
                hint=suggestion(self.database, list(databases))
                or f"Add `databases: {{{self.database}: {{dsn: ...}}}}`.",
            )
        return PostgresTable(self, dsn=databases[self.database], result=result)
