"""The same log through every open mode: how fresh the rows are and what they cost. Leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from headway import instant
from headway.comparison import Comparison, Machine, ModeFigures
from headway.errors import CallError
from headway.freshness import Closing, Freshness, Rounds, Schedule, Sent, Stream
from headway.interval import Grid, Interval
from headway.mode import Mode
from headway.pace import Pace
from headway.pipeline import Pipeline
from headway.plan.analysis import analyse, continuous_faults
from headway.prices import Prices
from headway.run import agreement, scheduled, streamed
from headway.run.arrivals import Arrivals, arrivals, sample
from headway.run.continuous import TICK, frontier_step
from headway.run.job import Job, looking, scratch
from headway.run.scheduled import Fresh, Measured
from headway.run.streamed import Streamed
from headway.run.trial import Trial, live
from headway.run.verify import cut_of, without_copies
from headway.source import Log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Request", "compare"]

_DAY = 86_400 * instant.SECOND
_DAY_SECONDS = 86_400.0
_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is compared."""

    pipeline: Pipeline
    modes: Mapping[str, Mode]
    interval: Interval
    zone: str
    prices: Prices
    fresh: Fresh
    """Does one scheduled run in a process of its own."""
    now: int
    """When the comparison is made, an instant."""
    say: Callable[[str], None] = lambda _: None


def compare(spark: SparkSession, logs: Mapping[str, Log], request: Request) -> Comparison:
    """Take a range of the log through each open mode, into tables of its own that are removed afterwards.

    Raises:
        CallError: There is nothing to compare: no source of records, no record, or fewer than two open modes.
        FailedRuleError: A suite ends a run in this range.
    """
    return _Comparing(spark, logs, request).run()


class _Comparing:
    """One comparison, while it lasts."""

    def __init__(self, spark: SparkSession, logs: Mapping[str, Log], request: Request) -> None:
        self.spark = spark
        self.logs = logs
        self.request = request
        self.pipeline = without_copies(request.pipeline)
        self.interval = request.interval
        self.days = (request.interval.end - request.interval.start) / _DAY
        self.cores = spark.sparkContext.defaultParallelism
        self.mark = uuid.uuid4().hex[:8]
        self.work = Path(tempfile.mkdtemp(prefix="headway-compare-"))
        self.trials: list[Trial] = []
        self.results: dict[str, DataFrame] = {}
        self.sent: list[Sent] | None = None

    def run(self) -> Comparison:
        pipeline, request = self.pipeline, self.request
        try:
            if not self.logs:
                raise CallError(
                    f"{pipeline.name!r} reads tables of other pipelines only, which tell nothing of how records arrive",
                    hint="Compare the modes of the pipelines that it reads.",
                )
            analysis = analyse(self.spark, pipeline)
            why = "; ".join(continuous_faults(self.spark, pipeline, analysis))
            is_open = {n: m for n, m in request.modes.items() if m.is_bounded or not why}
            if len(is_open) < 2:
                raise CallError(f"only {', '.join(is_open)} is open to {pipeline.name!r}: nothing to compare")
            self.job = looking(self.spark, pipeline, self.logs, zone=request.zone)
            self.whole = cut_of(self.spark, pipeline, analysis, self.logs, self.interval)
            request.say(f"{pipeline.name}: reading the log")
            self.known = arrivals(self.job, self.whole, self.interval)
            if not self.known.records:
                raise CallError(
                    f"no record of {pipeline.name!r} has an event time within {self.interval}",
                    hint="Name a range that the log holds.",
                )
            figures = [self._mode(mode) for mode in _in_order(is_open)]
            return self._comparison(figures, {n: why for n in request.modes if n not in is_open})
        finally:
            for trial in self.trials:
                trial.remove()
            shutil.rmtree(self.work, ignore_errors=True)

    def _comparison(self, figures: list[ModeFigures], closed: dict[str, str]) -> Comparison:
        known, request = self.known, self.request
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
        return Comparison(
            pipeline=self.pipeline.name,
            start=instant.iso(self.interval.start),
            end=instant.iso(self.interval.end),
            created_at=instant.iso(request.now),
            records=known.records,
            sampled_records=len(self.sent or []),
            late_share=round(known.late_share, 6),
            arrival_lag=known.lag,
            machine=Machine(self.cores, round(memory, 1)),
            prices=request.prices,
            # Streams are measured first, in a session that has done nothing else, and shown last.
            modes=tuple(sorted(figures, key=lambda f: -(f.interval_seconds or 0))),
            closed_modes=closed,
            emit=self.pipeline.emit,
            closes_after_seconds=_closes_after(self.job) / instant.SECOND,
        )

    # One mode

    def _mode(self, mode: Mode) -> ModeFigures:
        trial = self._trial(mode)
        self.request.say(f"{self.pipeline.name}: {mode.name}")
        if mode.is_bounded:
            figures = self._bounded(trial)
        elif self.job.shows_by == "recomputing":
            figures = self._rounds(trial)
        else:
            figures = self._stream(trial)
        return figures

    def _trial(self, mode: Mode) -> Trial:
        placed = scratch(
            self.pipeline,
            f"{self.pipeline.sink.table.partition('.')[0]}.headway_compare.{self.pipeline.name}_{mode.name}_{self.mark}",
            f"{self.pipeline.name}_compare_{self.mark}_{mode.name}",
        )
        is_query = not mode.is_bounded and self.job.shows_by != "recomputing"
        trial = Trial(
            spark=self.spark,
            pipeline=placed if is_query else live(placed),
            logs=self.logs,
            mode=mode,
            state=str(self.work),
            zone=self.request.zone,
            begin=self.interval.start,
            say=self.request.say,
        )
        self.trials.append(trial)
        return trial

    def _bounded(self, trial: Trial) -> ModeFigures:
        job, mode, zone, interval = self.job, trial.mode, self.request.zone, self.interval
        is_early = self.pipeline.emit == "early"
        grid, after = mode.grid(zone), _closes_after(job)
        due = scheduled.publishing(mode, zone, interval, after, early=is_early)
        times = scheduled.runs_a_day(mode, zone, interval.start) * self.days
        measured = scheduled.measure(trial, self.whole, due, self.request.fresh)
        rows, agrees = self._taken(trial)
        latest = max([sent.arrival for sent in self.sent or []], default=interval.end)
        until = max(latest, interval.end) + after + 3 * max(_DAY, grid.length)
        schedule = Schedule(
            moments=scheduled.moments(mode, zone, interval.start - _DAY, until),
            closing=None if is_early else Closing(grid=_coarsest(grid, job), after=after),
            start_up=measured.start_up_seconds,
            run=measured.run_seconds,
        )
        held = times * (measured.start_up_seconds + measured.run_seconds) / self.days
        return self._figures(
            trial, measured, rows=rows, agrees=agrees, held=held,
            freshness=schedule.freshness(self.sent or []), times=times,
        )  # fmt: skip

    def _rounds(self, trial: Trial) -> ModeFigures:
        job, interval = self.job, self.interval
        after = _closes_after(job)
        every = instant.duration(self.pipeline.early_every) / instant.SECOND
        measured = streamed.measure_rounds(trial, self.whole, interval, after)
        rows, agrees = self._taken(trial)
        is_early = self.pipeline.emit == "early"
        units = None if job.gate is None or not job.holds else job.gate.units
        rounds = Rounds(
            every=every,
            run=measured.run_seconds,
            closing=None if is_early else Closing(grid=units, after=after),
        )
        return self._figures(
            trial, measured, rows=rows, agrees=agrees, held=_DAY_SECONDS,
            freshness=rounds.freshness(self.sent or []), times=self.days * _DAY_SECONDS / every,
        )  # fmt: skip

    def _stream(self, trial: Trial) -> ModeFigures:
        job, known, mode = self.job, self.known, trial.mode
        measured = streamed.measure(trial, self.whole, self.interval, known)
        rows, agrees = self._taken(trial)
        pace = Pace(
            fixed=measured.fixed,
            per_record=measured.per_record,
            trigger=instant.duration(mode.trigger or "0 seconds") / instant.SECOND,
            step=frontier_step(job.analysis.reach.history) / instant.SECOND
            if job.analysis.is_stateful
            else None,
        )
        waits = self.pipeline.emit == "final" and job.analysis.early != "appending"
        stream = Stream(
            pace=pace,
            rates=known.rates,
            closing=Closing(grid=None, after=_closes_after(job)) if waits else None,
            tick=TICK,
        )
        return self._streaming(trial, measured, pace, stream, rows=rows, agrees=agrees, waits=waits)

    # Figures

    def _streaming(
        self,
        trial: Trial,
        measured: Streamed,
        pace: Pace,
        stream: Stream,
        *,
        rows: int,
        agrees: bool,
        waits: bool,
    ) -> ModeFigures:
        hours = _hours(self.known, self.interval)
        batches, busy = pace.batches(hours), pace.busy_seconds(hours)
        span = self.days * _DAY_SECONDS
        cpu = busy * measured.cpu_of_busy + max(0.0, span - busy) * measured.cpu_of_idle
        # Where rows wait, a batch publishes when something has closed; else each that has records does.
        closings = len({sent.output for sent in self.sent or []})
        publishes = min(batches, closings) if waits else min(batches, self.known.records)
        files = publishes * measured.files
        peak = [pace.at(rate) for rate in self.known.rates.values()]
        return ModeFigures(
            name=trial.mode.name,
            kind="streaming",
            interval_seconds=None,
            runs=1,
            measured_runs=1,
            batches=round(batches),
            measured_batches=measured.batches,
            freshness=stream.freshness(self.sent or []),
            run_seconds=round(measured.fixed + measured.per_record, 3),
            start_up_seconds=0.0,
            cpu_seconds=round(cpu, 1),
            cpu_seconds_per_day=round(cpu / self.days, 1),
            held_core_seconds_per_day=_DAY_SECONDS * self.cores,
            bytes_read=round(batches * measured.bytes_read),
            bytes_written=round(batches * measured.bytes_written),
            files=round(files),
            files_per_day=round(files / self.days, 1),
            object_writes_per_day=round(batches * measured.objects / self.days, 1),
            peak_memory_bytes=measured.peak_memory_bytes,
            dollars_per_day=self._dollars(
                _DAY_SECONDS, measured.peak_memory_bytes, batches * measured.objects / self.days
            ),
            rows=rows,
            agrees=agrees,
            keeps_up=all(beat.keeps_up for beat in peak),
        )

    def _figures(
        self,
        trial: Trial,
        measured: Measured,
        *,
        times: float,
        rows: int,
        agrees: bool,
        held: float,
        freshness: Freshness,
    ) -> ModeFigures:
        """Scale means of runs or rounds to as many as the range has; `held` is in seconds a day."""
        mode = trial.mode
        cpu, files, writes = (
            times * each for each in (measured.cpu_seconds, measured.files, measured.objects)
        )
        return ModeFigures(
            name=mode.name,
            kind="bounded" if mode.is_bounded else "streaming",
            interval_seconds=mode.grid(trial.zone).length / instant.SECOND if mode.is_bounded else None,
            runs=max(1, round(times)) if mode.is_bounded else 1,
            measured_runs=measured.measured_runs if mode.is_bounded else 1,
            batches=None if mode.is_bounded else round(times),
            measured_batches=None if mode.is_bounded else measured.measured_runs,
            freshness=freshness,
            run_seconds=round(measured.run_seconds, 3),
            start_up_seconds=round(measured.start_up_seconds, 3),
            cpu_seconds=round(cpu, 1),
            cpu_seconds_per_day=round(cpu / self.days, 1),
            held_core_seconds_per_day=round(held * self.cores, 1),
            bytes_read=round(times * measured.bytes_read),
            bytes_written=round(times * measured.bytes_written),
            files=round(files),
            files_per_day=round(files / self.days, 1),
            object_writes_per_day=round(writes / self.days, 1),
            peak_memory_bytes=measured.peak_memory_bytes,
            dollars_per_day=self._dollars(held, measured.peak_memory_bytes, writes / self.days),
            rows=rows,
            agrees=agrees,
        )

    def _dollars(self, held_seconds: float, memory: float, writes: float) -> float:
        cost = self.request.prices.of(
            core_seconds=held_seconds * self.cores,
            memory_bytes=memory,
            memory_seconds=held_seconds,
            writes=writes,
        )
        return round(cost, 4)

    def _taken(self, trial: Trial) -> tuple[int, bool]:
        """Keep a mode's rows, and compare them with the first mode's; then the sample is drawn, if it was not."""
        table, target = trial.pipeline.sink.table, self.job.target
        rows = self.spark.table(table).filter(target.result.condition(self.interval))
        self.results[trial.mode.name] = rows
        if self.sent is None:
            self.sent = sample(self.job, self.whole, self.interval, self.known, rows)
        first = next(iter(self.results))
        found = agreement.compare(self.results[first], rows, first, trial.mode.name)
        return rows.count(), found.differences == 0


def _in_order(modes: Mapping[str, Mode]) -> list[Mode]:
    return sorted(
        modes.values(), key=lambda m: (m.is_bounded, -instant.duration(m.every or "0 seconds"), m.name)
    )


def _closes_after(job: Job) -> int:
    """Return how long after its end an interval is closed while each log is read to its end."""
    waits = [s.lateness_micros + s.disorder_micros + s.skew_micros for s in job.pipeline.sources.values()]
    return max(waits) + job.analysis.reach.ahead


def _coarsest(grid: Grid, job: Job) -> Grid:
    """Return the intervals that are shown as a whole: the mode's, or the units that a suite holds."""
    if job.gate is None or not job.gate.holds:
        return grid
    units = job.gate.units
    return units if units.length > grid.length else grid


def _hours(known: Arrivals, interval: Interval) -> list[int]:
    """Return how many records arrived in each hour of the range, quiet ones too."""
    hour = 3_600 * instant.SECOND
    first, count = interval.start - interval.start % hour, ceil((interval.end - interval.start) / hour)
    return [round(known.rates.get(first + n * hour, 0.0) * 3_600) for n in range(count)]
