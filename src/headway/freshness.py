"""How long a record takes from being sent to being visible, and what it waits for meanwhile.

What runs is measured; what is waited for follows from the schedule and the lateness. Each part
says which of the two it is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headway import instant
from headway.interval import Grid
from headway.pace import Pace

__all__ = [
    "Closing",
    "Freshness",
    "How",
    "Part",
    "Rounds",
    "Schedule",
    "Sent",
    "Stream",
    "percentile",
    "spell",
]

How = Literal["measured", "schedule"]
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it fill the unit interval evenly: the same figures come out each time."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a record waits for."""

    name: str
    """`interval`: until the interval, window or unit of its row ends; `lateness`: until that is closed;
    `schedule`: until a run, a round or a trigger begins; `start-up` and `run`: the run's own time; `queue`:
    until the micro-batch before has ended; `batch`: the micro-batch's own time."""
    seconds: float
    """The mean over the records."""
    how: How
    """`measured` where it runs; `schedule` where it follows from the schedule, the mode and the lateness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Seconds from a record's arrival in the log to its first row being visible."""

    p50: float
    p95: float
    max: float
    mean: float
    """The sum of the parts."""
    parts: tuple[Part, ...]

    def to_json(self) -> dict[str, object]:
        """Write as a JSON object."""
        return {
            "p50": self.p50,
            "p95": self.p95,
            "max": self.max,
            "mean": self.mean,
            "parts": [{"name": p.name, "seconds": p.seconds, "how": p.how} for p in self.parts],
        }

    def seconds(self, how: How) -> float:
        """Return the mean of what is waited for, or of what runs."""
        return sum(part.seconds for part in self.parts if part.how == how)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Freshness:
        """Read what `to_json` wrote."""
        parts = tuple(Part(p["name"], p["seconds"], p["how"]) for p in data["parts"])
        return cls(p50=data["p50"], p95=data["p95"], max=data["max"], mean=data["mean"], parts=parts)

    @classmethod
    def of(cls, waits: Sequence[Sequence[float]], parts: Sequence[tuple[str, How]]) -> Freshness:
        """Sum up what each record has waited for; a part that none has waited for is left out.

        >>> Freshness.of([(1.0, 2.0), (3.0, 2.0)], [("schedule", "schedule"), ("run", "measured")]).p50
        4.0
        """
        totals = sorted(sum(record) for record in waits)
        count = max(1, len(waits))
        means = [sum(record[n] for record in waits) / count for n in range(len(parts))]
        named = tuple(
            Part(name, round(mean, 3), how)
            for (name, how), mean in zip(parts, means, strict=True)
            if mean > 0
        )
        return cls(
            p50=round(percentile(totals, 0.5), 3),
            p95=round(percentile(totals, 0.95), 3),
            max=round(percentile(totals, 1.0), 3),
            mean=round(sum(means), 3),
            parts=named,
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """A record, as far as its freshness goes."""

    arrival: int
    """When the log took it, an instant."""
    output: int
    """Output time of the first row that it has a part in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """When a row of some output time is final."""

    grid: Grid | None
    """Intervals that are published as a whole; None: each output time by itself."""
    after: int
    """How long after its end an interval is closed: lateness, disorder, skew and what lies ahead, in microseconds."""

    def waits(self, sent: Sent) -> tuple[int, float, float]:
        """Return the instant from which on the row may be shown, and the seconds for the end and for the closing."""
        end = sent.output + 1 if self.grid is None else self.grid.after(self.grid.floor(sent.output))
        ended = max(sent.arrival, end)
        closed = max(ended, end + self.after)
        return closed, (ended - sent.arrival) / instant.SECOND, (closed - ended) / instant.SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Bounded runs at the moments of a schedule, each in a process of its own."""

    moments: Sequence[int]
    """When runs begin, in order; they reach beyond the last record."""
    closing: Closing | None
    """None: a run shows what is open too (`emit="early"`)."""
    start_up: float
    """Seconds, measured."""
    run: float
    """Seconds, measured."""

    def freshness(self, sent: Sequence[Sent]) -> Freshness:
        """Return how fresh the rows of records are that were sent."""
        waits = []
        for record in sent:
            ready, interval, lateness = _ready(self.closing, record)
            at = bisect_left(self.moments, ready)
            if at == len(self.moments):
                continue  # its run lies beyond what was looked at
            waits.append(
                (interval, lateness, (self.moments[at] - ready) / instant.SECOND, self.start_up, self.run)
            )
        return Freshness.of(
            waits,
            [
                ("interval", "schedule"),
                ("lateness", "schedule"),
                ("schedule", "schedule"),
                ("start-up", "measured"),
                ("run", "measured"),
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """A stream that shows its rows by recomputing what is open, again and again."""

    every: float
    """Seconds from the start of one round to the start of the next."""
    run: float
    """Seconds of a round, measured."""
    closing: Closing | None
    """None: a round shows what is open too."""

    def freshness(self, sent: Sequence[Sent]) -> Freshness:
        """Return how fresh the rows of records are that were sent."""
        waits = []
        for record, share in zip(sent, _evenly(), strict=False):
            _, interval, lateness = _ready(self.closing, record)
            waits.append((interval, lateness, share * max(self.every, self.run), self.run))
        return Freshness.of(
            waits,
            [
                ("interval", "schedule"),
                ("lateness", "schedule"),
                ("schedule", "schedule"),
                ("run", "measured"),
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Micro-batches as they come."""

    pace: Pace
    rates: dict[int, float]
    """Records per second in each hour of arrival, by the hour's first instant."""
    closing: Closing | None
    """None: rows are shown at once, as final or to be revised."""
    tick: float = 0.0
    """Seconds between two looks at the frontier, where rows wait for it."""

    def freshness(self, sent: Sequence[Sent]) -> Freshness:
        """Return how fresh the rows of records are that were sent."""
        hour = 3_600 * instant.SECOND
        beats = {start: self.pace.at(rate) for start, rate in self.rates.items()}
        quiet = self.pace.at(0.0)
        is_paced = self.pace.trigger > self.pace.fixed
        waits = []
        for record, share in zip(sent, _evenly(), strict=False):
            beat = beats.get(record.arrival - record.arrival % hour, quiet)
            _, interval, lateness = _ready(self.closing, record)
            if self.closing is not None:
                # One batch learns of the closing, the next one shows what it has closed.
                waits.append(
                    (interval, lateness, share * max(self.tick, self.pace.trigger), 0.0, 2 * beat.seconds)
                )
            elif is_paced:
                waits.append((0.0, 0.0, share * self.pace.trigger, 0.0, beat.seconds))
            else:
                is_busy = share < beat.busy
                queue = beat.seconds * share / beat.busy if is_busy else 0.0
                waits.append((0.0, 0.0, 0.0, queue, beat.seconds))
        return Freshness.of(
            waits,
            [
                ("interval", "schedule"),
                ("lateness", "schedule"),
                ("schedule", "schedule"),
                ("queue", "measured"),
                ("batch", "measured"),
            ],
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies, between the two next to it.

    >>> percentile([0.0, 10.0], 0.25), percentile([], 0.5)
    (2.5, 0.0)
    """
    if not ordered:
        return 0.0
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def spell(seconds: float) -> str:
    """Write seconds for a person.

    >>> spell(0.8431), spell(9.97), spell(-95), spell(3_600 * 6.5), spell(200_000)
    ('0.84 s', '10 s', '-95 s', '6.5 h', '56 h')
    """
    size = abs(seconds)
    for limit, unit, length in ((120, "s", 1), (7_200, "min", 60), (float("inf"), "h", 3_600)):
        if size < limit:
            value = seconds / length
            digits = 0 if round(abs(value), 1) >= 10 or value == 0 else 1 if round(abs(value), 2) >= 1 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError(seconds)


def _ready(closing: Closing | None, record: Sent) -> tuple[int, float, float]:
    return (record.arrival, 0.0, 0.0) if closing is None else closing.waits(record)


def _evenly() -> Iterator[float]:
    """Yield numbers from 0 to 1 that fill the interval evenly, however many are taken."""
    at = 0.5
    while True:
        yield at
        at = (at + _GOLDEN) % 1.0
