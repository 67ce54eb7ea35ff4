"""How often a stream's micro-batches come when records arrive as they did."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Beat", "Pace"]

_FULL = 0.95
"""Share of the time beyond which a stream counts as one that does not keep up."""
_ROUNDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The micro-batches of a stream while records arrive at one rate."""

    seconds: float
    """How long one takes."""
    cycle: float
    """From the start of one to the start of the next, on average; infinite where none comes."""
    records: float
    """How many records one takes, on average."""
    keeps_up: bool

    @property
    def busy(self) -> float:
        """Share of the time in which a batch runs."""
        return min(1.0, self.seconds / self.cycle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What decides how often micro-batches come: measured times, the trigger and the frontier.

    A batch begins when the one before it has ended and something is new: a record, or, where
    there is state, a frontier that has moved. Records of one hour are taken to arrive at random
    with that hour's mean rate.
    """

    fixed: float
    """Seconds of a batch without records, measured."""
    per_record: float
    """Seconds that each record adds, measured."""
    trigger: float = 0.0
    """Least seconds between the starts of two batches, from the mode."""
    step: float | None = None
    """Seconds by which the frontier moves where there is state; None without any. A quiet stream runs a batch
    that learns of it. Spark then runs one without records, to show and to forget what has closed."""

    def at(self, rate: float) -> Beat:
        """Return the beat while records arrive at a rate, in records per second.

        >>> round(Pace(fixed=0.5, per_record=0.0).at(0.001).cycle)
        1000
        >>> Pace(fixed=0.5, per_record=0.0).at(1000.0).busy
        1.0
        """
        load = min(rate * self.per_record, _FULL)
        keeps_up = rate * self.per_record < _FULL
        seconds = self.fixed
        cycle = self._cycle(rate, seconds)
        for _ in range(_ROUNDS):
            records = rate * cycle if math.isfinite(cycle) else 0.0
            longest = self.fixed / (1 - load) + self.per_record
            target = min(self.fixed + self.per_record * max(1.0, records), max(longest, self.trigger))
            if abs(target - seconds) < 1e-9:
                break
            seconds = target
            cycle = self._cycle(rate, seconds)
        return Beat(
            seconds=seconds,
            cycle=cycle,
            records=rate * cycle if math.isfinite(cycle) else 0.0,
            keeps_up=keeps_up,
        )

    def batches(self, hours: Iterable[int]) -> float:
        """Return how many batches come in hours with these numbers of records."""
        return sum(3_600 / beat.cycle + self._closing(beat) for beat in self._beats(hours))

    def busy_seconds(self, hours: Iterable[int]) -> float:
        """Return for how many seconds a batch runs in hours with these numbers of records."""
        return sum(3_600 * beat.busy + self.fixed * self._closing(beat) for beat in self._beats(hours))

    def _beats(self, hours: Iterable[int]) -> list[Beat]:
        return [self.at(count / 3_600) for count in hours]

    def _closing(self, beat: Beat) -> float:
        """Return how many batches without records come in an hour; under load the next one with records does their work."""
        return 0.0 if self.step is None else 3_600 / max(self.step, self.trigger) * (1 - beat.busy)

    def _cycle(self, rate: float, seconds: float) -> float:
        step = math.inf if self.step is None else self.step
        if self.trigger > seconds:
            news = 1 - math.exp(-rate * self.trigger)
            waits = self.trigger / news if news > 0 else math.inf
            return max(self.trigger, min(waits, step))
        if rate == 0:
            return seconds + step
        until_news = (1 - math.exp(-rate * step)) / rate
        return seconds + math.exp(-rate * seconds) * until_news
