"""What is counted of a frame: each number once, however many rules need it."""

from __future__ import annotations

from collections.abc import Callable
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


class Counters:
    """Aggregates over the rows of a frame that a gate lets through.

    Args:
        prefix: What the aggregates' names begin with.
        gate: The rows that count, or None for all.
    """

    def __init__(self, prefix: str, gate: Column | None = None) -> None:
        self._prefix = prefix
        self._gate = gate
        self._names: dict[tuple[str | None, ...], str] = {}
        self._parts: list[tuple[str, Column, Callable[[Column], Column]]] = []

    def columns(self, where: Column | None = None, before: str = "") -> list[Column]:
        """Return the aggregates, over the rows of a condition alone, with something put before their names."""
        from pyspark.sql import functions as F

        return [
            of(value if where is None else F.when(where, value)).alias(before + name)
            for name, value, of in self._parts
        ]

    def count(self, what: str, domain: Domain, value: Column | None = None) -> str:
        """Count the rows of a domain, or those in which a value is not null; return the number's name."""
        from pyspark.sql import functions as F

        return self.aggregate("count", what, domain, F.lit(1) if value is None else value, F.count)

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
        from pyspark.sql import functions as F

        key = (kind, what, domain.sql)
        if key not in self._names:
            name = f"{self._prefix}{len(self._names)}"
            condition = domain.column()
            gates = [gate for gate in (self._gate, condition) if gate is not None]
            for gate in gates:
                value = F.when(gate, value)
            self._names[key] = name
            self._parts.append((name, value, of))
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
