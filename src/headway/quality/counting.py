"""What is counted of a frame: each number once, however many rules need it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headway import instant

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession
    from pyspark.sql.types import DataType

__all__ = ["Counters", "Domain", "decoded", "encoded", "zone_of"]


@dataclass(frozen=True, slots=True)
class Domain:
    """The rows that a rule is about: those that meet its row condition."""

    sql: str | None = None

    def column(self) -> Column | None:
        """Return the condition, or None where every row is meant.

        Raises:
            ValueError: Spark cannot parse it.
        """
        from pyspark.errors import ParseException
        from pyspark.sql import functions as F

        if self.sql is None:
            return None
        try:
            return F.expr(self.sql)
        except ParseException as error:
            raise ValueError(f"row_condition {self.sql!r} is no SQL to Spark") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One number."""

    name: str
    value: Column
    of: Callable[[Column], Column]
    kept: Column | str | None
    """What is aggregated of rows that are all kept, or another number that is the same then; None where it is 0."""
    is_count: bool


class Counters:
    """Aggregates over the rows of a frame that a gate lets through.

    Args:
        prefix: What the aggregates' names begin with.
        gate: The rows that count, or None for all; a row that is kept is let through.
        full: References of columns that are null in no row that is kept.
        like: Others whose numbers are the same ones over rows that are all kept.
    """

    def __init__(
        self,
        prefix: str,
        gate: Column | None = None,
        *,
        full: Collection[str] = (),
        like: Counters | None = None,
    ) -> None:
        self._prefix = prefix
        self._full = full
        self._gate = gate
        self._like = like
        self._names: dict[tuple[str | None, ...], str] = {}
        self._parts: list[_Part] = []

    def columns(self) -> list[Column]:
        """Return the aggregates."""
        return [part.of(part.value).alias(part.name) for part in self._parts]

    def kept_columns(self, where: Column | None = None, before: str = "") -> list[Column]:
        """Return what has to be aggregated of rows that are all kept; `whole` makes the other numbers of it.

        Args:
            where: The rows that count, or None for all.
            before: Put before the aggregates' names.
        """
        from pyspark.sql import functions as F

        return [
            part.of(part.kept if where is None else F.when(where, part.kept)).alias(before + part.name)
            for part in self._parts
            if part.kept is not None and not isinstance(part.kept, str)
        ]

    def whole(self, counted: Mapping[str, Any]) -> dict[str, Any]:
        """Return all numbers, of those that `kept_columns` of these and of `like` have given; {} is of no rows."""
        found: dict[str, Any] = {}
        for part in self._parts:
            if part.kept is None:
                found[part.name] = 0
            elif isinstance(part.kept, str):
                found[part.name] = found.get(part.kept, counted.get(part.kept, 0 if part.is_count else None))
            else:
                found[part.name] = counted.get(part.name, 0 if part.is_count else None)
        return found

    def count(
        self,
        what: str,
        domain: Domain,
        value: Column | None = None,
        *,
        is_never: bool = False,
    ) -> str:
        """Count the rows of a domain, or those in which a value is not null; return the number's name.

        Args:
            what: Names the value: a column's reference where it is one.
            domain: The rows that count.
            value: None for every row.
            is_never: Where a row is kept, the value is null.
        """
        from pyspark.sql import functions as F

        same = self.count("rows", domain) if what in self._full else None
        number = F.lit(1) if value is None else value
        return self._add("count", what, domain, number, F.count, same=same, is_never=is_never)

    def aggregate(
        self, kind: str, what: str, domain: Domain, value: Column, of: Callable[[Column], Column]
    ) -> str:
        """Aggregate a value over the rows of a domain; return the result's name.

        Args:
            kind: Names the aggregate.
            what: Names the value; the same kind and value over the same domain is counted once.
            domain: The rows that count.
            value: What is aggregated.
            of: The aggregate, one that `observe` allows.
        """
        return self._add(kind, what, domain, value, of)

    def _add(
        self,
        kind: str,
        what: str,
        domain: Domain,
        value: Column,
        of: Callable[[Column], Column],
        *,
        same: str | None = None,
        is_never: bool = False,
    ) -> str:
        from pyspark.sql import functions as F

        key = (kind, what, domain.sql)
        if key not in self._names:
            name = f"{self._prefix}{len(self._names)}"
            condition = domain.column()
            own = value if condition is None else F.when(condition, value)
            known = same if self._like is None else self._like._names.get(key, same)
            self._names[key] = name
            self._parts.append(
                _Part(
                    name=name,
                    value=own if self._gate is None else F.when(self._gate, own),
                    of=of,
                    kept=None if is_never else known or own,
                    is_count=kind == "count",
                )
            )
        return self._names[key]


def encoded(aggregate: Column, type_: DataType) -> Column:
    """Return an aggregate as text, which JSON carries without loss."""
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    if isinstance(type_, T.TimestampType):
        return F.unix_micros(aggregate).cast("string")
    if isinstance(type_, T.FloatType):
        return aggregate.cast("double").cast("string")
    return aggregate.cast("string")


def decoded(text: str | None, type_: DataType, zone: tzinfo) -> Any:
    """Return what an aggregate was, as GX sees it: times without offset in the zone, decimals as floats."""
    from pyspark.sql import types as T

    if text is None:
        return None
    if isinstance(type_, T.BooleanType):
        return text == "true"
    if isinstance(type_, T.IntegralType):
        return int(text)
    if isinstance(type_, T.NumericType):
        return float(text)
    if isinstance(type_, T.DateType):
        return datetime.fromisoformat(text).date()
    if isinstance(type_, T.TimestampType):
        moment = instant.to_datetime(instant.clamp(int(text)))
        return moment.astimezone(zone).replace(tzinfo=None)
    if isinstance(type_, T.TimestampNTZType):
        return datetime.fromisoformat(text)
    return text


def zone_of(session: SparkSession) -> tzinfo:
    """Return the session's time zone."""
    name = str(session.conf.get("spark.sql.session.timeZone"))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        sign = -1 if "-" in name else 1
        digits = [int(part) for part in name.upper().lstrip("GMTUC+-Z").split(":") if part]
        hours, minutes = (*digits, 0, 0)[:2]
        return timezone(sign * timedelta(hours=hours, minutes=minutes)) if digits else UTC
