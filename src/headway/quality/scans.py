"""What `observe` cannot count: how often values repeat, which there are, and quantiles.

All repeats and sets are answered by one read of the needed columns, grouped by each rule's columns
in turn (GROUPING SETS) and then summed up, so that no worker or driver holds all distinct values.
Quantiles and medians take one more read. Exact quantiles keep each distinct value of a group and
its number in one task's memory, as GX's own do for the whole frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway.quality.counting import Domain

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["Repeats", "Scan"]

_BY = "__by"


@dataclass(frozen=True, slots=True)
class Repeats:
    """The names of what is known of some columns' values."""

    distinct: str
    """How many different values there are."""
    repeated: str
    """How many rows hold a value that another row holds too."""


@dataclass(slots=True)
class _Key:
    value: Column
    """What is grouped by; null rows do not count."""
    sets: dict[str, Sequence[Any]] = field(default_factory=dict)
    """Sets of which is counted how many of the values lie in them, by the count's name."""


class Scan:
    """Reads of one unit or of several at once."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str | None, ...], _Key] = {}
        self._quantiles: dict[str, tuple[Column, str]] = {}

    @property
    def is_needed(self) -> bool:
        """Whether any rule needs it."""
        return bool(self._keys or self._quantiles)

    def repeats(self, what: str, domain: Domain, value: Column) -> Repeats:
        """Ask how often values repeat; rows in which the value is null do not count."""
        number, _ = self._key(what, domain, value)
        return Repeats(f"k{number}_distinct", f"k{number}_repeated")

    def within(self, what: str, domain: Domain, value: Column, values: Sequence[Any]) -> tuple[str, str]:
        """Ask how many different values there are, and how many of them lie in a set."""
        number, key = self._key(what, domain, value)
        name = f"k{number}_in{len(key.sets)}"
        key.sets[name] = values
        return f"k{number}_distinct", name

    def quantile(self, domain: Domain, value: Column, expression: str) -> str:
        """Ask for a quantile of a number: an SQL expression over `{}`, without null and NaN."""
        from pyspark.sql import functions as F

        name = f"q{len(self._quantiles)}"
        number = value.cast("double")
        condition = domain.column()
        is_number = ~F.isnan(number) if condition is None else condition & ~F.isnan(number)
        self._quantiles[name] = (F.when(is_number, number), expression)
        return name

    def run(self, frame: DataFrame, by: Column | None) -> dict[Any, dict[str, Any]]:
        """Read the frame and return what was asked for, by unit; units without rows are not there."""
        found: dict[Any, dict[str, Any]] = {}
        for asked in (self._repeats(frame, by), self._numbers(frame, by)):
            for row in [] if asked is None else asked.collect():
                facts = row.asDict()
                found.setdefault(facts.pop(_BY, None), {}).update(facts)
        return found

    def analyse(self, frame: DataFrame) -> None:
        """Let Spark analyse the reads, without running them."""
        for asked in (self._repeats(frame, None), self._numbers(frame, None)):
            if asked is not None:
                asked.schema  # noqa: B018

    def _key(self, what: str, domain: Domain, value: Column) -> tuple[int, _Key]:
        from pyspark.sql import functions as F

        key = (what, domain.sql)
        if key not in self._keys:
            condition = domain.column()
            self._keys[key] = _Key(value if condition is None else F.when(condition, value))
        return list(self._keys).index(key), self._keys[key]

    def _repeats(self, frame: DataFrame, by: Column | None) -> DataFrame | None:
        from pyspark.sql import functions as F

        if not self._keys:
            return None
        selected, grouped = _unit(by)
        names = [f"k{number}" for number in range(len(self._keys))]
        read = frame.select(
            *selected, *[k.value.alias(n) for k, n in zip(self._keys.values(), names, strict=True)]
        )
        groups = (
            read.groupingSets([[*grouped, name] for name in names], *grouped, *names).agg(
                F.count(F.lit(1)).alias("__rows"), F.grouping_id().alias("__set")
            )
            if len(names) > 1
            else read.groupBy(*grouped, *names).agg(
                F.count(F.lit(1)).alias("__rows"), F.lit(0).alias("__set")
            )
        )
        asked = []
        for number, (name, key) in enumerate(zip(names, self._keys.values(), strict=True)):
            others = (1 << len(names)) - 1 - (1 << (len(names) - 1 - number)) if len(names) > 1 else 0
            counts = (F.col("__set") == others) & F.col(name).isNotNull()
            asked += [
                F.count(F.when(counts, 1)).alias(f"{name}_distinct"),
                F.coalesce(
                    F.sum(F.when(counts & (F.col("__rows") > 1), F.col("__rows"))), F.lit(0).cast("bigint")
                ).alias(f"{name}_repeated"),
                *[
                    F.count(F.when(counts & F.col(name).isin(list(values)), 1)).alias(own)
                    for own, values in key.sets.items()
                ],
            ]
        return groups.groupBy(*grouped).agg(*asked)

    def _numbers(self, frame: DataFrame, by: Column | None) -> DataFrame | None:
        from pyspark.sql import functions as F

        if not self._quantiles:
            return None
        selected, grouped = _unit(by)
        read = frame.select(*selected, *[value.alias(n) for n, (value, _) in self._quantiles.items()])
        return read.groupBy(*grouped).agg(
            *[F.expr(sql.format(n)).cast("string").alias(n) for n, (_, sql) in self._quantiles.items()]
        )


def _unit(by: Column | None) -> tuple[list[Column], list[str]]:
    """Return what a frame's unit is selected as, and the name to group by."""
    return ([], []) if by is None else ([by.alias(_BY)], [_BY])
