"""The moments that a cron expression names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from headway import instant
from headway.errors import ConfigError

__all__ = ["Cron"]

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields in the local time of a zone, as `Mode.schedule` has it.

    Numbers, `*`, lists, ranges and steps are read; names of months and weekdays are not. Where both
    day and weekday are given, either will do, as in cron itself. A local time that a change of the
    clocks skips does not come, and one that it repeats comes once.
    """

    text: str
    zone: str = "UTC"
    _allowed: tuple[frozenset[int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = self.text.split()
        if len(words) != len(_FIELDS):
            raise ConfigError(
                f"the schedule {self.text!r} has {len(words)} fields, not five",
                hint="Write minute, hour, day, month, weekday, such as '5 * * * *'.",
            )
        pairs = zip(words, _FIELDS, strict=True)
        object.__setattr__(self, "_allowed", tuple(self._values(word, *given) for word, given in pairs))

    def moments(self, start: int, end: int) -> Iterator[int]:
        """Yield the instants within `[start, end)`, in order.

        >>> daily = Cron("30 6 * * *", "America/New_York")
        >>> [instant.iso(m) for m in daily.moments(instant.parse("2013-03-09"), instant.parse("2013-03-11"))]
        ['2013-03-09T11:30:00Z', '2013-03-10T10:30:00Z']
        """
        zone = ZoneInfo(self.zone)
        minutes, hours, days, months, weekdays = self._allowed
        either = not self.text.split()[2].startswith("*") and not self.text.split()[4].startswith("*")
        day = instant.to_datetime(start).astimezone(zone).date()
        last = instant.to_datetime(end).astimezone(zone).date()
        while day <= last:
            is_day, is_weekday = day.day in days, day.isoweekday() % 7 in weekdays
            fits = (is_day or is_weekday) if either else (is_day and is_weekday)
            if fits and day.month in months:
                for hour in sorted(hours):
                    for minute in sorted(minutes):
                        local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                        at = instant.from_datetime(local)
                        # What is skipped comes back from UTC as another local time.
                        exists = instant.to_datetime(at).astimezone(zone).hour == hour
                        if exists and start <= at < end:
                            yield at
            day += timedelta(days=1)

    def _values(self, word: str, name: str, low: int, high: int) -> frozenset[int]:
        found: set[int] = set()
        for part in word.split(","):
            span, _, step = part.partition("/")
            first, dash, last = span.partition("-")
            bounds = (
                (str(low), str(high)) if span == "*" else (first, last if dash or not step else str(high))
            )
            given = [bounds[0], bounds[1] or bounds[0], step or "1"]
            if not all(text.isdigit() for text in given):
                raise ConfigError(
                    f"the schedule {self.text!r}: {part!r} is no {name}",
                    hint="Write numbers, *, lists, ranges and steps, such as '*/15' or '1-5'.",
                )
            begin, end, by = map(int, given)
            if not (low <= begin <= end <= high and by > 0):
                raise ConfigError(f"the schedule {self.text!r}: {part!r} is no {name} from {low} to {high}")
            found.update(range(begin, end + 1, by))
        return frozenset(value % 7 for value in found) if name == "weekday" else frozenset(found)
