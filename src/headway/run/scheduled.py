"""Measuring a bounded mode as a schedule would run it: a sample of its runs, one in a process of its own."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

from headway import instant
from headway.cron import Cron
from headway.interval import Interval
from headway.mode import Mode
from headway.run import usage
from headway.run.job import Cut
from headway.run.trial import Trial, run_at
from headway.run.usage import Usage

__all__ = ["Fresh", "Measured", "Spent", "measure", "moments", "publishing", "runs_a_day", "spread", "summed"]

_SAMPLES = 6
"""Runs that are measured of a mode, besides the one in a process of its own."""
_DAY = 86_400 * instant.SECOND
_WEEKS = 28 * _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one run has used."""

    seconds: float
    usage: Usage
    files: int = 0
    objects: int = 0


Fresh = Callable[[Trial, int], Spent]
"""Does one run as of a moment in a process of its own, from its start to its exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A bounded mode: means over the measured runs, and what the start of a process adds."""

    measured_runs: int
    run_seconds: float
    start_up_seconds: float
    cpu_seconds: float
    """Of one run, start-up included."""
    bytes_read: float
    bytes_written: float
    files: float
    objects: float
    peak_memory_bytes: int


def moments(mode: Mode, zone: str, start: int, end: int) -> list[int]:
    """Return when a schedule starts runs within `[start, end)`: by its cron expression, else where intervals end."""
    if mode.schedule is not None:
        return list(Cron(mode.schedule, zone).moments(start, end))
    return [piece.end for piece in mode.grid(zone).intervals(start - _DAY, end) if start <= piece.end < end]


def runs_a_day(mode: Mode, zone: str, start: int) -> float:
    """Return how many runs a schedule has in a day, over four weeks.

    >>> runs_a_day(Mode(name="hourly", every="1 hour", schedule="5 * * * *"), "UTC", 0)
    24.0
    """
    return len(moments(mode, zone, start, start + _WEEKS)) / (_WEEKS / _DAY)


def publishing(mode: Mode, zone: str, interval: Interval, closes_after: int, *, early: bool) -> list[int]:
    """Return the scheduled moments that publish something of a range: each run once, in order.

    >>> hourly = Mode(name="hourly", every="1 hour", schedule="5 * * * *")
    >>> day = Interval(instant.parse("2013-02-01"), instant.parse("2013-02-01T02:00:00Z"))
    >>> found = publishing(hourly, "UTC", day, 6 * 3600 * instant.SECOND, early=False)
    >>> [instant.iso(moment) for moment in found]
    ['2013-02-01T07:05:00Z', '2013-02-01T08:05:00Z']
    """
    grid = mode.grid(zone)
    last = grid.ceiling(interval.end) + closes_after
    all_moments = moments(mode, zone, interval.start, last + 2 * max(_DAY, grid.length))
    if early:
        return [moment for moment in all_moments if interval.start < moment <= interval.end]
    found: list[int] = []
    for piece in grid.intervals(grid.floor(interval.start), grid.ceiling(interval.end)):
        at = bisect_left(all_moments, piece.end + closes_after)
        if at < len(all_moments) and (not found or found[-1] != all_moments[at]):
            found.append(all_moments[at])
    return found


def spread(count: int, taken: int) -> list[int]:
    """Return which of some things are taken, evenly spread.

    >>> spread(3, 7), spread(72, 6)
    ([0, 1, 2], [6, 18, 30, 42, 54, 66])
    """
    if count <= taken:
        return list(range(count))
    return [int((n + 0.5) * count / taken) for n in range(taken)]


def measure(trial: Trial, whole: Cut, due: Sequence[int], fresh: Fresh | None) -> Measured:
    """Take the whole log through a bounded mode, and measure some of its scheduled runs on the way.

    Before each measured run the table is brought to where the run before it would have left it. The
    middle one of them is done in a process of its own: what it takes longer than the others is the
    start-up of each run.

    Args:
        trial: The mode.
        whole: Where the log is cut.
        due: Moments of runs that publish something.
        fresh: Does a run in a process of its own; None for rounds of one process.
    """
    chosen = spread(len(due), _SAMPLES + 1)
    cold_at = chosen[len(chosen) // 2] if chosen and fresh is not None else -1
    warm: list[Spent] = []
    cold: Spent | None = None
    for at in chosen:
        before = due[at - 1] if at else None
        if before is not None and at - 1 not in chosen:
            run_at(trial, before, whole)
        trial.say(f"{trial.mode.name}: run {at + 1} of {len(due)}, as of {instant.iso(due[at])}")
        if at == cold_at and fresh is not None:
            cold = _counted(trial, partial(fresh, trial, due[at]))
        else:
            warm.append(_counted(trial, lambda at=at: _spent(trial, due[at], whole)))  # type: ignore[misc]
    trial.say(f"{trial.mode.name}: the rest of the log")
    run_at(trial, None, whole)
    return summed(warm, cold)


def _spent(trial: Trial, moment: int, whole: Cut) -> Spent:
    before, began = usage.of_run(trial.spark), time.monotonic()
    run_at(trial, moment, whole)
    return Spent(seconds=time.monotonic() - began, usage=usage.of_run(trial.spark).minus(before))


def _counted(trial: Trial, run: Callable[[], Spent]) -> Spent:
    """Do a run, and count what it has written."""
    objects, known = trial.objects(), trial.snapshots().keys()
    spent = run()
    files = sum(count for number, count in trial.snapshots().items() if number not in known)
    return replace(spent, files=files, objects=max(0, trial.objects() - objects))


def summed(warm: Sequence[Spent], cold: Spent | None) -> Measured:
    """Put measured runs together; where there was one run only, that in a process of its own is all of it."""
    measured = len(warm) + (cold is not None)
    known = warm or ([cold] if cold is not None else [])

    def mean(values: Sequence[float]) -> float:
        return fmean(values) if values else 0.0

    seconds, cpu = mean([s.seconds for s in known]), mean([s.usage.cpu_seconds for s in known])
    start_up = max(0.0, cold.seconds - seconds) if cold is not None else 0.0
    start_cpu = max(0.0, cold.usage.cpu_seconds - cpu) if cold is not None else 0.0
    return Measured(
        measured_runs=measured,
        run_seconds=seconds,
        start_up_seconds=start_up,
        cpu_seconds=cpu + start_cpu,
        bytes_read=mean([s.usage.bytes_read for s in known]),
        bytes_written=mean([s.usage.bytes_written for s in known]),
        files=mean([s.files for s in known]),
        objects=mean([s.objects for s in known]),
        peak_memory_bytes=max(
            [s.usage.peak_memory_bytes for s in ([cold] if cold is not None else known)], default=0
        ),
    )
