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
    turn: float
    """How long one takes with those that follow from it."""
    cycle: float
    """From the start of one turn to the start of the next, on average; infinite where none comes."""
    records: float
    """How many records a turn takes, on average."""
    keeps_up: bool

    @property
    def busy(self) -> float:
        """Share of the time in which a batch runs."""
        return min(1.0, self.turn / self.cycle)


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
    echo: float = 1.0
    """Batches of a turn, measured: one that has read something new moves the watermark, and another one follows."""
    step: float | None = None
    """Seconds after which a frontier that has moved makes a batch by itself; None: it never does."""

    def at(self, rate: float) -> Beat:
        """Return the beat while records arrive at a rate, in records per second.

        >>> round(Pace(fixed=0.5, per_record=0.0).at(0.001).cycle)
        1000
        >>> Pace(fixed=0.5, per_record=0.0).at(1000.0).busy
        1.0
        """
        load = min(rate * self.per_record * self.echo, _FULL)
        keeps_up = rate * self.per_record * self.echo < _FULL
        seconds = self.fixed
        cycle = self._cycle(rate, seconds * self.echo)
        for _ in range(_ROUNDS):
            records = rate * cycle if math.isfinite(cycle) else 0.0
            longest = self.fixed * self.echo / (1 - load) + self.per_record
            target = min(self.fixed + self.per_record * max(1.0, records), max(longest, self.trigger))
            if abs(target - seconds) < 1e-9:
                break
            seconds = target
            cycle = self._cycle(rate, seconds * self.echo)
        return Beat(
            seconds=seconds,
            turn=seconds * self.echo,
            cycle=cycle,
            records=rate * cycle if math.isfinite(cycle) else 0.0,
            keeps_up=keeps_up,
        )

    def batches(self, hours: Iterable[int]) -> float:
        """Return how many batches come in hours with these numbers of records."""
        return sum(self.echo * 3_600 / self.at(count / 3_600).cycle for count in hours)

    def busy_seconds(self, hours: Iterable[int]) -> float:
        """Return for how many seconds a batch runs in hours with these numbers of records."""
        return sum(3_600 * self.at(count / 3_600).busy for count in hours)

    def _cycle(self, rate: float, turn: float) -> float:
        step = math.inf if self.step is None else self.step
        if self.trigger > turn:
            news = 1 - math.exp(-rate * self.trigger)
            waits = self.trigger / news if news > 0 else math.inf
            return max(self.trigger, min(waits, step))
        if rate == 0:
            return turn + step
        until_news = (1 - math.exp(-rate * step)) / rate
        return turn + math.exp(-rate * turn) * until_news
