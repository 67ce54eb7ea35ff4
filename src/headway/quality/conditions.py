"""A rule's row condition as Spark SQL, exactly as Great Expectations hands it to Spark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway.quality.columns import quoted

__all__ = ["Comparison", "comparisons_of", "sql_of"]

_PARSERS = frozenset({"great_expectations", "great_expectations__experimental__"})
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_TEXT = r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')"
_GRAMMAR = re.compile(
    rf'\s*col\("(?P<column>[^"]+)"\)\s*(?:(?P<notnull>\.notnull\(\))|'
    rf"(?P<op>>=|<=|==|!=|>|<)\s*(?:(?P<number>{_NUMBER})|(?:date\(\s*)?{_TEXT}(?:\s*\))?))\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column compared with one value or several."""

    column: str
    values: tuple[Any, ...]


def sql_of(condition: Any, parser: str | None) -> str | None:
    """Return the condition's SQL, or None where there is none.

    >>> sql_of('col("a") >= 5', "great_expectations")
    '`a` >= 5'
    >>> sql_of("a > 5", "spark")
    'a > 5'

    Raises:
        ValueError: It is no condition.
    """
    tree = _tree(condition, parser)
    return None if tree is None else _sql(tree)


def comparisons_of(condition: Any, parser: str | None) -> list[Comparison]:
    """Return the comparisons with values of a condition; none of one that is plain SQL."""
    tree = _tree(condition, parser)
    return [] if tree is None else list(_comparisons(tree))


def _tree(condition: Any, parser: str | None) -> Mapping[str, Any] | None:
    """Return a condition as GX's typed conditions are written in JSON."""
    if condition is None or condition == "":
        return None
    if isinstance(condition, Mapping):
        return condition
    if not isinstance(condition, str):
        raise ValueError(f"row_condition must be a text or a condition, not {condition!r}")  # noqa: TRY004
    if parser not in _PARSERS:
        return {"type": "pass_through", "pass_through_filter": condition}
    found = _GRAMMAR.fullmatch(condition)
    if found is None:
        raise ValueError(f"row_condition {condition!r} is not one comparison of one column")
    column = {"name": found["column"]}
    if found["notnull"]:
        return {"type": "nullity", "column": column, "is_null": False}
    value: Any = found["double"] if found["double"] is not None else found["single"]
    if found["number"] is not None:
        is_whole = re.fullmatch(r"[+-]?\d+", found["number"])
        value = int(found["number"]) if is_whole else float(found["number"])
    return {"type": "comparison", "column": column, "operator": found["op"], "parameter": value}


def _sql(tree: Mapping[str, Any]) -> str:
    try:
        kind = tree["type"]
        if kind == "pass_through":
            return str(tree["pass_through_filter"])
        if kind in {"and", "or"}:
            parts = [_sql(each) for each in tree["conditions"]]
            return "(" + f" {kind.upper()} ".join(parts) + ")"
        column = quoted(tree["column"]["name"])
        if kind == "nullity":
            return f"{column} IS NULL" if tree["is_null"] else f"{column} IS NOT NULL"
        operator, value = tree["operator"], tree["parameter"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"row_condition is no condition of Great Expectations: {dict(tree)}") from error
    if kind != "comparison" or value is None:
        raise ValueError(f"row_condition is no condition of Great Expectations: {dict(tree)}")
    if operator in {"IN", "NOT_IN"}:
        if not value:
            raise ValueError("row_condition has an empty list, which SQL does not know")
        return f"{column} {operator.replace('_', ' ')} ({', '.join(map(repr, value))})"
    return f"{column} {operator} {value!r}"


def _comparisons(tree: Mapping[str, Any]) -> list[Comparison]:
    if tree["type"] in {"and", "or"}:
        return [found for each in tree["conditions"] for found in _comparisons(each)]
    if tree["type"] != "comparison":
        return []
    value = tree["parameter"]
    return [Comparison(tree["column"]["name"], tuple(value) if isinstance(value, list) else (value,))]
