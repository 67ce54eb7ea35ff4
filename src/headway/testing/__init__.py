"""Write a pipeline's test once, with records in memory and a movable clock, and run it in every mode.

    def test_late_record_is_left_out(harness, mode):
        log = MemoryLog("flights", partitions=2, clock=Clock("2013-02-01T12:00:00Z"))
        log.append({"origin": "JFK", "scheduled_at": "2013-02-01T08:00:00Z"}, arrival="2013-02-01T08:05:00Z")
        rows = harness.run(punctuality, {"flights": log}, mode)

Records go where they are told: a late one has a late arrival, a duplicate is appended twice,
an idle partition gets none, a lagging one is read last. Spark and Iceberg are real; only the
broker is replaced.
"""

from __future__ import annotations

import base64
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

from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader

from headway import instant
from headway.config import Quality
from headway.interval import Interval
from headway.mode import Mode
from headway.offsets import Offsets
from headway.pipeline import Pipeline
from headway.run import bounded, continuous, landing
from headway.run.job import Job, Report, opened, scratch
from headway.source import Ends, Log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["MODES", "Clock", "Harness", "MemoryLog"]

MODES = {
    "daily": Mode(name="daily", every="1 day"),
    "hourly": Mode(name="hourly", every="1 hour"),
    "continuous": Mode(name="continuous", trigger="0 seconds"),
}
"""The modes that a project has at first."""

_FORMAT = "headway_memory_log"
_RAW = (
    "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>"
)


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
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="headway-log-")))
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
        record = {
            "partition": partition,
            "offset": len(records),
            "timestamp": at // 1_000 * 1_000,
            "key": None if key is None else base64.b64encode(key).decode(),
            "value": None if data is None else base64.b64encode(data).decode(),
        }
        records.append(record)
        with (self._folder / f"{partition}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
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
        taken = [r for p in end for r in self._records.get(p, [])[start.get(p, 0) : end[p]]]
        return spark.createDataFrame([_row(self.topic, r) for r in taken], _RAW)

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """See `headway.source.Log.stream`."""
        start = self.begins() if start is None else start
        options = {
            "topic": self.topic,
            "folder": str(self._folder),
            "start": json.dumps(start.to_json()),
            "limit": str(limit or 0),
            "lagging": json.dumps(self.lagging),
        }
        return spark.readStream.format(_FORMAT).options(**options).load()

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """See `headway.source.Log.parse_stream_offset`."""
        data = json.loads(text)
        return Offsets.from_json(data["offsets"]) if data.get("topic") == self.topic else None

    def close(self) -> None:
        """Remove the files behind the log."""
        shutil.rmtree(self._folder, ignore_errors=True)


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
    ) -> None:
        """Prepare a session.

        Args:
            spark: Made by `headway.run.engine.start`.
            catalog: Iceberg catalog for the tables.
            zone: Zone of local days.
            settings: Where sinks that follow the table of record are, such as `databases` by name.
            quality: How verdicts are told; by default they are kept as files below `state`, and told nobody.
        """
        spark.dataSource.register(_MemorySource)
        self._spark = spark
        self._catalog = catalog
        self._zone = zone
        self._settings = settings
        self._quality = quality or Quality()
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
        ) as job:
            yield job

    def table(self, placed: Pipeline) -> DataFrame:
        """Return the visible rows of a placed pipeline."""
        return self._spark.table(placed.sink.table)

    def close(self) -> None:
        """Remove the harness's files; the tables stay in the catalog."""
        shutil.rmtree(self._work, ignore_errors=True)


class _MemoryReader(SimpleDataSourceStreamReader):
    def __init__(self, options: Mapping[str, str]) -> None:
        self._topic = options["topic"]
        self._folder = Path(options["folder"])
        self._start = {int(p): int(o) for p, o in json.loads(options["start"]).items()}
        self._limit = int(options["limit"])
        self._lagging = set(json.loads(options["lagging"]))

    def initialOffset(self) -> dict[str, object]:  # noqa: N802
        return self._offset(self._start)

    def read(self, start: dict[str, Any]) -> tuple[Iterator[tuple[Any, ...]], dict[str, object]]:
        """Take up to the limit, turn by turn from each partition, lagging ones last."""
        at = {int(p): int(o) for p, o in start["offsets"].items()}
        left = self._limit or None
        taken = []
        for group in (set(at) - self._lagging, self._lagging & set(at)):
            records = {p: self._load(p)[at[p] :] for p in sorted(group)}
            turns = max((len(r) for r in records.values()), default=0)
            for turn in range(turns):
                for p, queue in records.items():
                    if turn < len(queue) and (left is None or left > 0):
                        taken.append(queue[turn])
                        at[p] += 1
                        left = None if left is None else left - 1
            if taken:
                break
        return iter([_row(self._topic, r) for r in taken]), self._offset(at)

    def readBetweenOffsets(  # noqa: N802
        self, start: dict[str, Any], end: dict[str, Any]
    ) -> Iterator[tuple[Any, ...]]:
        for p, stop in end["offsets"].items():
            for record in self._load(int(p))[int(start["offsets"].get(p, 0)) : int(stop)]:
                yield _row(self._topic, record)

    def _load(self, partition: int) -> list[dict[str, Any]]:
        file = self._folder / f"{partition}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def _offset(self, at: Mapping[int, int]) -> dict[str, object]:
        return {"topic": self._topic, "offsets": {str(p): o for p, o in sorted(at.items())}}


class _MemorySource(DataSource):
    @classmethod
    def name(cls) -> str:
        return _FORMAT

    def schema(self) -> str:
        return _RAW

    def simpleStreamReader(self, schema: StructType) -> _MemoryReader:  # noqa: N802
        return _MemoryReader(dict(self.options))


def _row(topic: str, record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        None if record["key"] is None else base64.b64decode(record["key"]),
        None if record["value"] is None else base64.b64decode(record["value"]),
        topic,
        record["partition"],
        record["offset"],
        instant.to_datetime(record["timestamp"]),
        None,
    )
