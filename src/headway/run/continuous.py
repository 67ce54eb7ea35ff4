"""The continuous strategy: a Structured Streaming query whose watermark is the frontier.

The function is put behind the same admission as in bounded modes. Each micro-batch is one
commit to the sink. Between batches the calling thread moves the frontiers, stops the query,
and has corrections computed by the bounded strategy. Where `emit="early"` can be shown
neither row by row nor by upserts, the bounded strategy recomputes the open intervals instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from headway import instant
from headway.errors import (
    DefinitionError,
    Error,
    FailedRuleError,
    LeaseHeldError,
    LostDataError,
    TerminalError,
    TransientError,
    UnavailableError,
)
from headway.frontier import frontier
from headway.interval import Grid, Interval
from headway.mode import Mode
from headway.offsets import Offsets
from headway.ownership import Ownership
from headway.plan.analysis import continuous_faults
from headway.run import admission, bounded, lineage, markers, observation
from headway.run.admission import FATE, Fate
from headway.run.batches import Batches
from headway.run.decisions import Decisions
from headway.run.inputs import at_versions, require_left, validity_frames
from headway.run.job import Cut, Job, Report, leased
from headway.run.judging import judge_closed, raise_if_failed
from headway.run.judging_sources import judge_sources
from headway.run.lineage import Lineage
from headway.sink import Applied
from headway.source import Ends
from headway.telemetry import spark_log
from headway.telemetry.events import Reached, Standing
from headway.telemetry.progress import listening

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["TICK", "Request", "frontier_step", "run"]

_MARKER = -1
"""Fate of a marker row, which is no record."""
_MILLI = 1_000
TICK = 1.0
"""Seconds after which a quiet stream looks again."""
_MOVE_EVERY = 1.0
"""Seconds: each move of a frontier gives the next micro-batch one more partition."""
_LOOK_EVERY = 60.0
_CORRECT_EVERY = 30.0
"""Seconds: corrections that come one by one are computed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a continuous run is asked for."""

    mode: Mode
    grid: Grid
    """Intervals by which corrections are recomputed."""
    until: Cut | None = None
    """Stop once the inputs are read up to it and everything that they close is published; None: run on."""
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
        FailedRuleError: A rule of a suite has failed that ends the run.
    """
    faults = continuous_faults(job.spark, job.pipeline, job.analysis)
    if faults:
        raise DefinitionError(
            f"pipeline {job.pipeline.name!r} cannot run continuously: " + "; ".join(faults),
            where=job.pipeline.where,
        )
    ownership = job.target.ownership()
    job.check_identities(ownership)
    lineage.require_no_gap(job, ownership)
    job.telemetry.tell(Standing.of(ownership))
    report = Report(pipeline=job.pipeline.name, mode=request.mode.name, lineage=bounded.LINEAGE)
    try:
        if job.shows_by == "recomputing":
            _recompute(job, request, report, stop)
        else:
            _stream(job, request, report, stop)
    except FailedRuleError as exc:
        exc.report = report
        raise
    return report


def _stream(job: Job, request: Request, report: Report, stop: threading.Event) -> None:
    begin = request.begin
    while True:
        ownership = job.target.ownership()
        chosen = lineage.chosen(job, ownership, begin)
        report.lineage = chosen.name
        stream = _Stream(job, request, chosen, ownership, report, stop)
        stream.run()
        if stream.wants_stop or not (stream.is_passed_on or stream.wants_new_versions):
            return
        begin = stream.batches.end if stream.is_passed_on else None
        job.say(
            "a lookup has a new version, records were erased or decisions made: the stream goes on with that"
        )


def _recompute(job: Job, request: Request, report: Report, stop: threading.Event) -> None:
    """Publish what is closed and show what is open by the bounded strategy, again and again.

    That is every `early_every`, and at once where an upstream has published something.
    """
    pause = instant.duration(job.pipeline.early_every) / instant.SECOND
    while True:
        began = time.monotonic()
        job.copies.take()
        cut = request.until or job.cut()
        asked = bounded.Request(
            mode=request.mode,
            grid=request.grid,
            cut=cut,
            complete=request.complete,
            to_the_frontier=bool(job.upstreams) or job.holds,
        )
        bounded.run(job, asked, report)
        if request.until is not None or stop.is_set() or job.held.is_asked_to_stop:
            return
        while time.monotonic() < began + pause and not _has_news(job, cut):
            if stop.wait(TICK) or job.held.is_asked_to_stop:
                return


def _has_news(job: Job, cut: Cut) -> bool:
    return any(job.upstreams[name].visible() != version.snapshot for name, version in cut.versions.items())


class _Stream:
    """One lineage's query, from start to stop."""

    def __init__(
        self,
        job: Job,
        request: Request,
        chosen: Lineage,
        ownership: Ownership,
        report: Report,
        stop: threading.Event,
    ) -> None:
        self.job = job
        self.request = request
        self.lineage = chosen
        self.ownership = ownership
        self.report = report
        self.batches = Batches(job, chosen, ownership, report)
        self.frontiers = markers.Frontiers()
        self.ends: Mapping[str, Ends] = {}
        """Where the logs ended when they were asked last."""
        self.reached = dict.fromkeys(job.logs, instant.BEGINNING)
        """The frontier of each source."""
        self.is_caught_up = False
        """Whether everything that was asked for is read; the frontiers stand still from then on."""
        self.failure: Error | None = None
        self.query: StreamingQuery | None = None
        self.stop_requested = stop
        self.started = threading.Event()
        self.batch_done = threading.Event()
        self.gate = threading.Lock()
        self.is_stopping = False
        self.wants_new_versions = False
        self.validities: Mapping[str, Applied] = {}
        self.erasures: Mapping[str, int] = {}
        self.decisions = Decisions()
        self.looked_at = self.moved_at = 0.0
        self.judged_through: list[int] = []
        self.corrected_at = time.monotonic()
        self.step = frontier_step(job.analysis.reach.history)

    @property
    def is_passed_on(self) -> bool:
        """Whether everything before the lineage's end is published, and a successor has to go on."""
        batches = self.batches
        return (
            batches.end < instant.END and batches.closed_through >= batches.end and not batches.is_catching_up
        )

    @property
    def wants_stop(self) -> bool:
        """Whether somebody has asked the run to end."""
        return self.stop_requested.is_set() or self.job.held.is_asked_to_stop

    def run(self) -> None:
        """Run the query; the calling thread keeps the frontiers."""
        if self.is_passed_on:
            return
        self.query = self._started()
        self.started.set()
        with listening(self.job.spark, self.query, self.job.telemetry):
            try:
                self._keep()
            finally:
                self._stop_query()
        if self.failure is not None:
            raise self.failure
        if self.batches.is_catching_up:
            self.batches.give_up()
        if self.wants_new_versions:
            return
        if self.batches.is_catching_up and self.report.batches:
            self.job.say(
                "stopped before it had caught up with what the mode before it shows: nothing was changed"
            )
            return
        if self.request.until is not None:
            through = min(self.reached.values())
            if self.job.analysis.is_stateful:
                # Rows beyond the watermark are in the state, and not published yet.
                through = min(through, self.batches.watermark)
            self.batches.close(through - self.job.analysis.reach.ahead)
            self._correct()
            self._judge()

    # Starting

    def _start_offsets(self, name: str) -> Offsets:
        """Return where a new lineage begins to read: far enough back to warm its state up."""
        source, log = self.job.pipeline.sources[name], self.job.logs[name]
        if not self.lineage.is_new or self.lineage.begin == instant.BEGINNING:
            return log.begins()
        if self.ownership.segments:
            why = f"a stream would go on from {instant.iso(self.lineage.begin)}"
            require_left(self.job, self.lineage.begin, why)
        moment = self.job.analysis.reach.before(self.lineage.begin) - source.earliness_micros
        start = log.offsets_at(instant.clamp(moment), log.ends().offsets)
        if self.request.begin is not None:
            return start
        # Named intervals may have closed what lies beyond the records that were looked at.
        return start.least(self.ownership.position.get(name, log.begins()))

    def _started(self) -> StreamingQuery:
        job = self.job
        cut = self.request.until or job.cut()
        self.ends, self.validities, self.erasures = cut.ends, cut.validities, cut.erasures
        self.decisions = cut.decisions
        rows = self._rows({name: self._frame(name) for name in job.logs})
        if job.gate is not None:
            rows = job.gate.watched(rows, job.target.within(Interval(self.lineage.begin, instant.END)))
        if cut.validities or any(cut.erasures.values()) or cut.decisions.number:
            request = bounded.Request(
                mode=self.request.mode, grid=self.request.grid, cut=cut, beside_stream=True
            )
            bounded.take_up_news(job, request, self._read_until())
        trigger = instant.duration(self.request.mode.trigger or "0 seconds")
        writer = (
            rows.writeStream.foreachBatch(self._publish)
            .option("checkpointLocation", self.lineage.checkpoint)
            .queryName(f"headway {job.pipeline.name}")
            .trigger(processingTime=f"{trigger // _MILLI} milliseconds")
            .outputMode("update" if job.shows_by == "upsert" else "append")
        )
        return writer.start()

    def _read_until(self) -> int:
        """Return an output time before which all lie that the records read so far can give rise to."""
        until = self.batches.closed_through
        for name, source in self.job.pipeline.sources.items():
            arrivals = self.batches.progress[name].arrivals
            last = max(arrivals.values(), default=instant.BEGINNING) + source.disorder_micros
            until = max(until, last + source.earliness_micros + self.job.analysis.reach.history + 1)
        return instant.clamp(until)

    def _frame(self, name: str) -> DataFrame:
        from pyspark.sql import functions as F

        job = self.job
        source, log = job.pipeline.sources[name], job.logs[name]
        start = self._start_offsets(name)
        progress = self.batches.begin(name, start)
        limit = self.request.max_records_per_batch or source.max_records_per_batch
        streamed = log.stream(job.spark, start if self.lineage.is_new else None, limit)
        streamed = self.decisions.marked(streamed, source, job.identities[name], start=progress.read)
        judged = admission.judge(streamed, source, job.checks.get(name)).drop(admission.RAW)
        # What is not admitted has no say in the watermark: an early record may be dated to any year.
        is_admitted = F.col(FATE) == int(Fate.ADMITTED)
        judged = judged.withColumn(source.event_time, F.when(is_admitted, F.col(source.event_time)))
        marks = self.frontiers.markers(job.spark, name)
        watched = judged.unionByName(_as_records(marks, judged, source.event_time)).withWatermark(
            source.event_time, f"{markers.DELAY_DAYS} days"
        )
        counted = watched.observe(
            observation.name_of(name), *observation.counts(source, sorted(progress.read))
        )
        return admission.admit(counted, F.col(FATE) == int(Fate.ADMITTED))

    def _rows(self, frames: Mapping[str, DataFrame]) -> DataFrame:
        epochs, valid = self.lineage.epochs, validity_frames(self.job, self.validities)
        if not epochs:
            return self.job.pipeline.function(**frames, **valid)
        parts = [at_versions(self.job, frames, valid, epoch, by_record=len(epochs) > 1) for epoch in epochs]
        return reduce(lambda a, b: a.unionByName(b), parts)

    # On Spark's stream thread

    def _publish(self, rows: DataFrame, batch_id: int) -> None:
        self.started.wait()
        while not self.gate.acquire(timeout=0.1):
            if self.is_stopping:
                raise _StopRequestedError
        try:
            self._look_for_versions()
            self.is_stopping = self.is_stopping or self.is_passed_on
            if self.is_stopping:
                raise _StopRequestedError
            self.batches.publish(rows, batch_id, self.query)
            self._tell()
        except Error as exc:
            self.failure = exc
            raise
        finally:
            self.gate.release()
            self.batch_done.set()

    def _tell(self) -> None:
        """Make what this batch has proved the watermark of the next; a marker would make it that of the one after.

        Spark writes the watermark beside the batch, so one that is replayed gets the same.
        """
        assert self.query is not None
        self._reach()
        proved = min(self.reached.values()) // _MILLI
        tracker = self.query._jsq.streamingQuery().watermarkTracker()
        if proved > tracker.currentWatermark():
            tracker.setWatermark(proved)

    def _look_for_versions(self) -> None:
        """Find out whether a lookup has a version that the query does not know of, or records were erased.

        A version counts for records that arrive `settle` after it or later, so it is enough to
        look twice within that time.
        """
        lookups = self.job.pipeline.lookups.values()
        if self.is_stopping:
            return
        settles = [instant.duration(lookup.settle) / instant.SECOND for lookup in lookups]
        if time.monotonic() - self.looked_at < min([_LOOK_EVERY, *(settle / 2 for settle in settles)]):
            return
        self.looked_at = time.monotonic()
        self.job.copies.take()
        current = {n: t.version() for n, t in self.job.validities.items()}
        is_known = current == self.validities and self.job.erasures() == self.erasures
        is_known = is_known and self.job.books.decided_through() == self.decisions.number
        changed = self.request.until is None and not is_known
        now = lineage.epochs(self.job, self.lineage.begin)
        if changed:
            self.wants_new_versions = self.is_stopping = True
        elif not now:
            return
        elif self.job.analysis.is_stateful:
            self.batches.end = max(now[-1].end, self.batches.closed_through)
        elif now != self.lineage.epochs:
            self.wants_new_versions = self.is_stopping = True

    # Between batches, on the calling thread

    def _keep(self) -> None:
        """Move the frontiers after each batch and each second, until the query is to stop."""
        assert self.query is not None
        while True:
            is_quiet = not self.batch_done.wait(TICK) and not self._takes_records()
            self.batch_done.clear()
            if self.failure is not None or self.is_stopping or self.is_passed_on:
                return
            if not self.query.isActive:
                raise _query_error(self.query)
            if self.wants_stop:
                return
            if is_quiet:
                with self.gate:
                    self._look_for_versions()
            if self._move_frontiers(is_quiet) and self.request.until is not None:
                return
            if not self.batches.is_catching_up:
                self._judge()
            if time.monotonic() - self.corrected_at >= _CORRECT_EVERY and not self.batches.is_catching_up:
                self.corrected_at = time.monotonic()
                with self.gate:
                    self._correct()

    def _takes_records(self) -> bool:
        """Tell whether a batch runs now that has new records; what it proves, it tells by itself."""
        assert self.query is not None
        status = self.query.status
        return bool(status["isTriggerActive"] and status["isDataAvailable"])

    def _move_frontiers(self, is_quiet: bool) -> bool:
        """Ask where the logs end, and make a quiet query run a batch where its watermark is behind what is proved.

        Returns whether everything that was asked for is published.
        """
        if self.request.until is None or self._is_beyond(self.request.until):
            if time.monotonic() - self.moved_at < _MOVE_EVERY:
                return False
            self.moved_at = time.monotonic()
            self.ends = {name: log.ends() for name, log in self.job.logs.items()}
        self._reach()
        least = min(self.reached.values())
        if is_quiet and least > self.batches.watermark:
            for name, reached in self.reached.items():
                self.frontiers.move(name, reached)
        return self.is_caught_up and (not self.job.analysis.is_stateful or self.batches.watermark >= least)

    def _is_beyond(self, until: Cut) -> bool:
        """Tell whether records were read beyond a cut: its ends say nothing of them."""
        read = {name: progress.read for name, progress in self.batches.progress.items()}
        return not all(ends.offsets.covers(read[name]) for name, ends in until.ends.items())

    def _reach(self) -> None:
        """Move the frontiers to what is proved now."""
        until, progress = self.request.until, self.batches.progress
        if self.is_caught_up:
            return
        is_caught_up = until is not None and all(
            progress[n].read.covers(ends.offsets) for n, ends in until.ends.items()
        )
        before = dict(self.reached)
        for name, source in self.job.pipeline.sources.items():
            if is_caught_up and self.request.complete:
                proved = self._end_of_log()
            else:
                now = progress[name]
                proved = frontier(source, read=now.read, arrivals=now.arrivals, ends=self.ends[name])
                if not is_caught_up:
                    proved -= proved % self.step
            self.reached[name] = max(self.reached[name], proved)
        if self.reached != before:
            self.job.telemetry.tell(Reached(dict(self.reached)))
        self.is_caught_up = is_caught_up  # last: the other thread takes it to mean that the rest is done

    def _end_of_log(self) -> int:
        """Return a frontier that closes everything, for a log that was declared to have ended."""
        assert self.request.until is not None
        bounds = bounded.output_range(self.job, self.request.until)
        last = self.request.grid.ceiling(bounds[1]) if bounds is not None else self.lineage.begin
        if self.job.gate is not None:
            last = self.job.gate.units.ceiling(last)
        closing = last + self.job.analysis.reach.ahead
        # Up to a whole millisecond: the watermark has no finer grain, and would never get there.
        return -(-closing // _MILLI) * _MILLI

    def _judge(self) -> None:
        """Judge the units that have closed since.

        Raises:
            FailedRuleError: A rule has failed that ends the run; what it is about is published and marked.
        """
        job, known = self.job, len(self.report.failed)
        if job.gate is None and not job.source_gates:
            return
        if self.judged_through == (now := self._units_passed()):
            return
        cut = self._seen_cut()
        asked = bounded.Request(mode=self.request.mode, grid=self.request.grid, cut=cut, beside_stream=True)
        with self.gate:
            judge_sources(
                job, cut, self.reached, self.report, lambda after: bounded.commit_of_map(job, asked, after)
            )
            judge_closed(
                job,
                self.report,
                lambda after: bounded.commit_of_map(job, asked, after),
                lambda unit: bounded.rows_of(job, asked, unit),
            )
        self.judged_through = now
        raise_if_failed(self.report.failed[known:])

    def _units_passed(self) -> list[int]:
        """Return the boundaries of units that the stream and its sources have come past."""
        job = self.job
        passed = [gate.units.floor(self.reached[name]) for name, gate in job.source_gates.items()]
        if job.gate is not None:
            passed.append(job.gate.units.floor(self.batches.closed_through))
        return passed

    def _seen_cut(self) -> Cut:
        """Return where the inputs end, as the stream itself sees them: what changes later it takes up at its next start."""
        return replace(
            self.request.until or self.job.cut(),
            validities=self.validities,
            erasures=self.erasures,
            decisions=self.decisions,
        )

    def _correct(self) -> None:
        """Have the bounded strategy recompute closed ranges that corrections wait for.

        Ranges from before this stream began are somebody else's, so they take a lease of their
        own; while another run holds it, they stay queued.

        Raises:
            FailedRuleError: A rule that ends the run has failed for what was computed anew.
        """
        job, known = self.job, len(self.report.failed)
        ownership = job.target.ownership()
        due = ownership.corrections(before=ownership.closed_through or instant.BEGINNING)
        if not due:
            return
        cut = self._seen_cut()
        asked = bounded.Request(mode=self.request.mode, grid=self.request.grid, cut=cut, beside_stream=True)
        bounded.settle_corrections(job, asked, self.report)
        held = job.held.holder.interval
        if due[0].start < held.start:
            first = self.request.grid.floor(due[0].start)
            if job.gate is not None:
                first = job.gate.units.floor(first)
            before = Interval(first, held.start)
            try:
                with leased(job, self.request.mode.name, before) as other:
                    bounded.settle_corrections(other, asked, self.report)
            except LeaseHeldError as exc:
                job.say(f"corrections of {before} wait: {exc.what}")
        raise_if_failed(self.report.failed[known:])

    def _stop_query(self) -> None:
        """Stop between two batches: no batch is inside its commit while the query is told to stop."""
        assert self.query is not None
        self.is_stopping = self.is_stopping or self.failure is None
        context = self.job.spark.sparkContext
        level = spark_log.level(self.job.spark)
        context.setLogLevel("OFF")  # a batch that was about to begin ends with an error, on purpose
        with self.gate:
            self.query.stop()
        context.setLogLevel(level)


class _StopRequestedError(Exception):
    """Ends a batch that has not begun, because the run is to stop."""


def _as_records(marks: DataFrame, judged: DataFrame, event_time: str) -> DataFrame:
    """Return markers with the columns of records.

    A batch in which a log has nothing new consists of its markers alone. If Spark knew that their
    columns are null, it would conclude from a join that the other side's rows cannot match either,
    and leave them out, for good. So their values look as if they depended on the partition.
    """
    from pyspark.sql import functions as F

    never = F.spark_partition_id() < 0
    own = {event_time: F.col("at"), FATE: F.when(~never, F.lit(_MARKER))}
    return marks.select(
        *[
            own.get(f.name, F.when(never, F.lit(None).cast(f.dataType))).alias(f.name)
            for f in judged.schema.fields
        ]
    )


def frontier_step(history: int) -> int:
    """Return by how much a frontier moves at a time, so that a quiet stream is not all markers."""
    return min(60 * instant.SECOND, max(instant.SECOND, history // 60))


def _query_error(query: StreamingQuery) -> Error:
    exc = query.exception()
    said = str(exc).strip().splitlines() if exc is not None else ["it ended without a reason"]
    if "snapshot was expired or removed" in " ".join(said[:4]):
        return LostDataError(
            "the stream ended: expiry has taken the commit of a landing table that it had read up to",
            hint="Run a bounded mode to take up what has landed since; a stream goes on after it. Keep snapshots longer than a stream may stand still.",
        )
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
