"""Rules about a set of rows, and about the schema: what they need counted and how they are judged.

What differs, because GX 1.24 has no answer on Spark:

- Means, sums, medians and quantiles of nested fields and of columns with dots, the distinct values of the
  latter, on which it fails, and means of `tinyint` and `smallint`, which it refuses, are computed.
- Bounds that mix a date with a time, or have an offset, on which it fails, are compared each by itself.
- A sum or mean of decimals that overflows, which stops it, is no number and breaks the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

from headway.errors import suggestion
from headway.quality import comparing, results, rows
from headway.quality.columns import Columns
from headway.quality.counting import Counters, Domain, decoded, encoded
from headway.quality.results import Judgement
from headway.quality.rows import Subject
from headway.quality.scans import Scan

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

__all__ = ["JUDGES", "Judge", "Means"]

Judge: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], Judgement]
"""Judges a unit from what was counted of it and what its scan has found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a rule about a set may have counted."""

    subject: Subject
    schema: Columns
    domain: Domain
    counters: Counters
    scan: Scan
    zone: tzinfo

    def elements(self) -> str:
        """Have the rows counted."""
        return self.counters.count("rows", self.domain)

    def present(self) -> str:
        """Have the rows counted in which the rule's column is not null."""
        named = self.subject.first
        return self.counters.count(named.reference, self.domain, named.column())

    def within(self, value: Any) -> Judgement:
        """Judge whether a value lies within the rule's bounds."""
        return results.within_result(value, self.subject.parameters, self.zone)


def _row_count(means: Means) -> Judge:
    name = means.elements()
    return lambda tally, _: means.within(tally[name])


def _row_count_equal(means: Means) -> Judge:
    name = means.elements()
    wanted = means.subject.get("value")
    return lambda tally, _: (tally[name] == wanted, {"observed_value": tally[name]})


def _extreme(means: Means, *, kind: str) -> Judge:
    from pyspark.sql import functions as F

    named = means.subject.first
    family = comparing.family(named.type)
    bounds = [means.subject.get("min_value"), means.subject.get("max_value")]
    if family not in {"number", "text", "truth", "time"}:
        raise ValueError(f"column {named.name!r} is {named.type.simpleString()}, which has no least value")
    if family != "truth":
        comparing.refuse_values(means.subject.session, named.name, named.type, bounds)
    elif any(b is not None and not isinstance(b, float) for b in bounds):
        raise ValueError(f"column {named.name!r} is {named.type.simpleString()}, not comparable with a time")
    return _observed(means, kind, F.max if kind == "max" else F.min, named.type)


def _number(means: Means, *, kind: str) -> Judge:
    from pyspark.sql import functions as F
    from pyspark.sql.types import DecimalType, DoubleType, IntegralType

    named = means.subject.first
    if comparing.family(named.type) != "number":
        raise ValueError(f"column {named.name!r} is {named.type.simpleString()}, not a number")
    bounds = [means.subject.get("min_value"), means.subject.get("max_value")]
    comparing.refuse_values(means.subject.session, named.name, named.type, bounds)
    is_decimal = isinstance(named.type, DecimalType)

    def total(value: Column) -> Column:
        return F.sum(value.cast("double") if isinstance(named.type, IntegralType) else value)

    if kind == "mean" and not is_decimal:  # as Spark's own mean: the sum of doubles by the number of values
        present, whole = means.present(), _aggregated(means, "sum", total, DoubleType())
        return lambda tally, _: means.within(
            decoded(tally[whole], DoubleType(), means.zone) / tally[present] if tally[present] else None
        )
    of = {
        "sum": F.try_sum if is_decimal else total,
        "mean": F.try_avg,
        "stdev": F.stddev_samp,
    }[kind]
    return _observed(means, kind, of, DoubleType())


def _aggregated(means: Means, kind: str, of: Callable[[Column], Column], type_: DataType) -> str:
    named = means.subject.first
    return means.counters.aggregate(
        kind, named.reference, means.domain, named.column(), lambda value: encoded(of(value), type_)
    )


def _observed(means: Means, kind: str, of: Callable[[Column], Column], type_: DataType) -> Judge:
    name = _aggregated(means, kind, of, type_)
    return lambda tally, _: means.within(decoded(tally[name], type_, means.zone))


def _share_present(means: Means) -> Judge:
    elements, present = means.elements(), means.present()
    return lambda tally, _: means.within(tally[present] / tally[elements] if tally[elements] else 0)


def _unique(means: Means) -> Judge:
    named = means.subject.first
    elements, present = means.elements(), means.present()
    repeats = means.scan.repeats(named.reference, means.domain, named.column())
    mostly = means.subject.get("mostly", 1.0)
    return lambda tally, scan: results.map_result(
        tally[elements], tally[present], scan.get(repeats.repeated, 0), mostly
    )


def _compound_unique(means: Means) -> Judge:
    from pyspark.sql import functions as F

    subject = means.subject
    passed_over = rows.ignored(subject)
    whole = F.struct(*[named.column().alias(f"c{n}") for n, named in enumerate(subject.columns)])
    value = whole if passed_over is None else F.when(~passed_over, whole)
    what = f"{subject.get('ignore_row_if')}: {', '.join(named.reference for named in subject.columns)}"
    elements, considered = means.elements(), means.counters.count(what, means.domain, value)
    repeats = means.scan.repeats(what, means.domain, value)
    mostly = subject.get("mostly", 1.0)
    return lambda tally, scan: results.map_result(
        tally[elements], tally[considered], scan.get(repeats.repeated, 0), mostly
    )


def _unique_count(means: Means) -> Judge:
    named = means.subject.first
    repeats = means.scan.repeats(named.reference, means.domain, named.column())
    return lambda _, scan: means.within(scan.get(repeats.distinct, 0))


def _unique_share(means: Means) -> Judge:
    named = means.subject.first
    present = means.present()
    repeats = means.scan.repeats(named.reference, means.domain, named.column())
    return lambda tally, scan: means.within(
        scan.get(repeats.distinct, 0) / tally[present] if tally[present] else 0
    )


def _distinct(means: Means, *, may_have_others: bool, needs_all: bool) -> Judge:
    named, values = means.subject.first, means.subject.get("value_set")
    comparing.refuse_values(means.subject.session, named.name, named.type, values)
    distinct, known = means.scan.within(named.reference, means.domain, named.column(), values)

    def judge(_: Mapping[str, Any], scan: Mapping[str, Any]) -> Judgement:
        found = scan.get(known, 0)
        unexpected, missing = scan.get(distinct, 0) - found, len(values) - found
        result: dict[str, Any] = {"observed_value": None}
        if not may_have_others:
            result["unexpected_count"] = unexpected
        if needs_all:
            result["missing_count"] = missing
        return (may_have_others or unexpected == 0) and (not needs_all or missing == 0), result

    return judge


def _quantiles(means: Means) -> Judge:
    named = means.subject.first
    _refuse_no_number(means)
    asked = means.subject.get("quantile_ranges")
    names = [
        means.scan.quantile(
            means.domain, named.column(), f"percentile_disc({q!r}) WITHIN GROUP (ORDER BY {{}})"
        )
        for q in asked["quantiles"]
    ]

    def judge(_: Mapping[str, Any], scan: Mapping[str, Any]) -> Judgement:
        observed = [None if scan.get(name) is None else float(scan[name]) for name in names]
        return results.quantile_result(observed, asked["quantiles"], asked["value_ranges"])

    return judge


def _median(means: Means) -> Judge:
    named = means.subject.first
    _refuse_no_number(means)
    name = means.scan.quantile(means.domain, named.column(), "median({})")
    return lambda _, scan: means.within(None if scan.get(name) is None else float(scan[name]))


def _refuse_no_number(means: Means) -> None:
    named = means.subject.first
    if comparing.family(named.type) != "number":
        raise ValueError(f"column {named.name!r} is {named.type.simpleString()}, not a number")


def _type(means: Means) -> Judge:
    wanted = means.subject.get("type_")
    kept = _is_one_of(means.subject.first.type, [wanted])
    if kept is None:
        raise ValueError(f"{wanted!r} is no type of Spark. {suggestion(wanted, _types())}")
    return _always(kept, {"observed_value": type(means.subject.first.type).__name__})


def _type_list(means: Means) -> Judge:
    wanted = means.subject.get("type_list")
    kept = True if wanted is None else _is_one_of(means.subject.first.type, wanted)
    if kept is None:
        raise ValueError(f"none of {wanted} is a type of Spark")
    return _always(kept, {"observed_value": type(means.subject.first.type).__name__})


def _types() -> dict[str, type]:
    from pyspark.sql import types as T

    return {
        name: each
        for name, each in vars(T).items()
        if isinstance(each, type) and issubclass(each, T.DataType)
    }


def _is_one_of(own: DataType, names: list[str]) -> bool | None:
    """Return whether a type is one of those named, or None where none of the names is a type."""
    known = _types()
    wanted = tuple(known[name] for name in names if name in known)
    return isinstance(own, wanted) if wanted else None


def _exists(means: Means) -> Judge:
    wanted, place = means.subject.get("column"), means.subject.get("column_index")
    names = means.schema.names
    if not place:
        return _always(wanted in names, {})
    return _always(-len(names) <= place < len(names) and names[place] == wanted, {})


def _column_count(means: Means) -> Judge:
    count = len(means.schema.names)
    return lambda *_: means.within(count)


def _column_count_equal(means: Means) -> Judge:
    count = len(means.schema.names)
    return _always(count == means.subject.get("value"), {"observed_value": count})


def _ordered(means: Means) -> Judge:
    names, wanted = means.schema.names, means.subject.get("column_list")
    if wanted is None or names == wanted:
        return _always(True, {"observed_value": names})
    mismatched = [
        {"Expected Column Position": place, "Expected": expected, "Found": found}
        for place, (expected, found) in enumerate(zip_longest(wanted, names))
        if expected != found
    ]
    return _always(False, {"observed_value": names, "details": {"mismatched": mismatched}})


def _column_set(means: Means) -> Judge:
    names, wanted = set(means.schema.names), set(means.subject.get("column_set") or ())
    result: dict[str, Any] = {"observed_value": sorted(names)}
    sides = {"unexpected": sorted(names - wanted), "missing": sorted(wanted - names)}
    mismatched = {side: found for side, found in sides.items() if found}
    if mismatched:
        result["details"] = {"mismatched": mismatched}
    is_exact = means.subject.get("exact_match", True)
    return _always(not mismatched or (not is_exact and not sides["missing"]), result)


def _always(kept: bool, result: dict[str, Any]) -> Judge:
    return lambda *_: (kept, dict(result))


JUDGES: Mapping[str, Callable[[Means], Judge]] = {
    "expect_table_row_count_to_be_between": _row_count,
    "expect_table_row_count_to_equal": _row_count_equal,
    "expect_column_min_to_be_between": partial(_extreme, kind="min"),
    "expect_column_max_to_be_between": partial(_extreme, kind="max"),
    "expect_column_mean_to_be_between": partial(_number, kind="mean"),
    "expect_column_sum_to_be_between": partial(_number, kind="sum"),
    "expect_column_stdev_to_be_between": partial(_number, kind="stdev"),
    "expect_column_median_to_be_between": _median,
    "expect_column_quantile_values_to_be_between": _quantiles,
    "expect_column_proportion_of_non_null_values_to_be_between": _share_present,
    "expect_column_proportion_of_unique_values_to_be_between": _unique_share,
    "expect_column_unique_value_count_to_be_between": _unique_count,
    "expect_column_values_to_be_unique": _unique,
    "expect_compound_columns_to_be_unique": _compound_unique,
    "expect_column_distinct_values_to_be_in_set": partial(_distinct, may_have_others=False, needs_all=False),
    "expect_column_distinct_values_to_contain_set": partial(_distinct, may_have_others=True, needs_all=True),
    "expect_column_distinct_values_to_equal_set": partial(_distinct, may_have_others=False, needs_all=True),
    "expect_column_values_to_be_of_type": _type,
    "expect_column_type_to_be": _type,
    "expect_column_values_to_be_in_type_list": _type_list,
    "expect_column_to_exist": _exists,
    "expect_table_column_count_to_be_between": _column_count,
    "expect_table_column_count_to_equal": _column_count_equal,
    "expect_table_columns_to_match_ordered_list": _ordered,
    "expect_table_columns_to_match_set": _column_set,
}
"""What prepares the judging of each rule about a set; a ValueError says why it cannot be."""
