"""What a suite has found of a range of whole units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from headway.interval import Interval

__all__ = ["Mark", "joined", "without"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Units that were judged alike."""

    interval: Interval
    failed: tuple[str, ...]
    """Ids of the rules that failed; empty where the suite was met."""

    @property
    def is_met(self) -> bool:
        """Whether no rule failed."""
        return not self.failed

    def to_json(self) -> list[object]:
        """Write for a commit's summary."""
        return [*self.interval.to_json(), list(self.failed)]

    @classmethod
    def from_json(cls, data: list[object]) -> Mark:
        """Read what `to_json` wrote."""
        start, end, failed = data
        assert isinstance(failed, list)
        return cls(Interval.from_json([str(start), str(end)]), tuple(map(str, failed)))


def joined(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Merge neighbours of which the same was found."""
    merged: list[Mark] = []
    for mark in sorted(marks, key=lambda m: m.interval):
        last = merged[-1] if merged else None
        if last is not None and last.failed == mark.failed and last.interval.end == mark.interval.start:
            merged[-1] = replace(last, interval=Interval(last.interval.start, mark.interval.end))
        else:
            merged.append(mark)
    return tuple(merged)


def without(marks: Iterable[Mark], hole: Interval) -> tuple[Mark, ...]:
    """Return marks with a range taken out; a unit that is left in part has to be judged anew."""
    return tuple(replace(mark, interval=part) for mark in marks for part in mark.interval.minus(hole))
