"""A log with an archive beside it: what the log has forgotten, or has parsed before, is read from there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from headway.errors import LostDataError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.run import admission
from headway.run.archive import Archive, Held, between, hours_of, kept
from headway.source import Ends, Log, Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["ArchivedLog"]

_TAKE_IN_EVERY = 60.0
"""Seconds, beside a stream."""


class ArchivedLog:
    """Implements `headway.source.Log`, `Landing` and `Erasable` over another log, which lands nothing, and its archive.

    What the log still holds is asked of the log; the archive answers for what retention has eaten. Records
    are read from the archive as far as it goes. A stream reads the log itself, without what was erased.
    """

    def __init__(self, log: Log, source: Source, spark: SparkSession) -> None:
        """Name the archive; it is made when records are taken in."""
        self._log = log
        self._source = source
        self._spark = spark
        self._archive = Archive(spark, source)
        self._known: Held | None = None
        self._first: dict[int, int] = {}
        """Arrival of the first record of each partition that the archive holds and the log no longer."""
        self._asked: dict[tuple[int, str], Offsets] = {}
        """First offsets by instant and by what the log had lost: each is asked more than once, and is a job of Spark."""

    def identity(self) -> str:
        """See `headway.source.Log.identity`."""
        return self._log.identity()

    def begins(self) -> Offsets:
        """Return the first offset of each partition that the log or the archive holds."""
        return self._log.begins() if (held := self._held()) is None else self._log.begins().least(held.start)

    def ends(self) -> Ends:
        """See `headway.source.Log.ends`."""
        return self._log.ends()

    def offsets_at(self, moment: int, ends: Offsets) -> Offsets:
        """See `headway.source.Log.offsets_at`."""
        found = self._log.offsets_at(moment, ends)
        eaten = self._eaten()
        if not eaten:
            return found
        left = self._log.earliest_arrivals()
        eaten = Offsets(
            {p: o for p, o in eaten.items() if moment <= left.get(p, moment) + self._source.disorder_micros}
        )
        if not eaten:
            return found
        lost = between(Offsets({}), eaten)
        older = self._asked.get((moment, lost))
        if older is None:
            since = f"timestamp >= timestamp_micros({moment}) AND ({lost})"
            older = Offsets({p: o for p, (o, _) in self._archive.arrivals(since, "first").items()})
            self._asked[moment, lost] = older
        return Offsets({p: min(offset, older.get(p, offset)) for p, offset in found.items()})

    def latest_arrivals(self, ends: Offsets) -> dict[int, int]:
        """See `headway.source.Log.latest_arrivals`."""
        found = self._log.latest_arrivals(ends)
        missing = {p: end for p, end in self._eaten().items() if p not in found}
        if missing:
            below = Offsets(missing).least(Offsets({p: ends.get(p, 0) for p in missing}))
            known = self._archive.arrivals(between(Offsets({}), below), "latest")
            found |= {p: arrival for p, (_, arrival) in known.items()}
        return found

    def earliest_arrivals(self) -> dict[int, int]:
        """See `headway.source.Log.earliest_arrivals`."""
        eaten = self._eaten()
        if eaten and not self._first:
            known = self._archive.arrivals(between(Offsets({}), eaten), "first")
            self._first = {p: arrival for p, (_, arrival) in known.items()}
        return self._log.earliest_arrivals() | self._first

    def intact_since(self) -> dict[int, int]:
        """See `headway.source.Log.intact_since`; what the archive holds is left."""
        held = self._held()
        eaten = self._log.intact_since()
        if held is None or not eaten:
            return eaten
        begins = self._log.begins()
        whole = {p for p in eaten if held.start.get(p, 1) == 0 and held.end.get(p, 0) >= begins[p]}
        joined = {p for p in eaten if p in held.start and held.end.get(p, 0) >= begins[p]} - whole
        first = self._archive.arrivals(between(Offsets({}), held.end), "first") if joined else {}
        return {
            p: first[p][1] if p in joined and p in first else since
            for p, since in eaten.items()
            if p not in whole
        }

    def read(self, spark: SparkSession, start: Offsets, end: Offsets) -> DataFrame:
        """Return the raw records of `[start, end)` that were not erased, parsed already; see `headway.source.Log.read`.

        Raises:
            LostDataError: Retention has eaten records that are not in the archive.
        """
        held = self._held()
        if held is None:
            return self._from_log(start, end)
        first = Offsets({p: start.get(p, 0) for p in end})
        known = Offsets({p: min(held.end.get(p, 0), last) for p, last in end.items()}).greatest(first)
        before = {p: o for p, o in first.items() if o < held.start.get(p, o)}
        if before and any(o < self._log.begins().get(p, 0) for p, o in before.items()):
            raise LostDataError(
                f"retention has eaten records of {self._source.name!r} from before the archive {self._archive.name} "
                f"(partitions {', '.join(map(str, before))})",
                hint="Name a later --start; headway never skips lost records silently.",
            )
        parts = [self._archive.frame(first, known)]
        if before:
            parts.append(self._from_log(first, Offsets({p: held.start[p] for p in before})))
        if not known.covers(end):
            parts.append(self._from_log(known, Offsets({p: o for p, o in end.items() if o > known[p]})))
        rows = parts[0]
        for part in parts[1:]:
            rows = rows.unionByName(part)
        return rows

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """See `headway.source.Log.stream`; without what was erased when it began."""
        return self._log.stream(spark, start, limit).filter(kept(self._archive.erasures()))

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """See `headway.source.Log.parse_stream_offset`."""
        return self._log.parse_stream_offset(text)

    def close(self) -> None:
        """Let go of connections."""
        self._log.close()

    def land(self) -> int:
        """Take into the archive what it has not got, and return how many records that were.

        Raises:
            LostDataError: Retention has eaten records before they were taken in.
        """
        taken = 0
        for count in self._archive.take_in(self._log, self._log.ends().offsets):
            taken += count
            self._known = None
        return taken

    def land_until(self, ended: threading.Event) -> None:
        """Take in what comes, once a minute, until `ended` is set."""
        while not ended.wait(_TAKE_IN_EVERY):
            for _ in self._archive.take_in(self._log, self._log.ends().offsets):
                self._known = None
                if ended.is_set():
                    break

    def erasures(self) -> int:
        """See `headway.source.Erasable.erasures`."""
        return max((e.number for e in self._archive.erasures()), default=0)

    def erased_keys(self, since: int, to: int) -> list[str]:
        """See `headway.source.Erasable.erased_keys`."""
        return [e.key_hash for e in self._archive.erasures() if since < e.number <= to]

    def erased(self, since: int, to: int) -> tuple[Interval, ...]:
        """See `headway.source.Erasable.erased`."""
        return hours_of([e for e in self._archive.erasures() if since < e.number <= to])

    def _held(self) -> Held | None:
        """Return what the archive holds, as of the last time that this run has changed it."""
        held = self._known
        if held is None:
            held = self._archive.held()
            if held is not None:
                self._archive.require_same(held, self._log)
            self._known = held
        return held

    def _eaten(self) -> Offsets:
        """Return the partitions of which the archive holds more than the log, and where the log begins in them."""
        held = self._held()
        if held is None:
            return Offsets({})
        return Offsets({p: o for p, o in self._log.begins().items() if held.start.get(p, o) < o})

    def _from_log(self, start: Offsets, end: Offsets) -> DataFrame:
        erasures = [e for e in self._archive.erasures() if not start.covers(e.below)]
        raw = self._log.read(self._spark, start, end).filter(kept(erasures))
        return admission.parse(raw, self._source)
