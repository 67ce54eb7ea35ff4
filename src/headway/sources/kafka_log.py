"""The log of a Kafka topic: offsets through kafka-python, records through Spark."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.protocol.consumer import IsolationLevel

from headway import instant
from headway.errors import ConfigError, LostDataError, UnavailableError, suggestion
from headway.kafka_security import Security
from headway.offsets import Offsets
from headway.source import Ends

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["KafkaLog"]

_MILLI = 1_000
_UNKNOWN = -1
_POLL = 5_000
T = TypeVar("T")


class KafkaLog:
    """Answers where a topic begins and ends, and reads ranges of it.

    Offsets below the last stable one only are used (`read_committed`), so a run never
    waits in the middle of somebody's transaction.
    """

    def __init__(self, topic: str, settings: Mapping[str, object]) -> None:
        self._topic = topic
        self._servers = str(settings["bootstrap_servers"])
        self._security = Security.of(settings)
        self._admin: KafkaAdminClient = self._ask(self._connect)
        self._describe()

    def identity(self) -> str:
        """Return the id that the broker gave the topic when it was made."""
        return self._describe()[0]

    def begins(self) -> Offsets:
        """Return the first offset of each partition that retention has left."""
        return self._offsets(OffsetSpec.EARLIEST)

    def ends(self) -> Ends:
        """Ask where the topic ends now, by committed records."""
        asked_at = time.time_ns() // 1_000
        committed = self._offsets(OffsetSpec.LATEST, IsolationLevel.READ_COMMITTED)
        written = self._offsets(OffsetSpec.LATEST)
        settled = frozenset(p for p in committed if committed[p] >= written[p])
        return Ends(offsets=committed, asked_at=asked_at, settled=settled)

    def offsets_at(self, moment: int, ends: Offsets) -> Offsets:
        """Return per partition the first offset whose arrival is at or after `moment`, else its end."""
        millis = max(0, -(-moment // _MILLI))
        found = self._list(dict.fromkeys(self._partitions(), millis))
        return Offsets(
            {
                p: ends[p] if found[p].offset == _UNKNOWN else min(found[p].offset, ends[p])
                for p in ends
                if p in found
            }
        )

    def latest_arrivals(self, ends: Offsets) -> dict[int, int]:
        """Return how far arrivals have come below `ends`: the greatest, else that of the last record."""
        found = self._list(dict.fromkeys(self._partitions(), OffsetSpec.MAX_TIMESTAMP))
        begins = self.begins()
        arrivals = {}
        for p, at in found.items():
            if at.offset != _UNKNOWN and at.offset < ends.get(p, 0):
                arrivals[p] = at.timestamp * _MILLI
            elif ends.get(p, 0) > begins.get(p, 0):
                last = self._ask(lambda p=p: self._last_arrival(p, begins[p], ends[p]))  # type: ignore[misc]
                if last is not None:
                    arrivals[p] = last
        return arrivals

    def earliest_arrivals(self) -> dict[int, int]:
        """Return the arrival of the first record of each partition that has one."""
        found = self._list(dict.fromkeys(self._partitions(), 0))
        return {p: at.timestamp * _MILLI for p, at in found.items() if at.offset != _UNKNOWN}

    def intact_since(self) -> dict[int, int]:
        """Return, for each partition that retention has eaten from, an instant from which on all arrivals are left.

        A partition that is empty by now has lost nothing younger than the topic's retention by time.
        """
        cut = [p for p, first in self.begins().items() if first > 0]
        earliest = self.earliest_arrivals() if cut else {}
        oldest = self._oldest_kept() if any(p not in earliest for p in cut) else instant.END
        return {p: earliest.get(p, oldest) for p in cut}

    def read(self, spark: SparkSession, start: Offsets, end: Offsets) -> DataFrame:
        """Return the raw records of `[start, end)`; see `headway.source.Log.read`.

        Raises:
            LostDataError: Retention has eaten some of the range.
        """
        self._require(start)
        reader = spark.read.format("kafka").options(**self._reader_options(list(end)))
        return reader.options(
            startingOffsets=self._spark_offsets({p: start.get(p, 0) for p in end}),
            endingOffsets=self._spark_offsets(end),
        ).load()

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """Return a streaming frame of the raw records from `start` on."""
        start = self.begins() if start is None else start
        self._require(start)
        reader = spark.readStream.format("kafka").options(**self._reader_options(None))
        if limit is not None:
            reader = reader.option("maxOffsetsPerTrigger", limit)
        return reader.option("startingOffsets", self._spark_offsets(start)).load()

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """Read the offset that Spark's Kafka source writes to its offset log; None if it is another's."""
        by_topic = json.loads(text)
        return Offsets.from_json(by_topic[self._topic]) if self._topic in by_topic else None

    def close(self) -> None:
        """Close the connection to the brokers."""
        self._admin.close()

    def _connect(self) -> KafkaAdminClient:
        return KafkaAdminClient(
            bootstrap_servers=self._servers.split(","),
            client_id="headway",
            bootstrap_timeout_ms=10_000,
            request_timeout_ms=30_000,
            **self._security.for_python(),
        )

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except KafkaTimeoutError as exc:
            refused = " A broker also hangs up on a wrong user or password: look at kafka.sasl_* in conf/."
            raise UnavailableError(
                f"no Kafka broker answers at {self._servers}",
                hint="Start it (embedded: `headway up`), or mend kafka.bootstrap_servers in conf/."
                + (refused if self._security.has_user else ""),
            ) from exc
        except (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, AuthorizationError) as exc:
            raise ConfigError(
                f"the Kafka broker at {self._servers} refuses this user for topic {self._topic!r}: {type(exc).__name__}",
                hint="Mend kafka.security_protocol, sasl_* or ssl_* in conf/, or the user's rights.",
            ) from exc
        except KafkaError as exc:
            raise UnavailableError(
                f"the Kafka broker at {self._servers} did not answer for topic {self._topic!r}: {type(exc).__name__}",
                hint="Look at the broker, then run the same command again.",
            ) from exc

    def _last_arrival(self, partition: int, begin: int, end: int) -> int | None:
        """Read the last record below `end`; the offsets before it may be marks of transactions."""
        at = TopicPartition(self._topic, partition)
        consumer = KafkaConsumer(
            bootstrap_servers=self._servers.split(","),
            enable_auto_commit=False,
            isolation_level="read_committed",
            **self._security.for_python(),
        )
        try:
            consumer.assign([at])
            back = 1
            while True:
                start = max(begin, end - back)
                consumer.seek(at, start)
                records = consumer.poll(timeout_ms=_POLL, max_records=back).get(at, [])
                below = [r.timestamp * _MILLI for r in records if r.offset < end]
                if below:
                    return int(max(below))
                if start == begin:
                    return None
                back *= 16
        finally:
            consumer.close()

    def _oldest_kept(self) -> int:
        """Return the instant before which the topic's retention deletes; the end of time where it goes by size."""
        resource = ConfigResource(ConfigResourceType.TOPIC, self._topic)
        found: Any = self._ask(lambda: self._admin.describe_configs([resource], config_filter="all"))
        settings = {name: facts["value"] for name, facts in found["topic"][self._topic].items()}
        is_by_time = settings["cleanup.policy"] == "delete" and int(settings["retention.bytes"]) < 0
        if not is_by_time or int(settings["retention.ms"]) < 0:
            return instant.END
        return time.time_ns() // 1_000 - int(settings["retention.ms"]) * _MILLI

    def _describe(self) -> tuple[str, list[int]]:
        topics: list[dict[str, Any]] = self._ask(lambda: self._admin.describe_topics([self._topic]))
        found = next((t for t in topics if t.get("name") == self._topic and not t.get("error_code")), None)
        if found is None:
            names = [n for n in self._ask(self._admin.list_topics) if not n.startswith("__")]
            raise UnavailableError(
                f"there is no topic {self._topic!r} at {self._servers}", hint=suggestion(self._topic, names)
            )
        partitions = sorted(p["partition_index"] for p in found["partitions"])
        return str(found.get("topic_id") or found["name"]), partitions

    def _partitions(self) -> list[int]:
        return self._describe()[1]

    def _list(self, by_partition: Mapping[int, Any], isolation: Any = None) -> dict[int, Any]:
        specs = {TopicPartition(self._topic, p): spec for p, spec in by_partition.items()}
        level = isolation or IsolationLevel.READ_UNCOMMITTED
        found = self._ask(lambda: self._admin.list_partition_offsets(specs, isolation_level=level))
        return {tp.partition: at for tp, at in found.items()}

    def _offsets(self, spec: Any, isolation: Any = None) -> Offsets:
        found = self._list(dict.fromkeys(self._partitions(), spec), isolation)
        return Offsets({p: at.offset for p, at in found.items()})

    def _require(self, start: Offsets) -> None:
        begins = self.begins()
        gone = {p: (start[p], begins[p]) for p in start if p in begins and start[p] < begins[p]}
        if gone:
            spans = ", ".join(
                f"partition {p}: {wanted} wanted, {first} is the first left"
                for p, (wanted, first) in gone.items()
            )
            raise LostDataError(
                f"retention has eaten records of topic {self._topic!r} that this run depends on ({spans})",
                hint="Raise the topic's retention, or name a later --start; headway never skips lost records silently.",
            )

    def _reader_options(self, partitions: list[int] | None) -> dict[str, str]:
        options = {
            "kafka.bootstrap.servers": self._servers,
            "kafka.isolation.level": "read_committed",
            "includeHeaders": "true",
            "failOnDataLoss": "true",
            **{f"kafka.{name}": value for name, value in self._security.for_java().items()},
        }
        if partitions is None:
            return options | {"subscribe": self._topic}
        return options | {"assign": json.dumps({self._topic: partitions})}

    def _spark_offsets(self, offsets: Mapping[int, int]) -> str:
        return json.dumps({self._topic: {str(p): o for p, o in offsets.items()}})
