"""The expectations that headway compiles: what they are about and which parameters they take.

What is not named here, and rows conditions that only a whole query can answer, runs on Great
Expectations' own engine over one unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headway.quality import parameters as p

__all__ = ["KINDS", "Kind", "are_known", "can_compile", "columns_of", "faults_of", "read_parameters"]

_QUERY = re.compile(r"\b(select|over|exists)\b", re.IGNORECASE)
_ANYWHERE = frozenset({"batch_id", "catch_exceptions", "result_format", "windows"})
_CONDITION = frozenset({"condition_parser", "row_condition"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One expectation that is compiled."""

    about: Literal["row", "set"]
    """`row`: each row keeps or breaks it by itself. `set`: it is about many rows or about the schema."""

    columns: tuple[str, ...] = ("column",)
    """The parameters that name columns."""

    parameters: Mapping[str, p.Parameter] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    takes_condition: bool = True
    """Whether a row condition may restrict it."""

    may_be_unknown: bool = False
    """Whether a column that does not exist is a verdict, not a fault."""


_BOUNDS: dict[str, p.Parameter] = {
    "min_value": p.bound,
    "max_value": p.bound,
    "strict_min": p.truth,
    "strict_max": p.truth,
}
_MOSTLY: dict[str, p.Parameter] = {"mostly": p.share}
_PAIR = ("column_A", "column_B")
_MANY = ("column_list",)
_PAIR_IGNORES = p.choice("both_values_are_missing", "either_value_is_missing", "neither")
_MANY_IGNORES = p.choice("all_values_are_missing", "any_value_is_missing", "never")
_MATCH_ON = p.choice("any", "all")


def _of_row(*needs: str, **parameters: p.Parameter) -> Kind:
    return Kind(
        about="row", parameters={"column": p.the_text, **_MOSTLY, **parameters}, required=frozenset(needs)
    )


def _of_pair(*needs: str, **parameters: p.Parameter) -> Kind:
    named: dict[str, p.Parameter] = dict.fromkeys(_PAIR, p.the_text)
    return Kind(
        about="row",
        columns=_PAIR,
        parameters={**named, **_MOSTLY, "ignore_row_if": _PAIR_IGNORES, **parameters},
        required=frozenset(needs),
    )


def _of_many(about: Literal["row", "set"], *needs: str, **parameters: p.Parameter) -> Kind:
    return Kind(
        about=about,
        columns=_MANY,
        parameters={"column_list": _columns, **_MOSTLY, "ignore_row_if": _MANY_IGNORES, **parameters},
        required=frozenset(needs),
    )


def _of_set(*needs: str, **parameters: p.Parameter) -> Kind:
    return Kind(about="set", parameters={"column": p.the_text, **parameters}, required=frozenset(needs))


def _of_table(*needs: str, **parameters: p.Parameter) -> Kind:
    return Kind(
        about="set", columns=(), parameters=parameters, required=frozenset(needs), takes_condition=False
    )


def _of_rows(*needs: str, **parameters: p.Parameter) -> Kind:
    return Kind(about="set", columns=(), parameters=parameters, required=frozenset(needs))


def _columns(value: Any) -> list[str]:
    found = p.texts(value)
    if len(found) < 2:
        raise ValueError("must name at least two columns")
    return found


def _names(value: Any) -> list[str] | None:
    return None if value is None else p.values(value)


def _escape(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) != 1):
        raise ValueError("must be a single character")
    return value


def _quantiles(value: Any) -> Mapping[str, Any]:
    try:
        shares = [p.share(q) for q in value["quantiles"]]
        ranges = [[None if v is None else p.number(v) for v in pair] for pair in value["value_ranges"]]
    except (KeyError, TypeError) as error:
        raise ValueError("must hold quantiles and value_ranges") from error
    if len(shares) != len(ranges) or any(len(pair) != 2 for pair in ranges):
        raise ValueError("must hold a pair in value_ranges for each of quantiles")
    for low, high in ranges:
        if low is not None and high is not None and low > high:
            raise ValueError("must hold ordered pairs in value_ranges")
    return {"quantiles": shares, "value_ranges": ranges}


def _exact(value: Any) -> bool:
    if value is not False:
        raise ValueError("other than false is left to Great Expectations")
    return False


_BETWEEN = _of_set(**_BOUNDS)
_SHARES = _of_set(**{**_BOUNDS, "min_value": p.number, "max_value": p.number})
_LIKE = _of_row("like_pattern", like_pattern=p.the_text, escape=_escape)

KINDS: Mapping[str, Kind] = {
    "expect_column_values_to_not_be_null": _of_row(),
    "expect_column_values_to_be_null": _of_row(),
    "expect_column_values_to_be_in_set": _of_row("value_set", value_set=p.values),
    "expect_column_values_to_not_be_in_set": _of_row("value_set", value_set=p.values),
    "expect_column_values_to_be_between": _of_row(**_BOUNDS),
    "expect_column_values_to_match_regex": _of_row(regex=p.the_text),
    "expect_column_values_to_not_match_regex": _of_row("regex", regex=p.the_text),
    "expect_column_values_to_match_regex_list": _of_row("regex_list", regex_list=p.texts, match_on=_MATCH_ON),
    "expect_column_values_to_not_match_regex_list": _of_row("regex_list", regex_list=p.texts),
    "expect_column_values_to_match_like_pattern": _LIKE,
    "expect_column_values_to_not_match_like_pattern": _LIKE,
    "expect_column_values_to_match_like_pattern_list": _of_row(
        "like_pattern_list", like_pattern_list=p.texts, match_on=_MATCH_ON, escape=_escape
    ),
    "expect_column_values_to_not_match_like_pattern_list": _of_row(
        "like_pattern_list", like_pattern_list=p.texts, escape=_escape
    ),
    "expect_column_value_lengths_to_be_between": _of_row(
        **{**_BOUNDS, "min_value": p.whole, "max_value": p.whole}
    ),
    "expect_column_value_lengths_to_equal": _of_row("value", value=p.number),
    "expect_column_values_to_be_json_parseable": _of_row(),
    "expect_column_values_to_match_strftime_format": _of_row("strftime_format", strftime_format=p.the_text),
    "expect_column_pair_values_to_be_equal": _of_pair(),
    "expect_column_pair_values_a_to_be_greater_than_b": _of_pair(or_equal=p.truth),
    "expect_column_pair_values_to_be_in_set": _of_pair("value_pairs_set", value_pairs_set=p.pairs),
    "expect_multicolumn_sum_to_equal": _of_many("row", "sum_total", sum_total=p.number),
    "expect_multicolumn_values_to_be_equal": _of_many("row"),
    "expect_select_column_values_to_be_unique_within_record": _of_many("row"),
    "expect_compound_columns_to_be_unique": _of_many("set"),
    "expect_column_values_to_be_unique": _of_set(**_MOSTLY),
    "expect_column_values_to_be_of_type": _of_set("type_", type_=p.the_text, **_MOSTLY),
    "expect_column_values_to_be_in_type_list": _of_set("type_list", type_list=_names, **_MOSTLY),
    "expect_column_type_to_be": Kind(
        about="set",
        parameters={"column": p.the_text, "type_": p.the_text},
        required=frozenset({"type_"}),
        takes_condition=False,
    ),
    "expect_column_to_exist": Kind(
        about="set",
        parameters={"column": p.the_text, "column_index": p.whole},
        takes_condition=False,
        may_be_unknown=True,
    ),
    "expect_column_min_to_be_between": _BETWEEN,
    "expect_column_max_to_be_between": _BETWEEN,
    "expect_column_mean_to_be_between": _BETWEEN,
    "expect_column_sum_to_be_between": _BETWEEN,
    "expect_column_median_to_be_between": _BETWEEN,
    "expect_column_stdev_to_be_between": _SHARES,
    "expect_column_proportion_of_non_null_values_to_be_between": _SHARES,
    "expect_column_proportion_of_unique_values_to_be_between": _SHARES,
    "expect_column_unique_value_count_to_be_between": _of_set(
        **{**_BOUNDS, "min_value": p.whole, "max_value": p.whole}
    ),
    "expect_column_distinct_values_to_be_in_set": _of_set("value_set", value_set=p.values),
    "expect_column_distinct_values_to_contain_set": _of_set("value_set", value_set=p.values),
    "expect_column_distinct_values_to_equal_set": _of_set("value_set", value_set=p.values),
    "expect_column_quantile_values_to_be_between": _of_set(
        "quantile_ranges", quantile_ranges=_quantiles, allow_relative_error=_exact
    ),
    "expect_table_row_count_to_equal": _of_rows("value", value=p.whole),
    "expect_table_row_count_to_be_between": _of_rows(
        **{**_BOUNDS, "min_value": p.whole, "max_value": p.whole}
    ),
    "expect_table_column_count_to_equal": _of_table("value", value=p.whole),
    "expect_table_column_count_to_be_between": _of_table(min_value=p.bound, max_value=p.bound),
    "expect_table_columns_to_match_ordered_list": _of_table("column_list", column_list=_names),
    "expect_table_columns_to_match_set": _of_table("column_set", column_set=_names, exact_match=p.truth),
}

_NEEDS_A_BOUND = frozenset(
    {
        "expect_column_values_to_be_between",
        "expect_column_value_lengths_to_be_between",
    }
)


def are_known(kind: Kind) -> frozenset[str]:
    """Return the parameters that an expectation may have."""
    return frozenset(kind.parameters) | _ANYWHERE | (_CONDITION if kind.takes_condition else frozenset())


def can_compile(type_: str, kwargs: Mapping[str, Any]) -> bool:
    """Say whether headway compiles an expectation with these parameters."""
    if type_ not in KINDS or kwargs.get("allow_relative_error"):
        return False
    condition = kwargs.get("row_condition")
    if isinstance(condition, Mapping):
        condition = condition.get("pass_through_filter")
    return not (isinstance(condition, str) and _QUERY.search(condition))


def columns_of(type_: str, kwargs: Mapping[str, Any]) -> list[str]:
    """Return the columns that an expectation names, in its order."""
    keys = KINDS[type_].columns if type_ in KINDS else ("column", *_PAIR, *_MANY)
    found: list[str] = []
    for key in keys:
        value = kwargs.get(key)
        found += [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
    return found


def faults_of(type_: str, kwargs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with an expectation's parameters: (parameter, what), one for each."""
    kind = KINDS[type_]
    found = [(key, f"unknown parameter {key!r}") for key in kwargs if key not in are_known(kind)]
    for key in sorted(kind.required | set(kind.columns)):
        if kwargs.get(key) is None and not (
            key in kwargs and key in {"type_list", "column_list", "column_set"}
        ):
            found.append((key, f"parameter {key!r} is missing"))
    for key, read in kind.parameters.items():
        if kwargs.get(key) is not None:
            try:
                read(kwargs[key])
            except ValueError as error:
                found.append((key, f"{key!r} {error}"))
    if type_ in _NEEDS_A_BOUND and kwargs.get("min_value") is None and kwargs.get("max_value") is None:
        found.append(("min_value", "min_value and max_value cannot both be missing"))
    if (
        not found
        and not kwargs.get("value_set", [0])
        and type_ == "expect_column_distinct_values_to_be_in_set"
    ):
        found.append(("value_set", "'value_set' is empty"))
    return found


def read_parameters(type_: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return an expectation's parameters as GX reads them; those left out, or null, are missing."""
    kind = KINDS[type_]
    return {key: read(kwargs[key]) for key, read in kind.parameters.items() if kwargs.get(key) is not None}
