"""Measuring a continuous mode: small micro-batches as they come live, the rest of the log, and standing still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import ceil
from statistics import fmean

from headway import instant
from headway.interval import Interval
from headway.mode import Mode
from headway.offsets import Offsets
from headway.run import continuous, scheduled, usage, watch
from headway.run.arrivals import Arrivals
from headway.run.job import Cut, Job, scratch
from headway.run.scheduled import Measured
from headway.run.trial import Trial
from headway.run.watch import Watch

__all__ = ["Streamed", "measure", "measure_rounds"]

_SMALL = 25
"""Micro-batches of the size that they have live."""
_LARGE = 15
"""Micro-batches that the rest of the log is taken in."""
_SETTLE = 3.0
"""Seconds before that."""
_QUIET = 8.0
"""Seconds for which a stream is watched that has nothing to do."""
_PATIENCE = 60.0
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A stream, measured."""

    fixed: float
    """Seconds of a batch without records."""
    per_record: float
    """Seconds that each record adds."""
    batches: int
    cpu_of_busy: float
    """Processor seconds for each second in which a batch runs."""
    cpu_of_idle: float
    """Processor seconds for each second in which none does."""
    bytes_read: float
    """Of a batch."""
    bytes_written: float
    files: float
    """Of a batch that publishes rows."""
    objects: float
    """Of a batch."""
    peak_memory_bytes: int


def measure(trial: Trial, whole: Cut, interval: Interval, known: Arrivals) -> Streamed:
    """Take the log through a stream: first in batches as small as live ones, then in larger ones.

    Args:
        trial: The mode.
        whole: Where the log is cut.
        interval: The compared range.
        known: How its records have arrived.
    """
    usage.forget_peak(trial.spark)
    busiest = max(known.rates.values(), default=0.0)
    small = max(1, round(busiest * 0.5))
    with trial.open() as job:
        start = _start(job, whole, interval)
        total = sum(whole.ends[name].offsets.minus(start[name]) for name in job.logs)
        before = trial.objects()
        first = _first(job, whole, start, small)
        trial.say(f"{trial.mode.name}: about {_SMALL} micro-batches as small as live ones")
        with watch.watched(trial.spark, trial.pipeline.name) as live:
            _run(trial, job, first, interval.start, small, complete=False)
        written = trial.objects() - before
        trial.say(f"{trial.mode.name}: the rest of the log")
        large = max(small, total // _LARGE + 1)
        with watch.watched(trial.spark, trial.pipeline.name) as rest:
            begin = None if job.target.ownership().stream is not None else interval.start
            _run(trial, job, whole, begin, large, complete=True)
    added = [count for count in trial.snapshots().values() if count]
    peak = usage.of_run(trial.spark).peak_memory_bytes
    chosen = live if len(live.batches) > 1 else rest
    per_record = _slope(live, rest)
    used = chosen.used
    cpu = used.cpu_seconds / chosen.busy_seconds if used is not None and chosen.busy_seconds else 1.0
    count = max(1, len(chosen.counted) - 1)
    fixed = max(0.0, chosen.seconds - per_record * chosen.records)
    return Streamed(
        fixed=fixed,
        per_record=per_record,
        batches=len(live.batches) + len(rest.batches),
        cpu_of_busy=cpu,
        cpu_of_idle=_idle(trial, fixed, cpu),
        bytes_read=used.bytes_read / count if used is not None else 0.0,
        bytes_written=used.bytes_written / count if used is not None else 0.0,
        files=fmean(added) if added else 0.0,
        objects=max(0, written) / max(1, len(live.batches)),
        peak_memory_bytes=peak,
    )


def measure_rounds(trial: Trial, whole: Cut, interval: Interval, closes_after: int) -> Measured:
    """Measure a stream that recomputes what is open: some of its rounds, each after the one before it."""
    every = instant.duration(trial.pipeline.early_every)
    usage.forget_peak(trial.spark)
    rounds = Mode(name=trial.mode.name, every="1 hour")
    as_rounds = replace(trial, mode=rounds)
    last = interval.end + closes_after
    due = list(range(interval.start + every, last + 1, every))
    return scheduled.measure(as_rounds, whole, due, fresh=None)


def _run(trial: Trial, job: Job, until: Cut, begin: int | None, limit: int, *, complete: bool) -> None:
    request = continuous.Request(
        mode=trial.mode,
        grid=Mode(name="corrections", every="1 hour").grid(trial.zone),
        until=until,
        complete=complete,
        begin=begin,
        max_records_per_batch=limit,
    )
    continuous.run(job, request, threading.Event())


def _start(job: Job, whole: Cut, interval: Interval) -> dict[str, Offsets]:
    reach = job.analysis.reach
    return {
        name: log.offsets_at(
            instant.clamp(reach.before(interval.start) - job.pipeline.sources[name].earliness_micros),
            whole.ends[name].offsets,
        )
        for name, log in job.logs.items()
    }


def _first(job: Job, whole: Cut, start: dict[str, Offsets], limit: int) -> Cut:
    """Return a cut some small batches behind the start; a batch takes a record of each partition at least."""
    ends = {}
    for name, given in whole.ends.items():
        each = ceil(limit / max(1, len(given.offsets) * len(job.logs))) * _SMALL
        offsets = Offsets({p: min(start[name].get(p, 0) + each, end) for p, end in given.offsets.items()})
        # The log goes on behind it, so that having read to there proves nothing about the clock.
        ends[name] = replace(given, offsets=offsets, settled=frozenset())
    return replace(whole, ends=ends)


def _slope(live: Watch, rest: Watch) -> float:
    """Return the seconds that a record adds to a batch, from small and large ones."""
    more = rest.records - live.records
    return max(0.0, (rest.seconds - live.seconds) / more) if more > 0 and live.batches else 0.0


def _idle(trial: Trial, busy_of_batch: float, cpu_of_busy: float) -> float:
    """Return the processor seconds for each second in which a stream waits for records, at the end of the log."""
    table, name = f"{trial.pipeline.sink.table}_idle", f"{trial.pipeline.name}_idle"
    placed = scratch(trial.pipeline, table, name)
    idle = replace(trial, pipeline=placed)
    stop = threading.Event()
    trial.say(f"{trial.mode.name}: standing still")
    try:
        with idle.open() as job, ThreadPoolExecutor(1) as pool:
            request = continuous.Request(
                mode=trial.mode,
                grid=Mode(name="corrections", every="1 hour").grid(trial.zone),
                begin=_beyond(job),
            )
            running = pool.submit(continuous.run, job, request, stop)
            try:
                return _watch_idle(idle, running.done, stop, busy_of_batch, cpu_of_busy)
            finally:
                stop.set()
                running.result()
    finally:
        idle.remove()


def _beyond(job: Job) -> int:
    """Return an output time beyond all that the logs hold now."""
    reach, last = job.analysis.reach, instant.BEGINNING
    for name, log in job.logs.items():
        latest = max(log.latest_arrivals(log.ends().offsets).values(), default=instant.BEGINNING)
        last = max(last, latest + job.pipeline.sources[name].earliness_micros)
    return instant.clamp(last + reach.history + instant.SECOND)


def _watch_idle(
    trial: Trial,
    has_ended: Callable[[], bool],
    stop: threading.Event,
    busy_of_batch: float,
    cpu_of_busy: float,
) -> float:
    """Wait until a stream stands still, and see what it uses for some seconds; batches in them are taken off."""
    deadline = time.monotonic() + _PATIENCE
    query = None
    while time.monotonic() < deadline and not has_ended():
        query = watch.running(trial.spark, trial.pipeline.name)
        if query is not None and query.status["message"].startswith("Waiting for"):
            break
        stop.wait(_LOOK_EVERY)
    stop.wait(_SETTLE)  # what was compiled by then is compiled

    def batches() -> int:
        last = None if query is None else query.lastProgress
        return 0 if last is None else int(last.batchId)

    known, before, began = batches(), usage.of_run(trial.spark), time.monotonic()
    stop.wait(_QUIET)
    seconds, used = time.monotonic() - began, usage.of_run(trial.spark).minus(before)
    busy = min(seconds / 2, (batches() - known) * busy_of_batch)
    return max(0.0, used.cpu_seconds - busy * cpu_of_busy) / (seconds - busy)
