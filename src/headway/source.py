"""What every source of records states about time, and what a run asks of its log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from headway import instant
from headway.errors import DefinitionError
from headway.interval import Interval
from headway.offsets import Offsets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["LATE", "LOG_FIELDS", "Ends", "Erasable", "Landing", "Log", "Source"]

LATE = ("drop", "quarantine", "correct")
"""What may become of late and early records."""

FORMATS = ("json", "avro", "bytes")
"""How values may be written."""

LOG_FIELDS = "arrival timestamp, topic string, partition int, offset bigint, key binary, headers array<struct<key: string, value: binary>>"
"""Fields of the struct `_log` that each record carries."""


@dataclass(frozen=True, slots=True)
class Source:
    """Facts about a log of records that decide, record by record, what is admitted.

    A record has an event time `e` (a column of its own) and an arrival time `a` (when the
    log took it). It is late if `a > e + lateness`, early if `e > a + earliness`, otherwise
    admitted. Spans of time are written as `headway.instant.duration` reads them.
    """

    name: str
    """Name of the log, such as a topic."""
    _: KW_ONLY
    schema: str
    """Columns of the value: Spark DDL, or for `avro` the Avro schema of a record as JSON."""
    event_time: str
    """Column with the event time: a TIMESTAMP, or a BIGINT of milliseconds since the epoch."""
    format: Literal["json", "avro", "bytes"] = "json"
    """How values are written. `avro`: one datum, without a header. `bytes`: they are left alone; the
    schema then names a BINARY column for them and the event time, which is the arrival."""
    lateness: str = "0 seconds"
    """How long after its event time a record may arrive."""
    earliness: str = "1 hour"
    """How far the event time may run ahead of the arrival time."""
    late: Literal["drop", "quarantine", "correct"] = "drop"
    """What becomes of late and early records; always counted."""
    too_late: str | None = None
    """With `late="correct"`: corrections are made up to `a <= e + too_late`; none means `lateness` times 10."""
    clock: Literal["wall", "log"] = "wall"
    """`wall`: a partition read to its end is complete up to the moment of asking. `log`: the
    wall clock counts for nothing (a replay of old timestamps)."""
    disorder: str = "1 minute"
    """How far an arrival time may lie behind the greatest one before it in its partition."""
    skew: str = "10 seconds"
    """How far the clocks that stamp arrival may be apart from this machine's."""
    max_rejects: float = 0.01
    """Share of dead letters within one arrival hour at which a run stops before it publishes."""
    quality: str | None = None
    """Name of the suite in quality/ that splits and judges the records; see docs/reference/quality.md."""
    archive: str | None = None
    """Full name of an Iceberg table that keeps the records, raw and parsed, for when the log has forgotten them."""
    max_records_per_batch: int | None = None
    """Most records of one micro-batch, over all partitions; none means all there are."""

    def __post_init__(self) -> None:
        for field in ("lateness", "earliness", "disorder", "skew"):
            instant.duration(getattr(self, field))
        if self.late not in LATE:
            raise DefinitionError(
                f"source {self.name!r}: late={self.late!r}", hint=f"Use one of {', '.join(LATE)}."
            )
        if self.format not in FORMATS:
            raise DefinitionError(
                f"source {self.name!r}: format={self.format!r}", hint=f"Use one of {', '.join(FORMATS)}."
            )
        if self.clock not in ("wall", "log"):
            raise DefinitionError(f"source {self.name!r}: clock={self.clock!r}", hint="Use 'wall' or 'log'.")
        if self.too_late is not None and self.late != "correct":
            raise DefinitionError(
                f"source {self.name!r}: too_late= has no effect with late={self.late!r}",
                hint="Set late='correct', or leave too_late out.",
            )
        if self.too_late_micros < self.lateness_micros:
            raise DefinitionError(
                f"source {self.name!r}: too_late is less than lateness",
                hint="A record is late before it is too late.",
            )
        if not 0 <= self.max_rejects <= 1:
            raise DefinitionError(
                f"source {self.name!r}: max_rejects={self.max_rejects} is no share between 0 and 1"
            )

    @property
    def lateness_micros(self) -> int:
        """`lateness` in microseconds."""
        return instant.duration(self.lateness)

    @property
    def earliness_micros(self) -> int:
        """`earliness` in microseconds."""
        return instant.duration(self.earliness)

    @property
    def disorder_micros(self) -> int:
        """`disorder` in microseconds."""
        return instant.duration(self.disorder)

    @property
    def skew_micros(self) -> int:
        """`skew` in microseconds."""
        return instant.duration(self.skew)

    @property
    def settles_after(self) -> int:
        """How long after an instant the frontier of a log that is read to its end passes it, in microseconds."""
        if self.clock == "log":
            return 0
        return self.lateness_micros + self.disorder_micros + self.skew_micros

    @property
    def too_late_micros(self) -> int:
        """The greatest `a - e` of a record that can enter any result, in microseconds."""
        if self.late != "correct":
            return self.lateness_micros
        return 10 * self.lateness_micros if self.too_late is None else instant.duration(self.too_late)

    def facts(self) -> dict[str, object]:
        """Return what the rows of an interval depend on, for the fingerprint."""
        return {
            "name": self.name,
            "schema": self.schema,
            "format": self.format,
            "event_time": self.event_time,
            "lateness": self.lateness_micros,
            "earliness": self.earliness_micros,
            "too_late": self.too_late_micros,
        }

    @property
    def section(self) -> str:
        """The section of conf/ that says where the log is, such as `kafka`."""
        raise NotImplementedError

    def open(self, settings: Mapping[str, Any], session: Callable[[], SparkSession]) -> Log:
        """Connect to the log.

        Args:
            settings: The section of the project's configuration for this kind of source.
            session: Waits for Spark, which starts meanwhile, and returns the session.

        Raises:
            UnavailableError: The log cannot be reached, or does not exist.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where a log ended when it was asked."""

    offsets: Offsets
    """Committed end of each partition: the first offset that is not yet readable."""
    asked_at: int
    """Instant at which the question was asked, before the answer came."""
    settled: frozenset[int]
    """Partitions whose committed end was the end of the log: no open transaction behind it."""


class Log(Protocol):
    """An opened source. One run holds it; it is used from the driver only."""

    def identity(self) -> str:
        """Return an id that changes when the log is deleted and made anew."""
        ...

    def begins(self) -> Offsets:
        """Return the first offset of each partition that retention has left."""
        ...

    def ends(self) -> Ends:
        """Ask where the log ends now."""
        ...

    def offsets_at(self, moment: int, ends: Offsets) -> Offsets:
        """Return per partition the first offset whose arrival is at or after `moment`, else its end."""
        ...

    def latest_arrivals(self, ends: Offsets) -> dict[int, int]:
        """Return how far arrivals have come below `ends`, for each partition that holds a record there.

        That is the greatest of them, or one that lies at most `disorder` behind it.
        """
        ...

    def earliest_arrivals(self) -> dict[int, int]:
        """Return the arrival of the first record of each partition that has one."""
        ...

    def intact_since(self) -> dict[int, int]:
        """Return, for each partition that retention has eaten from, an instant from which on all arrivals are left."""
        ...

    def read(self, spark: SparkSession, start: Offsets, end: Offsets) -> DataFrame:
        """Return the raw records of `[start, end)`.

        Columns: `key` binary, `value` binary, `topic` string, `partition` int, `offset`
        bigint, `timestamp` timestamp, `headers` array<struct<key string, value binary>>. A log that
        keeps what they were parsed to adds the columns of `headway.run.admission.parse`.
        """
        ...

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """Return a streaming frame of the raw records from `start` on; columns as in `read`.

        Args:
            spark: The session.
            start: None where the query goes on from its checkpoint.
            limit: About how many records a micro-batch takes at most; None takes all there are.
        """
        ...

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """Read the offset that the streaming source writes to Spark's offset log; None if it is another's."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Landing(Protocol):
    """A log that a run fills itself, from a system that keeps no positions."""

    def land(self) -> int:
        """Take in what waits now, and return how many records that were; called before a bounded run reads.

        Raises:
            UnavailableError: The system cannot be reached.
        """
        ...

    def land_until(self, ended: threading.Event) -> None:
        """Take in what comes until `ended` is set; called on a thread of its own beside a stream.

        Raises:
            UnavailableError: The system no longer answers; what was not confirmed comes again.
        """
        ...


@runtime_checkable
class Erasable(Protocol):
    """A log from which a person's records can be taken away; each time is an erasure, and they are numbered from 1."""

    def erasures(self) -> int:
        """Return the number of the newest erasure; 0 where there was none."""
        ...

    def erased_keys(self, since: int, to: int) -> list[str]:
        """Return the SHA-256 of the keys, in hexadecimal digits, of the erasures after `since`, up to `to`."""
        ...

    def erased(self, since: int, to: int) -> tuple[Interval, ...]:
        """Return for which event time records were taken away by the erasures after `since`, up to `to`."""
        ...
