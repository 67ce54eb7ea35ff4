"""The continuous strategy: a Structured Streaming query whose watermark is the frontier.

The function is put behind the same admission as in bounded modes. Each micro-batch is one
commit to the sink, which carries the batch's key, its pinned offsets and the map of who owns
what. Between batches a thread moves the frontiers, stops the query, and has corrections
computed by the bounded strategy.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from headway import instant
from headway.accounts import Accounts
from headway.errors import (
    DefinitionError,
    Error,
    ResultError,
    TerminalError,
    TransientError,
    UnavailableError,
)
from headway.frontier import frontier
from headway.interval import Grid, Interval
from headway.mode import Mode
from headway.offsets import Offsets
from headway.ownership import Ownership, Segment
from headway.plan.analysis import continuous_faults
from headway.run import admission, bounded, markers, observation, offset_log, rejects, versions
from headway.run.admission import FATE, Fate
from headway.run.files import Files
from headway.run.inputs import Reading, Scan, at_versions, recount
from headway.run.job import Job, Report, digest
from headway.sink import Commit, Staged
from headway.sinks.iceberg_table import MainMovedError
from headway.source import Ends

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["Request", "run"]

_MARKER = -1
"""Fate of a marker row, which is no record."""
_RACES = 5
_MILLI = 1_000
_TICK = 1.0
_MOVE_EVERY = 0.5
_LOOK_EVERY = 60.0
_CORRECT_EVERY = 30.0
"""Seconds: corrections that come one by one are computed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a continuous run is asked for."""

    mode: Mode
    grid: Grid
    """Intervals by which corrections are recomputed."""
    until: Mapping[str, Ends] | None = None
    """Stop once these ends are read and everything that they close is published; None: run on."""
    complete: bool = False
    """With `until`: the log has ended there, so everything is closed."""
    begin: int | None = None
    """Where a new lineage begins to own output time; None: after what is final, else at the log's begin."""
    max_records_per_batch: int | None = None
    """Over the sources' own limits."""


def run(job: Job, request: Request, stop: threading.Event) -> Report:
    """Run until `stop` is set, or until `request.until` is reached.

    Raises:
        DefinitionError: The continuous mode is closed to this definition.
        FencedOffError: Another run has taken over.
        RejectedDataError: Too many dead letters; the batch was not published.
    """
    faults = continuous_faults(job.spark, job.pipeline, job.analysis)
    if faults:
        raise DefinitionError(
            f"pipeline {job.pipeline.name!r} cannot run continuously: " + "; ".join(faults),
            where=job.pipeline.where,
        )
    ownership = job.target.ownership()
    job.check_identities(ownership)
    return _Stream(job, request, ownership, stop).run()


@dataclass(slots=True)
class _Progress:
    """How far one source has been read, and what that proves."""

    read: Offsets
    arrivals: dict[int, int] = field(default_factory=dict)


class _Stream:
    def __init__(self, job: Job, request: Request, ownership: Ownership, stop: threading.Event) -> None:
        self.job = job
        self.request = request
        self.stop_requested = stop
        self.lineage, self.begin, self.is_new = self._lineage(ownership)
        self.folder = f"{job.state}/{job.pipeline.name}/{self.lineage}"
        self.checkpoint = f"{self.folder}/checkpoint"
        self.work = Path(tempfile.mkdtemp(prefix="headway-"))
        self.frontiers = markers.Frontiers(self.work)
        self.report = Report(pipeline=job.pipeline.name, mode=request.mode.name, lineage=self.lineage)
        self.progress: dict[str, _Progress] = {}
        self.counted = dict(ownership.position)
        self.reached: dict[str, int] = {}
        self.failure: Error | None = None
        self.query: StreamingQuery | None = None
        self.started = threading.Event()
        self.batch_done = threading.Event()
        self.gate = threading.Lock()
        self.is_stopping = False
        self.watermark = instant.BEGINNING
        if not self.is_new and ownership.closed_through is not None:
            self.watermark = ownership.closed_through + job.analysis.reach.ahead
        self.epochs: list[versions.Epoch] = []
        self.looked_at = 0.0
        self.moved_at = 0.0
        self.wants_new_versions = False
        self.corrected_at = time.monotonic()
        self.last_batch = -1 if self.is_new else ownership.batch
        self.last_fingerprint = ownership.batch_fingerprint
        self.step = _step(job.analysis.reach.history)

    def run(self) -> Report:
        """Run the query; the calling thread keeps the frontiers."""
        try:
            while self._run_query():
                self.job.say("a lookup has a new version: going on with it")
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
        if self.failure is not None:
            raise self.failure
        self._close()
        return self.report

    # Starting

    def _lineage(self, ownership: Ownership) -> tuple[str, int, bool]:
        """Return the lineage to go on with, where its ownership begins, and whether it is new."""
        same = ownership.stream is not None and ownership.stream.endswith(self.job.inputs)
        if same and ownership.begins is not None and ownership.stream is not None:
            path = f"{self.job.state}/{self.job.pipeline.name}/{ownership.stream}/checkpoint/metadata"
            if Files(self.job.spark).exists(path):
                return ownership.stream, ownership.begins, False
        begin = self.request.begin
        if begin is None:
            begin = ownership.closed_through
        if begin is None:
            ends = {name: log.ends() for name, log in self.job.logs.items()}
            bounds = bounded.output_range(self.job, ends)
            begin = bounds[0] if bounds is not None else instant.BEGINNING
        return f"{uuid.uuid4().hex[:8]}-{self.job.inputs}", begin, True

    def _start_offsets(self, name: str) -> Offsets:
        """Return where a new lineage begins to read: far enough back to warm its state up."""
        source, log = self.job.pipeline.sources[name], self.job.logs[name]
        ends = log.ends().offsets
        if self.begin == instant.BEGINNING:
            return log.begins()
        moment = self.job.analysis.reach.before(self.begin) - source.earliness_micros
        return log.offsets_at(instant.clamp(moment), ends)

    def _run_query(self) -> bool:
        """Run one query to its end; tells whether another one has to follow, with new lookups."""
        job = self.job
        self.started.clear()
        self.is_stopping = self.wants_new_versions = False
        frames = {name: self._frame(name) for name in job.logs}
        rows = self._rows(frames)
        writer = rows.writeStream.foreachBatch(self._publish).option("checkpointLocation", self.checkpoint)
        writer = writer.queryName(f"headway {job.pipeline.name}")
        trigger = instant.duration(self.request.mode.trigger or "0 seconds")
        writer = writer.trigger(processingTime=f"{trigger // 1_000} milliseconds")
        self.query = writer.outputMode("update" if self.upserts else "append").start()
        self.started.set()
        try:
            self._keep()
        finally:
            self._stop_query()
        return self._is_replanned()

    @property
    def upserts(self) -> bool:
        """Whether open windows are shown by upserts."""
        return self.job.pipeline.emit == "early" and self.job.analysis.is_stateful

    def _frame(self, name: str) -> DataFrame:
        from pyspark.sql import functions as F

        job = self.job
        source, log = job.pipeline.sources[name], job.logs[name]
        start = self._start_offsets(name) if self.is_new else log.begins()
        if name not in self.progress:
            read = start if self.is_new else self.counted.get(name, start)
            self.progress[name] = _Progress(read=read, arrivals=log.latest_arrivals(read))
        limit = self.request.max_records_per_batch or source.max_records_per_batch
        judged = admission.judge(log.stream(job.spark, start, limit), source).drop(admission.RAW)
        marks = (
            job.spark.readStream.format(markers.FORMAT)
            .option("source", name)
            .option("path", str(self.frontiers.path(name)))
            .load()
            .select(F.col("at").alias(source.event_time), F.lit(_MARKER).alias(FATE))
        )
        together = judged.unionByName(marks, allowMissingColumns=True)
        watched = together.withWatermark(source.event_time, f"{markers.DELAY_DAYS} days")
        counted = watched.observe(
            observation.name_of(name), *observation.counts(source, sorted(self.progress[name].read))
        )
        return admission.admit(counted, F.col(FATE) == int(Fate.ADMITTED))

    def _rows(self, frames: Mapping[str, DataFrame]) -> DataFrame:
        job = self.job
        if not job.pipeline.lookups:
            return job.pipeline.function(**frames)
        self.epochs = versions.epochs(job.spark, job.pipeline.lookups, instant.BEGINNING, instant.END)
        by_record = len(self.epochs) > 1
        parts = [at_versions(job, frames, epoch, by_record=by_record) for epoch in self.epochs]
        return reduce(lambda a, b: a.unionByName(b), parts)

    # One micro-batch, on Spark's stream thread

    def _publish(self, rows: DataFrame, batch_id: int) -> None:
        self.started.wait()
        while not self.gate.acquire(timeout=0.1):
            if self.is_stopping:
                raise _StopRequestedError
        try:
            if self.is_stopping:
                raise _StopRequestedError
            self._publish_batch(rows, batch_id)
        except Error as exc:
            self.failure = exc
            raise
        finally:
            self.gate.release()
            self.batch_done.set()

    def _publish_batch(self, rows: DataFrame, batch_id: int) -> None:
        job = self.job
        entry = offset_log.read(job.spark, self.checkpoint, batch_id, job.logs)
        if self._versions_have_changed():
            self.wants_new_versions = self.is_stopping = True
            raise _StopRequestedError
        fingerprint = digest([job.inputs, {n: o.to_json() for n, o in entry.ends.items()}, entry.watermark])
        if batch_id <= self.last_batch:
            self._skip(rows, batch_id, fingerprint, entry)
            return
        for attempt in range(_RACES):
            try:
                self._commit_batch(rows, batch_id, entry, fingerprint)
            except MainMovedError:
                if attempt == _RACES - 1:
                    raise
            else:
                return

    def _skip(self, rows: DataFrame, batch_id: int, fingerprint: str, entry: offset_log.BatchEntry) -> None:
        """Pass over a batch that the sink holds already: it was committed, and Spark was not told.

        It is computed all the same, for the state that the next batch builds on.
        """
        if batch_id == self.last_batch and fingerprint != self.last_fingerprint:
            raise TerminalError(
                f"batch {batch_id} of lineage {self.lineage} is in {self.job.pipeline.sink.table} with other inputs",
                where=self.checkpoint,
                hint="The checkpoint is not the one that wrote the table. Restore it, or remove it to begin a new lineage.",
            )
        rows.write.format("noop").mode("overwrite").save()
        for name, end in entry.ends.items():
            self.progress[name] = _Progress(read=end, arrivals=self.job.logs[name].latest_arrivals(end))
        self.watermark = entry.watermark

    def _commit_batch(
        self, rows: DataFrame, batch_id: int, entry: offset_log.BatchEntry, fingerprint: str
    ) -> None:
        job, target = self.job, self.job.target
        ownership = target.ownership()
        published_through = max(self.begin, ownership.closed_through or instant.BEGINNING)
        closed = max(published_through, entry.watermark - job.analysis.reach.ahead)
        after = ownership.with_position(entry.ends)
        if closed > published_through:
            segment = Segment(
                Interval(published_through, closed), self.request.mode.name, self.lineage, 1, job.inputs
            )
            after = after.with_final(segment)
        after = replace(
            after,
            stream=self.lineage,
            begins=self.begin,
            batch=batch_id,
            batch_fingerprint=fingerprint,
            open_rows=True,
        )
        readings = {
            n: Reading(start=self.progress[n].read, end=end, new_from=self._new_from(n))
            for n, end in entry.ends.items()
        }
        commit = Commit(
            pipeline=job.pipeline.name,
            mode=self.request.mode.name,
            lineage=self.lineage,
            interval=Interval(published_through, closed) if closed > published_through else None,
            revision=1,
            batch_id=batch_id,
            fingerprint=fingerprint,
            closed_through=closed,
            token=job.held.token,
            offsets={n: {**r.to_json(), "log": job.identities[n]} for n, r in readings.items()},
            lookups={n: sorted({e.snapshots[n] or 0 for e in self.epochs}) for n in job.pipeline.lookups},
            ownership=after,
        )
        owned = rows.filter(target.condition(Interval(published_through, instant.END)))
        takes_over = ownership.open_rows and ownership.stream != self.lineage
        replaced = Interval(published_through, instant.END) if takes_over else None
        staged = self._stage(owned, commit, replaced)
        scans = self._scans(readings, entry.watermark)
        staged, quarantined = self._look_again(readings, scans, entry.watermark, commit, staged)
        job.held.check()
        self.report.snapshot = target.publish(staged)
        self._account(readings, scans, quarantined, staged.rows)
        self.report.batches += 1
        self.report.closed_through = closed
        self.watermark = entry.watermark

    def _new_from(self, name: str) -> Offsets:
        """Return where a source's uncounted records begin: a stream that warms its state up rereads some."""
        read = self.progress[name].read
        return read.greatest(self.counted[name]) if name in self.counted else read

    def _stage(self, rows: DataFrame, commit: Commit, replaced: Interval | None) -> Staged:
        if not self.upserts or replaced is not None:
            return self.job.target.stage(rows, commit, replace=replaced)
        held = rows.persist()
        try:
            self._require_unique(held)
            return self.job.target.stage_upsert(held, commit)
        finally:
            held.unpersist()

    def _require_unique(self, rows: DataFrame) -> None:
        from pyspark.sql import functions as F

        keys = list(self.job.pipeline.sink.keys)
        twice = rows.groupBy(*keys).count().filter(F.col("count") > 1).first()
        if twice is not None:
            raise ResultError(
                f"two rows of one commit have the same keys {keys}: {twice.asDict()}",
                where=self.job.pipeline.where,
                hint="The sink's keys have to identify a row.",
            )

    def _scans(self, readings: Mapping[str, Reading], watermark: int) -> dict[str, Scan]:
        """Return what the batch counted while it wrote; doubtful counts are taken again."""
        scans = {}
        observed = observation.of_running_batch(self.query)
        for name, reading in readings.items():
            counts = observed.get(observation.name_of(name))
            arrivals = self.progress[name].arrivals
            for partition in reading.end:
                arrival = None if counts is None else counts.get(f"a{partition}")
                if arrival is not None:
                    arrivals[partition] = max(arrival, arrivals.get(partition, arrival))
            if reading.new_records == 0:
                scans[name] = Scan(accounts=Accounts(), touching=0)
                continue
            scan = None if counts is None else observation.scan_of_batch(counts, watermark)
            if scan is None or scan.accounts.read != reading.new_records or scan.accounts.balance():
                arrivals |= self.job.logs[name].latest_arrivals(reading.end)
                scan = recount(self.job, name, reading, watermark)
                scan = replace(scan, touching=scan.touching + scan.accounts.late)
            scans[name] = scan
        return scans

    def _look_again(
        self,
        readings: Mapping[str, Reading],
        scans: Mapping[str, Scan],
        watermark: int,
        commit: Commit,
        staged: Staged,
    ) -> tuple[Staged, int]:
        job = self.job
        quarantined = 0
        touched: list[Interval] = []
        for name, scan in scans.items():
            quarantined += rejects.settle(job, name, readings[name], scan.accounts)
            if scan.touching:
                touched += rejects.left_out(job, name, readings[name], watermark)
        touched = [Interval(max(t.start, self.begin), t.end) for t in touched if t.end > self.begin]
        if touched:
            amended = replace(commit, ownership=commit.ownership.with_pending(touched))
            staged = replace(job.target.amend(amended), rows=staged.rows)
        return staged, quarantined

    def _account(
        self, readings: Mapping[str, Reading], scans: Mapping[str, Scan], quarantined: int, published: int
    ) -> None:
        total = Accounts(published=published, quarantined=quarantined)
        for name, scan in scans.items():
            is_dropped = self.job.pipeline.sources[name].late == "drop"
            dropped = scan.accounts.late + scan.accounts.early if is_dropped else 0
            total = total.plus(replace(scan.accounts, dropped=dropped))
            self.progress[name] = _Progress(read=readings[name].end, arrivals=self.progress[name].arrivals)
        self.report.accounts = self.report.accounts.plus(total)

    def _versions_have_changed(self) -> bool:
        """Tell whether a lookup has a version that the query does not know of.

        A version counts for records that arrive `settle` after it or later, so it is enough to
        look twice within that time.
        """
        lookups = self.job.pipeline.lookups.values()
        if not lookups:
            return False
        settle = min(instant.duration(lookup.settle) for lookup in lookups) / instant.SECOND
        if time.monotonic() - self.looked_at < min(_LOOK_EVERY, settle / 2):
            return False
        self.looked_at = time.monotonic()
        now = versions.epochs(self.job.spark, self.job.pipeline.lookups, instant.BEGINNING, instant.END)
        return now != self.epochs

    # Between batches, on the calling thread

    def _keep(self) -> None:
        """Move the frontiers after each batch and each second, until the query is to stop."""
        assert self.query is not None
        while True:
            self.batch_done.wait(_TICK)
            self.batch_done.clear()
            if self.failure is not None or self.is_stopping:
                return
            if not self.query.isActive:
                raise _query_error(self.query)
            if self.stop_requested.is_set() or self.job.held.is_asked_to_stop:
                return
            if self._move_frontiers() and self.request.until is not None:
                return
            self._correct()

    def _move_frontiers(self) -> bool:
        """Write what is proved now; tells whether everything that was asked for is published."""
        until = self.request.until
        if until is None and time.monotonic() - self.moved_at < _MOVE_EVERY:
            return False
        self.moved_at = time.monotonic()
        is_caught_up = until is not None and all(
            self.progress[n].read.covers(ends.offsets) for n, ends in until.items()
        )
        for name, source in self.job.pipeline.sources.items():
            ends = until[name] if until is not None else self.job.logs[name].ends()
            progress = self.progress[name]
            if is_caught_up and self.request.complete:
                proved = self._end_of_log()
            else:
                proved = frontier(source, read=progress.read, arrivals=progress.arrivals, ends=ends)
                if not is_caught_up:
                    proved -= proved % self.step
            self.frontiers.move(name, proved)
            self.reached[name] = self.frontiers.read(name)
        if not is_caught_up:
            return False
        return not self.job.analysis.is_stateful or self.watermark >= min(self.reached.values())

    def _end_of_log(self) -> int:
        """Return a frontier that closes everything, for a log that was declared to have ended."""
        assert self.request.until is not None
        bounds = bounded.output_range(self.job, self.request.until)
        last = self.request.grid.ceiling(bounds[1]) if bounds is not None else self.begin
        closing = last + self.job.analysis.reach.ahead
        # Up to a whole millisecond: the watermark has no finer grain, and would never get there.
        return -(-closing // _MILLI) * _MILLI

    def _correct(self) -> None:
        """Have the bounded strategy recompute closed ranges that corrections wait for, now and then."""
        if time.monotonic() - self.corrected_at < _CORRECT_EVERY:
            return
        self.corrected_at = time.monotonic()
        with self.gate:
            ownership = self.job.target.ownership()
            if ownership.corrections(before=ownership.closed_through or instant.BEGINNING):
                _correct(self.job, self.request, self.report)

    def _stop_query(self) -> None:
        """Stop between two batches: no batch is inside its commit while the query is told to stop."""
        assert self.query is not None
        self.is_stopping = self.is_stopping or self.failure is None
        context = self.job.spark.sparkContext
        context.setLogLevel("OFF")  # a batch that was about to begin ends with an error, on purpose
        with self.gate:
            self.query.stop()
        context.setLogLevel("ERROR")

    def _is_replanned(self) -> bool:
        wants_stop = (
            self.failure is not None or self.stop_requested.is_set() or self.job.held.is_asked_to_stop
        )
        self.is_new = False
        return not wants_stop and self.wants_new_versions

    def _close(self) -> None:
        """Publish, without rows, how far everything is closed: what the last frontier has proved."""
        job = self.job
        ownership = job.target.ownership()
        if not self.reached or self.request.until is None or ownership.stream != self.lineage:
            return
        reached = min(self.reached.values()) - job.analysis.reach.ahead
        through = ownership.closed_through or self.begin
        if reached > through:
            segment = Segment(Interval(through, reached), self.request.mode.name, self.lineage, 1, job.inputs)
            after = ownership.with_final(segment)
            commit = Commit(
                pipeline=job.pipeline.name,
                mode=self.request.mode.name,
                lineage=self.lineage,
                interval=segment.interval,
                revision=1,
                batch_id=ownership.batch,
                fingerprint=ownership.batch_fingerprint,
                closed_through=reached,
                token=job.held.token,
                offsets={
                    n: {"from": p.read.to_json(), "to": p.read.to_json(), "log": job.identities[n]}
                    for n, p in self.progress.items()
                },
                lookups={},
                ownership=after,
            )
            self.report.snapshot = job.target.publish(job.target.stage_empty(commit))
            self.report.closed_through = reached
        _correct(job, self.request, self.report)


class _StopRequestedError(Exception):
    """Ends a batch that has not begun, because the run is to stop."""


def _correct(job: Job, request: Request, report: Report) -> None:
    ends = request.until or {name: log.ends() for name, log in job.logs.items()}
    asked = bounded.Request(mode=request.mode, grid=request.grid, ends=ends, beside_stream=True)
    bounded.settle_corrections(job, asked, report)


def _step(history: int) -> int:
    """Return by how much a frontier moves at a time, so that a quiet stream is not all markers."""
    return min(60 * instant.SECOND, max(instant.SECOND, history // 60))


def _query_error(query: StreamingQuery) -> Error:
    exc = query.exception()
    said = str(exc).strip().splitlines() if exc is not None else ["it ended without a reason"]
    if "Concurrent" in " ".join(said[:3]):
        return TransientError("the stream ended: another query uses its checkpoint")
    if any(
        word in " ".join(said) for word in ("TimeoutException", "DisconnectException", "Connection refused")
    ):
        return UnavailableError(
            "the stream ended: the Kafka broker no longer answers",
            hint="Run the same command again once it does; nothing is lost.",
        )
    return TerminalError(
        "the stream ended: " + " ".join(said[:4]), hint="Run with -v for Spark's own stack trace."
    )
