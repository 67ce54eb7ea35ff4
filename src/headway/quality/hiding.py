"""Leaving values out of results: what is kept, sent or shown tells nothing of columns that conf/ masks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from headway.quality.masking import is_masked

__all__ = ["hidden"]

_SHOWN = "***"
_SAMPLES = ("partial_unexpected", "unexpected_list", "unexpected_index", "unexpected_rows")
_COUNTED = (
    "expect_table_",
    "expect_column_to_exist",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_",
)
"""Expectations whose observed value is a number of rows or a name of the schema, not a value of the column."""


def hidden(result: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return GX's result of an expectation as people may see it.

    Of an expectation that speaks of a masked column, at any depth, only counts and percentages are left. What
    a query of one's own returns may come from any column.

    >>> hidden({"expectation_config": {"type": "expect_column_max_to_be_between", "kwargs": {"column": "pay"}},
    ...         "result": {"observed_value": 900}}, ["pay"])["result"]
    {'observed_value': '***'}
    """
    config = result["expectation_config"]
    if not columns or not _speaks_of(config["kwargs"], columns):
        return dict(result)
    found = {k: v for k, v in result["result"].items() if not k.startswith(_SAMPLES)}
    if not config["type"].startswith(_COUNTED):
        found = {k: _without_values(v) if k in ("observed_value", "details") else v for k, v in found.items()}
    raised = result.get("exception_info") or {}
    return {**result, "result": found, "exception_info": _without_words(raised)}


def _speaks_of(kwargs: Mapping[str, Any], columns: Collection[str]) -> bool:
    if "unexpected_rows_query" in kwargs:
        return True
    named: list[Any] = []
    for key, value in kwargs.items():
        if key.startswith("column"):
            named += value if isinstance(value, list) else [value]
    return any(is_masked(str(name), columns) for name in named)


def _without_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v if k == "quantiles" else _without_values(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_values(v) for v in value]
    return None if value is None else _SHOWN


def _without_words(raised: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what an exception says: engines quote the value that they failed at."""
    return {
        k: _without_words(v)
        if isinstance(v, dict)
        else _SHOWN
        if k in ("exception_message", "exception_traceback") and v
        else v
        for k, v in raised.items()
    }
