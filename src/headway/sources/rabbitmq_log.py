"""The log of a RabbitMQ queue: its landing table."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.catalog import ancestry, java_table
from headway.errors import LostDataError, UnavailableError
from headway.offsets import Offsets
from headway.source import Ends
from headway.sources.landing_table import THROUGH, LandingTable
from headway.sources.rabbitmq_queue import Queue

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from headway.sources.rabbitmq import RabbitMQ

__all__ = ["RabbitMQLog"]

_RAW = ("key", "value", "topic", "partition", "offset", "timestamp", "headers")
_PATIENCE = 30.0
_QUIET = 1.0
"""Seconds after the first message at which what was taken is landed."""


class RabbitMQLog:
    """Answers where a landing table begins and ends, reads ranges of it, and fills it from its queue."""

    def __init__(self, spark: SparkSession, source: RabbitMQ, settings: Mapping[str, Any]) -> None:
        """Open the landing table; the queue is reached when something is to be landed."""
        self._spark = spark
        self._source = source
        self._url = settings["url"]
        self._landing = LandingTable(spark, source.landing, source.name)
        self._handle: Any = java_table(spark, source.landing)
        self._start = Offsets({0: 0})

    # Filling it

    def land(self) -> int:
        """Land as many messages as the queue holds now; see `headway.source.Landing.land`."""
        landed = 0
        with Queue(self._url, self._source.name, self._source.prefetch) as queue:
            left = queue.ready()
            until = time.monotonic() + _PATIENCE
            while left > 0:
                taken = queue.take(min(left, self._source.prefetch), patience=_QUIET)
                if taken:
                    landed += self._keep(queue, taken)
                    until = time.monotonic() + _PATIENCE
                elif time.monotonic() > until:
                    raise UnavailableError(
                        f"RabbitMQ holds {left} messages of {self._source.name!r}, and has delivered none for {_PATIENCE:.0f} s",
                        hint="Look at the broker, then run the same command again.",
                    )
                # Another consumer may take some of them.
                left = min(left - len(taken), left if taken else queue.ready())
        return landed

    def land_until(self, ended: threading.Event) -> None:
        """Land what comes; see `headway.source.Landing.land_until`."""
        with Queue(self._url, self._source.name, self._source.prefetch) as queue:
            while not ended.is_set():
                taken = queue.take(self._source.prefetch, patience=_QUIET)
                if taken:
                    self._keep(queue, taken)

    # Reading it

    def identity(self) -> str:
        """Return the id that the catalog gave the table when it was made."""
        return str(self._table().uuid())

    def begins(self) -> Offsets:
        """Return the first offset that is left in the table."""
        first = self._asked("offset", "min", None)
        return Offsets({0: self._through() if first is None else first})

    def ends(self) -> Ends:
        """Ask up to where messages have landed."""
        asked_at = time.time_ns() // 1_000
        return Ends(offsets=Offsets({0: self._through()}), asked_at=asked_at, settled=frozenset({0}))

    def offsets_at(self, moment: int, ends: Offsets) -> Offsets:
        """Return the first offset whose arrival is at or after `moment`, else its end."""
        from pyspark.sql import functions as F

        found = self._asked("offset", "min", F.unix_micros("timestamp") >= moment)
        return Offsets({0: ends[0] if found is None else min(found, ends[0])})

    def latest_arrivals(self, ends: Offsets) -> dict[int, int]:
        """Return the greatest arrival below `ends`."""
        from pyspark.sql import functions as F

        return self._arrival("max", F.col("offset") < ends[0])

    def earliest_arrivals(self) -> dict[int, int]:
        """Return the arrival of the first record."""
        return self._arrival("min", None)

    def intact_since(self) -> dict[int, int]:
        """Return an instant from which on all arrivals are left, if somebody has deleted old ones."""
        return {0: self.earliest_arrivals().get(0, instant.END)} if self.begins()[0] else {}

    def read(self, spark: SparkSession, start: Offsets, end: Offsets) -> DataFrame:
        """Return the raw records of `[start, end)`; see `headway.source.Log.read`.

        Raises:
            LostDataError: Somebody has deleted some of the range.
        """
        from pyspark.sql import functions as F

        first = start.get(0, 0)
        begins = self.begins()[0]
        if first < begins and first < end[0]:
            raise LostDataError(
                f"{self._source.landing} begins with offset {begins}, and this run depends on {first}",
                hint="Messages were deleted from the landing table; name a later --start.",
            )
        within = (F.col("offset") >= first) & (F.col("offset") < end[0])
        return spark.table(self._source.landing).filter(within).select(*_RAW)

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """Return a streaming frame of the raw records from `start` on, landing by landing.

        `limit` is kept to by whole landings.

        Raises:
            LostDataError: Expiry has taken the commits that landed the first of them.
        """
        from pyspark.sql import functions as F

        self._start = self.begins() if start is None else start
        first = self._start.get(0, 0)
        options = {"streaming-skip-overwrite-snapshots": "true", "streaming-skip-delete-snapshots": "true"}
        if limit is not None:
            options["streaming-max-rows-per-micro-batch"] = str(limit)
        if start is not None:
            options["stream-from-timestamp"] = str(self._streams_from(first))
        frame = spark.readStream.format("iceberg").options(**options).load(self._source.landing)
        return frame.filter(F.col("offset") >= first).select(*_RAW)

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """Read the offset that Iceberg's streaming source writes to Spark's offset log; None if it is another's."""
        data = json.loads(text)
        if "snapshot_id" not in data:
            return None
        if data["snapshot_id"] < 0:
            return self._start
        table = self._table()
        snapshot = table.snapshot(data["snapshot_id"])
        if snapshot is None:
            return None
        is_taken = data["position"] > 0 or snapshot.parentId() is None
        reached = data["snapshot_id"] if is_taken else snapshot.parentId()
        return Offsets({0: self._landing.through(table, reached)})

    def close(self) -> None:
        """Remove the lander's branch of the table."""
        self._landing.close()

    def _keep(self, queue: Queue, taken: list[Any]) -> int:
        """Land deliveries, and only then have the broker forget them."""
        landed = self._landing.land([delivery.message for delivery in taken])
        queue.acknowledge(taken)
        return landed

    def _through(self) -> int:
        table = self._table()
        return self._landing.through(table, int(table.currentSnapshot().snapshotId()))

    def _table(self) -> Any:
        """Return a handle for reading; the lander has its own, on a thread of its own."""
        self._handle.refresh()
        return self._handle

    def _streams_from(self, first: int) -> int:
        """Return the moment, in milliseconds, from which on commits land an offset and what follows it."""
        table = self._table()
        oldest = table.currentSnapshot()
        moment = int(oldest.timestampMillis())
        if first >= self._through():
            return moment - 1
        for snapshot in ancestry(table, oldest):
            oldest = snapshot
            # Landers' clocks differ, so a later commit may have an earlier time.
            moment = min(moment, int(snapshot.timestampMillis()))
            landed = snapshot.summary().get(THROUGH)
            if landed is not None and int(landed) <= first:
                return moment - 1
        if oldest.parentId() is not None:
            raise LostDataError(
                f"{self._source.landing} no longer has the commits that landed offset {first}, which a stream reads",
                hint="Publish what lies before with a bounded mode; a stream goes on after it.",
            )
        return moment - 1

    def _arrival(self, which: str, condition: Column | None) -> dict[int, int]:
        from pyspark.sql import functions as F

        rows = self._spark.table(self._source.landing)
        rows = rows if condition is None else rows.filter(condition)
        pick = F.min if which == "min" else F.max
        found = rows.agg(F.unix_micros(pick("timestamp"))).first()
        return {} if found is None or found[0] is None else {0: int(found[0])}

    def _asked(self, column: str, which: str, condition: Column | None) -> int | None:
        rows = self._spark.table(self._source.landing)
        rows = rows if condition is None else rows.filter(condition)
        found = rows.agg({column: which}).first()
        return None if found is None or found[0] is None else int(found[0])
