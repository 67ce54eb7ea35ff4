"""An expectation's parameters as Great Expectations' own models read them from JSON.

Each function takes a value as JSON gives it and returns what GX 1.24 would pass on to Spark, or
raises a ValueError that says what it must be. Two things surprise: a bound written as text becomes
a number, a date or a time, never text; and a number always becomes a float.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeAlias

__all__ = [
    "Bound",
    "Parameter",
    "bound",
    "choice",
    "ignored",
    "number",
    "pairs",
    "share",
    "texts",
    "the_text",
    "truth",
    "values",
    "whole",
]

Bound: TypeAlias = float | date | datetime
Parameter: TypeAlias = Callable[[Any], Any]

_DATE = r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:\.(?P<microsecond>\d{1,6})\d{0,6})?)?"
    r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?"
)
_DATE_ONLY = re.compile(_DATE)
_DATE_TIME = re.compile(f"{_DATE}[T ]{_TIME}")


def number(value: Any) -> float:
    """Read a number.

    >>> number(3), number("2.5")
    (3.0, 2.5)
    """
    if isinstance(value, int | float | str):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError(f"must be a number, not {_spell(value)}")


def share(value: Any) -> float:
    """Read a share between 0 and 1."""
    found = number(value)
    if not 0 <= found <= 1:
        raise ValueError(f"must lie between 0 and 1, not at {found:g}")
    return found


def whole(value: Any) -> int:
    """Read a whole number; GX cuts fractions off.

    >>> whole(3), whole("4"), whole(2.9)
    (3, 4, 2)
    """
    if isinstance(value, int | float | str):
        try:
            return int(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"must be a whole number, not {_spell(value)}")


def bound(value: Any) -> Bound:
    """Read a bound: a number, a date or a time.

    >>> bound(3), bound("2.5"), bound("2013-02-01"), bound("2013-02-01T10:30:00")
    (3.0, 2.5, datetime.date(2013, 2, 1), datetime.datetime(2013, 2, 1, 10, 30))
    """
    try:
        return number(value)
    except ValueError:
        if not isinstance(value, str):
            raise
    try:
        if found := _DATE_ONLY.fullmatch(value):
            return date(*(int(part) for part in found.groups()))
        if found := _DATE_TIME.fullmatch(value):
            facts = found.groupdict()
            parts = [int(facts[k] or 0) for k in ("year", "month", "day", "hour", "minute", "second")]
            micros = int((facts["microsecond"] or "0").ljust(6, "0"))
            zone = _zone(facts["zone"])
            return datetime(*parts, micros, tzinfo=zone)  # type: ignore[misc,arg-type]
    except ValueError as error:
        raise ValueError(f"is no date or time: {value!r} ({error})") from error
    raise ValueError(f"must be a number, a date or a time, not {_spell(value)}")


def truth(value: Any) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"must be true or false, not {_spell(value)}")


def the_text(value: Any) -> str:
    """Read a text."""
    if isinstance(value, str):
        return value
    raise ValueError(f"must be a text, not {_spell(value)}")


def texts(value: Any) -> list[str]:
    """Read a list of texts that is not empty."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value
    raise ValueError(f"must be a list of texts, not {_spell(value)}")


def values(value: Any) -> list[Any]:
    """Read a list of plain values."""
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return value
    raise ValueError(f"must be a list of values, not {_spell(value)}")


def pairs(value: Any) -> list[tuple[Any, Any]]:
    """Read a list of pairs that is not empty."""
    if isinstance(value, list) and value and all(isinstance(item, list) and len(item) == 2 for item in value):
        return [(a, b) for a, b in value]
    raise ValueError(f"must be a list of pairs, not {_spell(value)}")


def choice(*known: str) -> Parameter:
    """Return what reads one of some words."""

    def read(value: Any) -> str:
        if value in known:
            return str(value)
        raise ValueError(f"must be one of {', '.join(known)}, not {_spell(value)}")

    return read


def ignored(value: Any) -> Any:
    """Take anything: the parameter changes no verdict."""
    return value


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:]) if len(text) > 3 else 0
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if text[0] == "-" else away)


def _spell(value: Any) -> str:
    if isinstance(value, Mapping) and "$PARAMETER" in value:
        return "a suite parameter: headway gives suites no parameters"
    return repr(value)
