"""What the rows of a pipeline look like to whoever stores them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway import instant
from headway.interval import Interval

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

__all__ = ["Result", "mismatches", "quoted_column", "types"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Which column places a row in an interval, and which ones identify it."""

    output_time: str
    is_window: bool
    """Whether the output time is a struct whose `end` - 1 µs counts."""
    keys: tuple[str, ...]
    """Keys of the table of record; empty where rows have none."""

    def condition(self, interval: Interval) -> str:
        """Return the SQL condition, as Spark reads it, that a row's output time lies in an interval."""
        start, end = (f"TIMESTAMP '{instant.iso(t)}'" for t in (interval.start, interval.end))
        column = quoted_column(self.output_time)
        if self.is_window:
            return f"{column}.`end` > {start} AND {column}.`end` <= {end}"
        return f"{column} >= {start} AND {column} < {end}"

    @property
    def moment(self) -> str:
        """A row's output time in microseconds, in Spark's SQL."""
        column = quoted_column(self.output_time)
        return f"unix_micros({column}.`end`) - 1" if self.is_window else f"unix_micros({column})"

    def any_of(self, ranges: Collection[Interval]) -> str:
        """Return the SQL condition that a row's output time lies in one of several ranges."""
        return " OR ".join(f"({self.condition(r)})" for r in ranges) or "false"

    def same_keys(self, left: str, right: str) -> str:
        """Return the SQL condition that the rows of two aliases have the same keys."""
        return " AND ".join(f"{left}.{quoted_column(k)} <=> {right}.{quoted_column(k)}" for k in self.keys)


def quoted_column(column: str) -> str:
    """Quote a column's name as Spark's SQL wants it."""
    return "`" + column.replace("`", "``") + "`"


def types(schema: StructType) -> dict[str, str]:
    """Return the types of columns by name, as Spark's SQL writes them."""
    return {field.name: field.dataType.simpleString() for field in schema}


def mismatches(table: Mapping[str, str], result: Mapping[str, str]) -> list[str]:
    """Return why a table does not take a result; both are types by column. A new column is no reason."""
    lost = [f"{name} ({kind}) is not in the result" for name, kind in table.items() if name not in result]
    return lost + [
        f"{name} is {kind} in the result and {table[name]} in the table"
        for name, kind in result.items()
        if name in table and table[name] != kind
    ]
