"""Half-open intervals of output time, and the grids that cut time into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from headway import instant
from headway.errors import UsageError

__all__ = ["Grid", "Interval", "coalesce"]

_DAY = 86_400 * instant.SECOND


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """`[start, end)` in output time, as instants (microseconds since the epoch)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise UsageError(
                f"an interval from {instant.iso(self.start)} to {instant.iso(self.end)} is empty or reversed",
                hint="The start must lie before the end; intervals are half-open.",
            )

    def __str__(self) -> str:
        return f"{instant.iso(self.start)}/{instant.iso(self.end)}"

    def meets(self, other: Interval) -> bool:
        """Tell whether the two share an instant."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Interval) -> bool:
        """Tell whether `other` lies within this one."""
        return self.start <= other.start and other.end <= self.end

    def minus(self, hole: Interval) -> list[Interval]:
        """Return what is left of this one outside of `hole`: none, one or two parts."""
        if not self.meets(hole):
            return [self]
        before = [Interval(self.start, hole.start)] if self.start < hole.start else []
        after = [Interval(hole.end, self.end)] if hole.end < self.end else []
        return before + after

    def to_json(self) -> list[str]:
        """Write as a list of two ISO 8601 times."""
        return [instant.iso(self.start), instant.iso(self.end)]

    @classmethod
    def from_json(cls, pair: list[str]) -> Interval:
        """Read what `to_json` wrote."""
        return cls(instant.parse(pair[0]), instant.parse(pair[1]))


@dataclass(frozen=True, slots=True)
class Grid:
    """How a mode cuts output time: spans of a fixed length from the epoch, or local days.

    A length of one day follows the calendar of `zone`, so a day may have 23 or 25 hours.
    Any other length counts from 1970-01-01T00:00:00Z.
    """

    length: int
    """Microseconds; exactly one day means local days."""
    zone: str = "UTC"
    """IANA name of the zone whose midnights bound local days."""

    def __post_init__(self) -> None:
        if self.length <= 0 or (self.length > _DAY and self.length % _DAY):
            raise UsageError(
                f"{instant.spell(abs(self.length))} cannot be the length of an interval",
                hint="Use up to a day, or whole days.",
            )

    @property
    def is_calendar(self) -> bool:
        """Whether intervals are local days instead of spans of one length."""
        return self.length == _DAY and self.zone != "UTC"

    def floor(self, moment: int) -> int:
        """Return the last boundary at or before `moment`.

        >>> ny = Grid(instant.duration("1 day"), "America/New_York")
        >>> instant.iso(ny.floor(instant.parse("2013-03-10T12:00:00Z")))
        '2013-03-10T05:00:00Z'
        """
        moment = instant.clamp(moment)
        if not self.is_calendar:
            return moment - moment % self.length
        if moment < instant.BEGINNING + _DAY:  # it may lie in the year 0 of the zone
            return instant.BEGINNING
        local = instant.to_datetime(moment).astimezone(ZoneInfo(self.zone))
        return _midnight(local, self.zone)

    def ceiling(self, moment: int) -> int:
        """Return the first boundary at or after `moment`."""
        floor = self.floor(moment)
        return floor if floor == moment else self.after(floor)

    def after(self, boundary: int) -> int:
        """Return the boundary that follows `boundary`.

        >>> ny = Grid(instant.duration("1 day"), "America/New_York")
        >>> spring = instant.parse("2013-03-10T05:00:00Z")
        >>> instant.spell(ny.after(spring) - spring)
        '23 hours'
        """
        if not self.is_calendar:
            return boundary + self.length
        boundary = max(boundary, instant.BEGINNING + _DAY)
        local = instant.to_datetime(boundary).astimezone(ZoneInfo(self.zone))
        return _midnight(local + timedelta(days=1), self.zone)

    def starting(self, day: date) -> int:
        """Return the boundary at which a local day starts, of a grid that follows a calendar."""
        return _midnight(day, self.zone)

    def intervals(self, start: int, end: int) -> Iterator[Interval]:
        """Yield the intervals of the grid that lie wholly within `[start, end)`."""
        at = self.ceiling(start)
        while (following := self.after(at)) <= end:
            yield Interval(at, following)
            at = following


def _midnight(local: date, zone: str) -> int:
    """Return the first instant of the local date, also where midnight itself is skipped."""
    midnight = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone))
    return instant.from_datetime(midnight)


def coalesce(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Merge intervals that meet or touch.

    >>> [str(i.start) + "-" + str(i.end) for i in coalesce([Interval(5, 9), Interval(1, 3), Interval(3, 6)])]
    ['1-9']
    """
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return tuple(merged)
