"""What rows look like: the facts that a first suite is proposed from, read in two passes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headway.interval import Grid
from headway.quality.columns import Columns, Named
from headway.quality.units import key_of, start_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

__all__ = ["FEW", "PATTERNS", "Profile", "Seen", "profile"]

FEW = 20
"""Up to so many distinct texts are told one by one."""

PATTERNS = (
    "^[0-9]{%}$",
    "^[A-Z]{%}$",
    "^[a-z]{%}$",
    "^[A-Z0-9]{%}$",
    "^[a-z0-9]{%}$",
    "^[A-Za-z]{%}$",
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    r"^https?://\S+$",
    "^[A-Za-z0-9]{%}$",
    "^[A-Za-z0-9_-]{%}$",
)
"""Patterns that are tried, the most telling first; `{%}` stands for the lengths that are seen."""

Kind = Literal["text", "whole", "fraction", "time", "other"]
_UNIT, _ROWS = "unit", "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a column or nested field."""

    name: str
    """What GX calls it."""
    kind: Kind
    filled: int
    """How many rows have a value."""
    least_filled: float
    """The least share of rows with a value in a unit."""
    low: float | str | None = None
    """The least number, or the date of the first time; None where there is none, or it is infinite."""
    high: float | str | None = None
    """The greatest number; None where there is none, or it is infinite, or one is NaN."""
    values: tuple[str, ...] = ()
    """All texts, sorted, where they are few."""
    distinct: int = 0
    """About how many texts there are."""
    lengths: tuple[int, int] = (0, 0)
    """Of the shortest and the longest text."""
    patterns: tuple[str, ...] = ()
    """Those of `PATTERNS` that every text fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What was seen of some rows."""

    rows: int
    units: tuple[int, ...]
    """Rows of each unit from the first with a row to the last, in order."""
    columns: tuple[Seen, ...]


def profile(frame: DataFrame, moment: str, units: Grid, *, mask: Collection[str] = ()) -> Profile:
    """Read rows twice, once as a whole and once by unit.

    Args:
        frame: The rows. Of a struct each field is looked at; of arrays and maps only whether they are there.
        moment: A row's output time in microseconds, in Spark's SQL.
        units: What cuts the rows into units.
        mask: Columns of which nothing is looked at but whether they have a value.
    """
    from pyspark.sql import functions as F

    leaves = [named for named in Columns(frame.schema).all if not hasattr(named.type, "fields")]
    kinds: dict[Named, Kind] = {
        named: "other" if set(named.path) & set(mask) else _kind(named.type) for named in leaves
    }
    aggregates = [
        column.alias(f"{n}_{what}")
        for n, (named, kind) in enumerate(kinds.items())
        for what, column in _facts(named.column(), kind).items()
    ]
    whole = frame.agg(F.count(F.lit(1)).alias(_ROWS), *aggregates).first()
    assert whole is not None
    facts: dict[str, Any] = whole.asDict()
    few = [n for n, kind in enumerate(kinds.values()) if kind == "text" and facts[f"{n}_distinct"] <= FEW]
    by_unit = frame.groupBy(key_of(F.expr(moment), units).alias(_UNIT)).agg(
        F.count(F.lit(1)).alias(_ROWS),
        *[F.count(named.column()).alias(f"{n}_filled") for n, named in enumerate(leaves)],
        *[F.collect_set(leaves[n].column()).alias(f"{n}_values") for n in few],
    )
    counts: dict[int, int] = {}
    least = [1.0] * len(leaves)
    values: list[set[str]] = [set() for _ in leaves]
    for row in by_unit.toLocalIterator():
        counts[start_of(row[_UNIT], units)] = row[_ROWS]
        least = [min(so_far, row[f"{n}_filled"] / row[_ROWS]) for n, so_far in enumerate(least)]
        for n in few:
            values[n] |= set(row[f"{n}_values"])
    return Profile(
        rows=facts[_ROWS],
        units=_in_order(counts, units),
        columns=tuple(
            _seen(named, kind, facts, n, least[n], values[n]) for n, (named, kind) in enumerate(kinds.items())
        ),
    )


def _kind(type_: DataType) -> Kind:
    name = type_.typeName()
    if name in ("byte", "short", "integer", "long"):
        return "whole"
    if name in ("float", "double") or name.startswith("decimal"):
        return "fraction"
    if name in ("date", "timestamp", "timestamp_ntz"):
        return "time"
    return "text" if name in ("string", "varchar", "char") else "other"


def _facts(column: Column, kind: Kind) -> dict[str, Column]:
    """Return what is counted of a column in the first pass."""
    from pyspark.sql import functions as F

    facts = {"filled": F.count(column)}
    if kind in ("whole", "fraction"):
        number = column.cast("double")
        # Spark takes NaN for greater than any number.
        facts |= {"low": F.min(F.when(~F.isnan(number), number)), "high": F.max(number)}
    elif kind == "time":
        facts |= {"low": F.min(column).cast("date").cast("string")}
    elif kind == "text":
        length = F.length(column)
        fits = [F.bool_and(column.rlike(pattern.replace("{%}", "*"))) for pattern in PATTERNS]
        facts |= {
            "distinct": F.approx_count_distinct(column),
            "shortest": F.min(length),
            "longest": F.max(length),
            "fits": F.array(*fits),
        }
    return facts


def _seen(
    named: Named, kind: Kind, facts: Mapping[str, Any], number: int, least: float, values: set[str]
) -> Seen:
    low, high = (_finite(facts.get(f"{number}_{end}")) for end in ("low", "high"))
    fits = facts.get(f"{number}_fits") or ()
    return Seen(
        name=named.name,
        kind=kind,
        filled=facts[f"{number}_filled"],
        least_filled=least,
        low=low,
        high=high,
        # The first pass knows only about how many there are.
        values=tuple(sorted(values)) if len(values) <= FEW else (),
        distinct=facts.get(f"{number}_distinct", 0),
        lengths=(facts.get(f"{number}_shortest") or 0, facts.get(f"{number}_longest") or 0),
        patterns=tuple(p for p, all_fit in zip(PATTERNS, fits, strict=False) if all_fit),
    )


def _finite(end: float | str | None) -> float | str | None:
    return None if isinstance(end, float) and not math.isfinite(end) else end


def _in_order(counts: Mapping[int, int], units: Grid) -> tuple[int, ...]:
    """Return the rows of each unit, also of those between that have none."""
    if not counts:
        return ()
    spans = units.intervals(min(counts), units.after(max(counts)))
    return tuple(counts.get(span.start, 0) for span in spans)
