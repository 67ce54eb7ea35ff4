"""Committing micro-batches: each is one commit to the sink, with its key, its pinned offsets and the map.

Called on Spark's stream thread, one batch at a time. A batch that the sink holds already is
passed over; one whose inputs are not those that were pinned is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headway import instant
from headway.accounts import Accounts
from headway.errors import TerminalError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.ownership import Ownership, Segment
from headway.run import observation, offset_log, rejects
from headway.run.files import Files
from headway.run.gate import OBSERVATION, Split
from headway.run.inputs import Reading, Scan, recount, total
from headway.run.job import Job, Report, digest
from headway.run.judging import set_aside, taken_over, together
from headway.run.lineage import Lineage
from headway.sink import Commit, Staged
from headway.sinks.iceberg_table import MainMovedError
from headway.telemetry.events import Published, Standing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["Batches", "Progress"]

_RACES = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one source has been read, and the greatest arrivals that this has shown."""

    read: Offsets
    arrivals: Mapping[int, int]


class Batches:
    """The commits of one lineage.

    A new lineage that takes over rows which another mode shows beyond what is final keeps its
    own commits on the staging branch until it has read what that mode had read. They replace
    those rows in one step then: no reader sees a hole or a double.
    """

    def __init__(self, job: Job, lineage: Lineage, ownership: Ownership, report: Report) -> None:
        self._job = job
        self._lineage = lineage
        self._report = report
        self._files = Files(job.spark)
        self._last_batch = -1 if lineage.is_new else ownership.batch
        self._last_fingerprint = ownership.batch_fingerprint
        takes_over = lineage.is_new and ownership.open_rows
        self._owed: Mapping[str, Offsets] = ownership.position if takes_over else {}
        self._hidden: Staged | None = None
        self._untold = Published(accounts=Accounts())
        """What commits have counted that are not visible yet."""
        self.end = lineage.end
        self._final = ownership.closed_through or instant.BEGINNING
        self.closed_through = max(lineage.begin, self._final)
        self._accounts_before = report.accounts
        self.watermark = instant.BEGINNING
        if not lineage.is_new and ownership.closed_through is not None:
            self.watermark = ownership.closed_through + job.analysis.reach.ahead
        self.progress: dict[str, Progress] = {}
        self._resumed: Mapping[str, Offsets] = {}
        if not lineage.is_new and ownership.batch >= 0:
            entry = offset_log.read(self._files, lineage.checkpoint, ownership.batch, job.logs)
            self._resumed = entry.ends

    @property
    def is_catching_up(self) -> bool:
        """Whether another mode's rows are still shown in place of this lineage's."""
        return bool(self._owed)

    def begin(self, name: str, start: Offsets) -> Progress:
        """Return how far a source was read before the first batch, which begins at `start`."""
        # Where Spark goes on: the sink's position may be ahead, by a correction or a bounded run.
        read = self._resumed.get(name, start)
        self.progress[name] = Progress(read=read, arrivals=self._job.logs[name].latest_arrivals(read))
        return self.progress[name]

    def publish(self, rows: DataFrame, batch_id: int, query: StreamingQuery | None) -> None:
        """Commit one batch, or pass over it.

        Raises:
            TerminalError: The sink holds this batch with other inputs.
            MainMovedError: Other writers kept committing in between.
            FencedOffError: Another run has taken over.
        """
        job, lineage = self._job, self._lineage
        entry = offset_log.read(self._files, lineage.checkpoint, batch_id, job.logs)
        fingerprint = digest([job.inputs, {n: o.to_json() for n, o in entry.ends.items()}, entry.watermark])
        if batch_id <= self._last_batch:
            self._skip(rows, batch_id, fingerprint, entry)
            return
        is_read_again = job.shows_by == "upsert"
        if is_read_again:
            rows = rows.persist()
        try:
            for attempt in range(_RACES):
                try:
                    self._commit(rows, batch_id, entry, fingerprint, query)
                except MainMovedError:
                    if attempt == _RACES - 1 or self._hidden is not None:
                        raise
                else:
                    return
        finally:
            if is_read_again:
                rows.unpersist()

    def give_up(self) -> None:
        """Take back from the report what was staged and will not be shown."""
        self._report.accounts = self._accounts_before

    def close(self, reached: int) -> None:
        """Publish, without rows, that everything before `reached` is closed."""
        job = self._job
        ownership = job.target.ownership()
        through = min(reached, self.end)
        if ownership.stream != self._lineage.name or through <= self.closed_through:
            return
        readings = {n: Reading(start=p.read, end=p.read, new_from=None) for n, p in self.progress.items()}
        commit = self._commit_of(ownership, ownership.batch, ownership.batch_fingerprint, readings, through)
        staged = job.target.stage_empty(replace(commit, touches=None))
        job.held.check()
        self._report.snapshot = job.target.publish(staged)
        job.telemetry.tell(Standing.of(commit.ownership))
        job.followers.follow(staged)
        self._passed(through)

    def _skip(self, rows: DataFrame, batch_id: int, fingerprint: str, entry: offset_log.BatchEntry) -> None:
        """Pass over a batch that the sink holds already: it was committed, and Spark was not told.

        It is computed all the same, for the state that the next batch builds on.
        """
        if batch_id == self._last_batch and fingerprint != self._last_fingerprint:
            raise TerminalError(
                f"batch {batch_id} of lineage {self._lineage.name} is in {self._job.pipeline.sink.table} with other inputs",
                where=self._lineage.checkpoint,
                hint="The checkpoint is not the one that wrote the table. Restore it, or remove it to begin a new lineage.",
            )
        rows.write.format("noop").mode("overwrite").save()
        for name, end in entry.ends.items():
            self.progress[name] = Progress(read=end, arrivals=self._job.logs[name].latest_arrivals(end))
        self.watermark = entry.watermark

    def _commit(
        self,
        rows: DataFrame,
        batch_id: int,
        entry: offset_log.BatchEntry,
        fingerprint: str,
        query: StreamingQuery | None,
    ) -> None:
        job, target = self._job, self._job.target
        base = target.history.visible() if self._hidden is None else None
        ownership = target.ownership() if self._hidden is None else self._hidden.commit.ownership
        published = self.closed_through
        closed = min(max(published, entry.watermark - job.analysis.reach.ahead), self.end)
        readings = {
            n: Reading(start=self.progress[n].read, end=end, new_from=self._new_from(n, ownership))
            for n, end in entry.ends.items()
        }
        commit = self._commit_of(ownership, batch_id, fingerprint, readings, closed)
        owned = rows.filter(target.within(self._own(published)))
        split = None
        if job.gate is not None:
            split = job.gate.split_batch(owned, lambda: observation.of_running_batch(query).get(OBSERVATION))
        owned = owned if split is None else split.kept
        takes_over = ownership.open_rows and ownership.stream != self._lineage.name
        if job.gate is not None and self._lineage.is_new and batch_id == 0:
            # A lineage before this one, published or not, may have set rows aside that come again now.
            job.books.forget_rejected(Interval(published, instant.END))
        if job.gate is not None and takes_over:
            known = taken_over(job.gate, ownership).tallies
            commit = replace(commit, ownership=replace(commit.ownership, tallies=known))
        staged = self._stage(owned, commit, Interval(published, instant.END) if takes_over else None, base)
        # A straggler is below what Spark has evicted, or below what was final before this run.
        past = max(entry.watermark, self._final + job.analysis.reach.ahead - 1)
        scans, arrivals = self._scans(readings, past, query)
        rejected = 0
        if split is not None:
            staged, rejected = self._set_aside(split, staged)
        staged, quarantined = self._look_again(readings, scans, past, entry.watermark, staged)
        job.held.check()
        counted = total(job.pipeline, scans, quarantined=quarantined, published=staged.rows)
        read = {n: entry.ends.get(n, progress.read) for n, progress in self.progress.items()}
        if all(read[n].covers(owed) for n, owed in self._owed.items() if n in read):
            self._report.snapshot = target.publish(staged)
            self._owed, self._hidden = {}, None
            self._tell(staged, counted, rejected)
            job.followers.follow(staged, owned)
        else:
            self._hidden = staged
            self._untold = self._untold.plus(counted, rejected)
        self._report.accounts = self._report.accounts.plus(counted)
        for name, reading in readings.items():
            self.progress[name] = Progress(read=reading.end, arrivals=arrivals[name])
        self._report.batches += 1
        self._report.rejected += rejected
        self.watermark = entry.watermark
        self._passed(closed)

    def _tell(self, staged: Staged, counted: Accounts, rejected: int) -> None:
        told = self._untold.plus(counted, rejected)
        self._untold = Published(accounts=Accounts())
        self._job.telemetry.tell(replace(told, batch=staged.commit.batch_id, snapshot=self._report.snapshot))
        self._job.telemetry.tell(Standing.of(staged.commit.ownership))

    def _set_aside(self, split: Split, staged: Staged) -> tuple[Staged, int]:
        """Set the rows aside that rules have rejected, counted by unit for when that is judged; return how many."""
        job, commit = self._job, staged.commit
        assert job.gate is not None
        if not job.gate.is_dirty(split, staged.rows):
            return staged, 0
        known = commit.ownership.tallies
        counted, rejected = set_aside(job, job.gate, split, commit, replaced=None)
        if not rejected:
            return staged, 0
        added = {unit: together(job.gate, dict(known.get(unit, {})), new) for unit, new in counted.items()}
        after = commit.ownership.with_tallies(added)
        return job.target.amend(staged, replace(commit, ownership=after)), rejected

    def _commit_of(
        self,
        ownership: Ownership,
        batch_id: int,
        fingerprint: str,
        readings: Mapping[str, Reading],
        closed: int,
    ) -> Commit:
        job, lineage = self._job, self._lineage
        after = ownership.with_position({n: r.end for n, r in readings.items()})
        settled = Interval(self.closed_through, closed) if closed > self.closed_through else None
        if settled is not None:
            after = after.with_final(Segment(settled, self._report.mode, lineage.name, 1, job.inputs))
        return Commit(
            pipeline=job.pipeline.name,
            mode=self._report.mode,
            lineage=lineage.name,
            interval=settled,
            revision=1,
            batch_id=batch_id,
            fingerprint=fingerprint,
            closed_through=closed,
            token=job.held.token,
            offsets=job.told(job.offsets_of({n: r.to_json() for n, r in readings.items()})),
            touches=Interval(self.closed_through, instant.END),
            lookups={n: sorted({e.snapshots[n] for e in lineage.epochs}) for n in job.pipeline.versioned},
            ownership=replace(
                after,
                stream=lineage.name,
                begins=lineage.begin,
                batch=batch_id,
                batch_fingerprint=fingerprint,
                open_rows=True,
            ),
        )

    def _own(self, published: int) -> Interval:
        """Return the range of output time whose rows this lineage still has to publish."""
        if published < self.end:
            return Interval(published, self.end)
        # It only catches up; the batch is computed all the same, for its state, and no row lies here.
        return Interval(instant.END - 1, instant.END)

    def _passed(self, closed: int) -> None:
        self.closed_through = closed
        self._report.closed_through = closed

    def _new_from(self, name: str, ownership: Ownership) -> Offsets:
        """Return where a source's uncounted records begin.

        A stream that warms its state up rereads some, and a correction may have looked ahead.
        """
        read, counted = self.progress[name].read, ownership.position.get(name)
        return read if counted is None else read.greatest(counted)

    def _stage(self, rows: DataFrame, commit: Commit, replaced: Interval | None, base: int | None) -> Staged:
        target = self._job.target
        if self._job.shows_by != "upsert" or replaced is not None:
            return target.stage(rows, commit, replace=replaced, onto=self._hidden, base=base)
        return target.stage_upsert(rows, commit, onto=self._hidden)

    def _scans(
        self, readings: Mapping[str, Reading], past: int, query: StreamingQuery | None
    ) -> tuple[dict[str, Scan], dict[str, dict[int, int]]]:
        """Return what the batch counted while it wrote, and how far arrivals have come; what is doubtful is taken again."""
        scans, all_arrivals = {}, {}
        observed = observation.of_running_batch(query)
        for name, reading in readings.items():
            counts = observed.get(observation.name_of(name))
            arrivals = all_arrivals[name] = dict(self.progress[name].arrivals)
            for partition in reading.end:
                arrival = None if counts is None else counts.get(f"a{partition}")
                if arrival is not None:
                    arrivals[partition] = max(arrival, arrivals.get(partition, arrival))
            unknown = {p for p, end in reading.end.items() if end > reading.start.get(p, 0)} - arrivals.keys()
            if unknown:  # partitions that were added since the query began, or hold no readable record
                arrivals |= self._job.logs[name].latest_arrivals(reading.end)
            scan = None if counts is None else observation.scan_of_batch(counts, past)
            touching = 1 if scan is None else scan.touching
            if reading.new_records == 0:
                scans[name] = Scan(accounts=Accounts(), touching=touching)
                continue
            if scan is None or scan.accounts.read != reading.new_records or scan.accounts.balance():
                arrivals |= self._job.logs[name].latest_arrivals(reading.end)
                scan = recount(self._job, name, reading, past)
            scans[name] = replace(scan, touching=touching)
        return scans, all_arrivals

    def _look_again(
        self,
        readings: Mapping[str, Reading],
        scans: Mapping[str, Scan],
        past: int,
        watermark: int,
        staged: Staged,
    ) -> tuple[Staged, int]:
        """Deal with records that are not admitted, or come too late for this lineage's function."""
        job, commit = self._job, staged.commit
        begin = self._lineage.begin
        # Before the first segment nothing was ever published.
        first = min([begin, *(s.interval.start for s in commit.ownership.segments[:1])])
        quarantined = 0
        touched: list[Interval] = []
        for name, scan in scans.items():
            reading = readings[name]
            quarantined += rejects.settle(job, name, reading, scan)
            if not scan.touching:
                continue
            assert reading.new_from is not None
            known = reading.new_from.least(reading.end)
            if not reading.start.covers(known):
                # Looked at by another mode, which would have taken in what this one leaves out.
                again = Reading(start=reading.start, end=known, new_from=reading.start)
                touched += _from(begin, rejects.left_out(job, name, again, watermark))
            if reading.new_records:
                touched += _from(first, rejects.left_out(job, name, reading, past))
        return rejects.queued(job, staged, touched), quarantined


def _from(begin: int, touched: Iterable[Interval]) -> list[Interval]:
    return [Interval(max(t.start, begin), t.end) for t in touched if t.end > begin]
