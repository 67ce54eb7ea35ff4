"""Write a pipeline's test once, with records in memory and a movable clock, and run it in every mode::

    def test_late_record_is_left_out(harness, mode):
        log = MemoryLog("flights", partitions=2, clock=Clock("2013-02-01T12:00:00Z"))
        log.append({"origin": "JFK", "scheduled_at": "2013-02-01T08:00:00Z"}, arrival="2013-02-01T08:05:00Z")
        rows = harness.run(punctuality, {"flights": log}, mode)

Records go where they are told: a late one has a late arrival, a duplicate is appended twice,
an idle partition gets none, a lagging one is read last. Spark and Iceberg are real; only the
broker is replaced.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.config import Quality
from headway.interval import Interval
from headway.mode import Mode
from headway.offsets import Offsets
from headway.pipeline import Pipeline
from headway.run import bounded, continuous, driven, landing
from headway.run.job import Job, Report, opened, scratch
from headway.source import Ends, Log
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["MODES", "Clock", "Harness", "MemoryLog"]

MODES = {
    "daily": Mode(name="daily", every="1 day"),
    "hourly": Mode(name="hourly", every="1 hour"),
    "continuous": Mode(name="continuous", trigger="0 seconds"),
}
"""The modes that a project has at first."""


@dataclass(slots=True)
class Clock:
    """A wall clock that stands still until it is moved."""

    now: str
    """ISO 8601."""

    @property
    def instant(self) -> int:
        """The moment, in microseconds since the epoch."""
        return instant.parse(self.now)

    def move(self, span: str) -> None:
        """Let a span of time pass, such as '1 hour'."""
        self.now = instant.iso(self.instant + instant.duration(span))


@dataclass(slots=True)
class MemoryLog:
    """A topic in memory, in place of Kafka: the same offsets, arrivals and partitions."""

    topic: str
    partitions: int = 1
    clock: Clock = field(default_factory=lambda: Clock("2100-01-01"))
    lagging: tuple[int, ...] = ()
    """Partitions that a stream reads only when it has read the others to their ends."""
    _records: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    _id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def append(
        self,
        value: Mapping[str, object] | bytes | None,
        *,
        arrival: str | int,
        partition: int = 0,
        key: bytes | None = None,
    ) -> int:
        """Put a record at the end of a partition, and return its offset.

        Args:
            value: A JSON object, raw bytes, or None for a tombstone.
            arrival: ISO 8601, or microseconds since the epoch; kept to the millisecond.
            partition: Where it goes.
            key: Its key.
        """
        at = instant.parse(arrival) if isinstance(arrival, str) else arrival
        data = json.dumps(value).encode() if isinstance(value, Mapping) else value
        records = self._records.setdefault(partition, [])
        records.append(
            {
                "key": key,
                "value": data,
                "topic": self.topic,
                "partition": partition,
                "offset": len(records),
                "timestamp": at // 1_000 * 1_000,
            }
        )
        return len(records) - 1

    def identity(self) -> str:
        """See `headway.source.Log.identity`."""
        return self._id

    def begins(self) -> Offsets:
        """See `headway.source.Log.begins`."""
        return Offsets.constant(range(self.partitions), 0)

    def ends(self) -> Ends:
        """See `headway.source.Log.ends`; asked at the clock's moment."""
        offsets = Offsets({p: len(self._records.get(p, [])) for p in range(self.partitions)})
        return Ends(offsets=offsets, asked_at=self.clock.instant, settled=frozenset(offsets))

    def offsets_at(self, moment: int, ends: Offsets) -> Offsets:
        """See `headway.source.Log.offsets_at`."""
        found = {}
        for p in ends:
            later = (r["offset"] for r in self._records.get(p, []) if r["timestamp"] >= moment)
            found[p] = min(next(later, ends[p]), ends[p])
        return Offsets(found)

    def latest_arrivals(self, ends: Offsets) -> dict[int, int]:
        """See `headway.source.Log.latest_arrivals`."""
        below = {p: [r["timestamp"] for r in self._records.get(p, [])[: ends[p]]] for p in ends}
        return {p: max(times) for p, times in below.items() if times}

    def earliest_arrivals(self) -> dict[int, int]:
        """See `headway.source.Log.earliest_arrivals`."""
        return {p: records[0]["timestamp"] for p, records in self._records.items() if records}

    def intact_since(self) -> dict[int, int]:
        """See `headway.source.Log.intact_since`."""
        earliest = self.earliest_arrivals()
        return {p: earliest.get(p, instant.END) for p, first in self.begins().items() if first > 0}

    def read(self, spark: SparkSession, start: Offsets, end: Offsets) -> DataFrame:
        """See `headway.source.Log.read`."""
        import pyarrow as pa
        from pyspark.sql import DataFrame

        taken = [r for p in end for r in self._records.get(p, [])[start.get(p, 0) : end[p]]]
        schema = pa.schema(
            [
                ("key", pa.binary()),
                ("value", pa.binary()),
                ("topic", pa.string()),
                ("partition", pa.int32()),
                ("offset", pa.int64()),
                ("timestamp", pa.timestamp("us", "UTC")),
                ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
            ]
        )
        rows: Any = spark.createDataFrame(pa.Table.from_pylist(taken, schema))._jdf
        # Of a log Spark does not know while it plans what it holds.
        session: Any = spark._jsparkSession
        scan = session.internalCreateDataFrame(rows.queryExecution().toRdd(), rows.schema(), False)
        return DataFrame(scan, spark)

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """See `headway.source.Log.stream`."""
        begin = self.begins() if start is None else start
        empty = self.read(spark, begin, begin)
        return driven.stream(spark, empty.schema, _Stream(spark, self, begin, limit or None))

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """See `headway.source.Log.parse_stream_offset`."""
        data = json.loads(text)
        return Offsets.from_json(data["offsets"]) if data.get("topic") == self.topic else None

    def close(self) -> None:
        """See `headway.source.Log.close`; there is nothing to let go of."""


class Harness:
    """Runs pipelines on memory logs, into tables that nobody else uses."""

    def __init__(
        self,
        spark: SparkSession,
        *,
        catalog: str = "lake",
        zone: str = "UTC",
        settings: Mapping[str, object] | None = None,
        quality: Quality | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            spark: Made by `headway.run.engine.start`.
            catalog: Iceberg catalog for the tables.
            zone: Zone of local days.
            settings: Where sinks that follow the table of record are, such as `databases` by name.
            quality: How verdicts are told; by default they are kept as files below `state`, and told nobody.
            telemetry: Whom runs tell what happens in them; by default nobody.
        """
        self._spark = spark
        self._catalog = catalog
        self._zone = zone
        self._settings = settings
        self._quality = quality or Quality()
        self._telemetry = telemetry
        self._work = Path(tempfile.mkdtemp(prefix="headway-harness-"))

    @property
    def state(self) -> str:
        """Folder of checkpoints and validation results."""
        return str(self._work / "state")

    def run(
        self,
        pipeline: Pipeline,
        logs: Mapping[str, Log],
        mode: Mode,
        *,
        complete: bool = True,
        max_records_per_batch: int | None = None,
    ) -> DataFrame:
        """Run a pipeline once in a mode, on a table of its own, and return the visible rows.

        Args:
            pipeline: The definition; its own table is not touched.
            logs: A log for each source, by parameter name.
            mode: Bounded or continuous.
            complete: The logs have ended: everything is closed.
            max_records_per_batch: Size of micro-batches.
        """
        trial = self.place(pipeline)
        self.run_again(trial, logs, mode, complete=complete, max_records_per_batch=max_records_per_batch)
        return self._spark.table(trial.sink.table)

    def place(self, pipeline: Pipeline) -> Pipeline:
        """Return the same definition with a name and a table of its own, and no other sinks."""
        name = f"{pipeline.name}_{uuid.uuid4().hex[:8]}"
        return scratch(pipeline, f"{self._catalog}.headway_test.{name}", name)

    def run_again(
        self,
        placed: Pipeline,
        logs: Mapping[str, Log],
        mode: Mode,
        *,
        complete: bool = False,
        wanted: Interval | None = None,
        records_per_job: int = 1_000_000,
        max_records_per_batch: int | None = None,
    ) -> Report:
        """Run a placed pipeline as `headway run` does: on what its table holds already."""
        with self.job(placed, logs, mode) as job:
            landing.land(job)
            cut = job.cut()
            if not mode.is_bounded:
                stream = continuous.Request(
                    mode=mode,
                    grid=MODES["hourly"].grid(self._zone),
                    until=cut,
                    complete=complete,
                    max_records_per_batch=max_records_per_batch,
                )
                return continuous.run(job, stream, threading.Event())
            request = bounded.Request(
                mode=mode,
                grid=mode.grid(self._zone),
                cut=cut,
                wanted=wanted,
                complete=complete,
                records_per_job=records_per_job,
            )
            return bounded.run(job, request)

    @contextmanager
    def job(self, placed: Pipeline, logs: Mapping[str, Log], mode: Mode) -> Iterator[Job]:
        """Open a placed pipeline for one run, with its lease."""
        with opened(
            self._spark,
            placed,
            logs,
            mode=mode,
            state=self.state,
            beats=str(self._work / "beats"),
            lease_seconds=60,
            settings=self._settings,
            zone=self._zone,
            quality=self._quality,
            telemetry=self._telemetry,
        ) as job:
            yield job

    def table(self, placed: Pipeline) -> DataFrame:
        """Return the visible rows of a placed pipeline."""
        return self._spark.table(placed.sink.table)

    def close(self) -> None:
        """Remove the harness's files; the tables stay in the catalog."""
        shutil.rmtree(self._work, ignore_errors=True)


class _Stream:
    """Decides what a stream reads of a memory log, as `headway.run.driven.Driver` says."""

    def __init__(self, spark: SparkSession, log: MemoryLog, start: Offsets, limit: int | None) -> None:
        self._spark = spark
        self._log = log
        self._start = start
        self._limit = limit

    def next(self, start: str | None) -> str:
        """Take up to the limit, turn by turn from each partition, lagging ones last."""
        at = dict(self._start if start is None else self._read(start))
        left = self._limit
        lagging = set(self._log.lagging)
        for group in (at.keys() - lagging, at.keys() & lagging):
            waiting = {p: len(self._log._records.get(p, [])) - at[p] for p in sorted(group)}
            for turn in range(max(waiting.values(), default=0)):
                for p, count in waiting.items():
                    if turn < count and left != 0:
                        at[p] += 1
                        left = None if left is None else left - 1
            if any(waiting.values()):
                break
        return json.dumps({"topic": self._log.topic, "offsets": Offsets(at).to_json()})

    def rows(self, start: str | None, end: str) -> DataFrame:
        """Return the records between two offsets."""
        begin = self._start if start is None else self._read(start)
        return self._log.read(self._spark, begin, self._read(end))

    def _read(self, text: str) -> Offsets:
        offsets = self._log.parse_stream_offset(text)
        assert offsets is not None
        return offsets
