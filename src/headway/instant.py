"""Instants and spans of time as whole microseconds, which is what Spark's timestamps hold.

An instant is an `int`: microseconds since 1970-01-01T00:00:00Z. Integers compare, add and
survive JSON without a surprise; datetimes appear only at the edges.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headway.errors import UsageError

__all__ = [
    "BEGINNING",
    "END",
    "SECOND",
    "clamp",
    "duration",
    "from_datetime",
    "iso",
    "parse",
    "spell",
    "to_datetime",
]

SECOND = 1_000_000
BEGINNING = -62_135_596_800 * SECOND
"""0001-01-01T00:00:00Z: before every record; stands for "no bound below"."""
END = 253_370_764_800 * SECOND
"""9999-01-01T00:00:00Z: after every record; stands for "no bound above"."""

_UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": SECOND,
    "minute": 60 * SECOND,
    "hour": 3_600 * SECOND,
    "day": 86_400 * SECOND,
    "week": 7 * 86_400 * SECOND,
}
_PART = re.compile(r"\s*(\d+)\s*([a-z]+?)s?\s*(?:,|$|(?=\d)|\band\b)", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration(text: str | timedelta) -> int:
    """Read a span of time, in microseconds.

    >>> duration("6 hours"), duration("1 day 30 minutes"), duration(timedelta(seconds=2))
    (21600000000, 88200000000, 2000000)

    Raises:
        UsageError: The text names no span of time; months and years have no fixed length.
    """
    if isinstance(text, timedelta):
        return text // timedelta(microseconds=1)
    total, at = 0, 0
    while (part := _PART.match(text, at)) and (unit := _UNITS.get(part.group(2).lower())):
        total += int(part.group(1)) * unit
        at = part.end()
    if at == 0 or text[at:].strip():
        raise UsageError(
            f"{text!r} is not a span of time",
            hint="Write a number and a unit, such as '6 hours', '15 minutes' or '1 day'.",
        )
    return total


def spell(micros: int) -> str:
    """Write a span of time as `duration` reads it.

    >>> spell(21600000000), spell(0), spell(90 * SECOND)
    ('6 hours', '0 seconds', '1 minute 30 seconds')
    """
    if micros == 0:
        return "0 seconds"
    parts = []
    for name in ("day", "hour", "minute", "second", "millisecond", "microsecond"):
        count, micros = divmod(micros, _UNITS[name])
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts)


def clamp(instant: int) -> int:
    """Keep an instant between `BEGINNING` and `END`."""
    return max(BEGINNING, min(END, instant))


def from_datetime(moment: datetime) -> int:
    """Convert an aware datetime; a naive one is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(instant: int) -> datetime:
    """Convert to an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=clamp(instant))


def iso(instant: int) -> str:
    """Write an instant as ISO 8601 in UTC.

    >>> iso(0), iso(1_500_000)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500000Z')
    """
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


def parse(text: str) -> int:
    """Read an ISO 8601 date or time; without an offset it is UTC.

    >>> parse("2013-02-01") == parse("2013-02-01T00:00:00Z") == parse("2013-01-31T19:00-05:00")
    True

    Raises:
        UsageError: The text is no ISO 8601 date or time.
    """
    try:
        return from_datetime(datetime.fromisoformat(text))
    except ValueError:
        raise UsageError(
            f"{text!r} is not a date or time",
            hint="Write ISO 8601, such as 2013-02-01 or 2013-02-01T05:00:00Z; without an offset it is UTC.",
        ) from None
