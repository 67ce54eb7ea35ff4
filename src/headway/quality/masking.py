"""Leaving values out of what people see."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

__all__ = ["is_masked", "masked"]

_SHOWN = "***"


def masked(value: Any, columns: Collection[str]) -> Any:
    """Return a value with what stands under some names left out, at any depth.

    A name of several parts, such as `person.name`, stands for a field inside of another; upper and lower case
    are the same, as they are to Spark.

    >>> masked({"Tailnum": "N1", "legs": [{"pilot": "A"}], "person.name": "B"}, ["pilot", "tailnum", "name"])
    {'Tailnum': '***', 'legs': [{'pilot': '***'}], 'person.name': '***'}
    >>> masked({"person": {"name": "B"}, "name": "C"}, ["person.name"])
    {'person': {'name': '***'}, 'name': 'C'}
    """
    return _masked(value, [_parts(column) for column in columns], [])


def is_masked(name: str, columns: Collection[str]) -> bool:
    """Tell whether a column, or a field of one, is among those whose values are not shown.

    >>> is_masked("`Person`.name", ["person"]), is_masked("names", ["name"])
    (True, False)
    """
    parts = _parts(name)
    ends = (parts[:end] for end in range(1, len(parts) + 1))
    hidden = [_parts(column) for column in columns]
    return any(_ends_with(path, hidden) for path in ends)


def _parts(name: str) -> list[str]:
    return [part.strip("`").casefold() for part in name.split(".")]


def _ends_with(path: list[str], hidden: list[list[str]]) -> bool:
    return any(path[-len(column) :] == column for column in hidden)


def _masked(value: Any, hidden: list[list[str]], above: list[str]) -> Any:
    if isinstance(value, dict):
        shown = {}
        for key, below in value.items():
            path = [*above, *_parts(str(key))]
            shown[key] = _SHOWN if _ends_with(path, hidden) else _masked(below, hidden, path)
        return shown
    if isinstance(value, list):
        return [_masked(v, hidden, above) for v in value]
    return value
