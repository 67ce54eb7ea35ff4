"""Changes of a Kafka topic: cut by hash of the key into slices, each sent in one transaction with its note.

The table of record is the durable copy that a change is sent from, so after a crash between two
slices those that are behind get the very same change. Rows that are replaced are compared with
what was there before: what has not changed is not sent again, what has gone is sent without value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from headway.errors import ResultError, UnavailableError
from headway.kafka_security import Security
from headway.result import Result, quoted_column
from headway.sink import Applied, Change
from headway.sinks.kafka import Kafka
from headway.sinks.kafka_slice import (
    PATIENCE,
    PRODUCER,
    Note,
    Record,
    Slice,
    SliceMovedError,
    consumer,
    read_notes,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["KafkaTopic"]

_REACH = 10.0
"""Seconds in which brokers that are there answer for the first time."""
_SMALL = 10_000
"""Rows that the driver sends itself: about what one Arrow batch of an executor holds."""
_JSON = {
    "ignoreNullFields": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
_LEDGER = {"cleanup.policy": "compact", "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
_HEADERS = "array<struct<key: string, value: binary>>"
_IDENTITY = "headway-id"
_DONE, _MOVED, _REFUSED, _AWAY = "done", "moved", "refused", "away"


class KafkaTopic:
    """One topic and its ledger, the topic `<name>.headway`, as one run uses them."""

    def __init__(self, spark: SparkSession, sink: Kafka, settings: Mapping[str, Any], result: Result) -> None:
        """Name a topic; connects when it is first used.

        Args:
            spark: The session.
            sink: The definition.
            settings: The section `kafka` of conf/.
            result: What the rows look like; its keys are those of the records.
        """
        self.name = sink.table
        self._spark = spark
        self._sink = sink
        self._ledger = f"{sink.table}.headway"
        self._result = result
        self._servers = str(settings["bootstrap_servers"])
        self._security = Security.of(settings)
        self._client = {
            "bootstrap.servers": self._servers,
            "log_level": 0,  # what a client logs by itself is in the errors that it raises
            **self._security.for_librdkafka(),
        }
        self._slices: dict[int, Slice] = {}
        self._asker: Consumer | None = None
        self._counted: dict[str, int] = {}

    def prepare(self, schema: StructType) -> None:
        """See `headway.sink.Follower.prepare`: topics are made with the brokers' own defaults."""
        missing = [c for c in (*self._sink.headers, *self._result.keys) if c not in schema.names]
        if missing:
            raise ResultError(
                f"the topic {self.name} takes {missing[0]!r} for a key or a header, which is no column of the result",
                hint=f"Its columns are {', '.join(schema.names)}.",
            )
        wanted = [
            NewTopic(self.name, num_partitions=-1, replication_factor=-1),
            NewTopic(self._ledger, num_partitions=self._sink.slices, replication_factor=-1, config=_LEDGER),
        ]
        admin = AdminClient(self._client)
        with self._asked():
            lacking = [topic for topic in wanted if not self._partitions_of(topic.topic)]
            made_topics = admin.create_topics(lacking, request_timeout=PATIENCE) if lacking else {}
            for made in made_topics.values():
                try:
                    made.result()
                except KafkaException as exc:
                    if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise

    def applied(self) -> Applied | None:
        """See `headway.sink.Follower.applied`: how far the last of the slices is."""
        notes = self._notes()
        positions = [note.applied for note in notes if note is not None and note.applied is not None]
        if not notes or len(positions) < len(notes):
            return None
        return min(positions, key=lambda applied: applied.sequence)

    def unfinished(self) -> int | None:
        """See `headway.sink.Follower.unfinished`: what some slices have, and others not."""
        notes = self._notes()
        begun = [note.begun for note in notes if note is not None and note.begun is not None]
        if begun:
            return begun[0]
        positions = {None if note is None else note.applied for note in notes}
        ahead = [applied for applied in positions if applied is not None]
        return max(ahead, key=lambda a: a.sequence).snapshot if len(positions) > 1 else None

    def apply(self, change: Change, since: Applied | None) -> bool:
        """See `headway.sink.Follower.apply`: slice by slice, each in one step.

        Raises:
            ResultError: A row is larger than the topic takes.
            UnavailableError: The brokers do not answer.
        """
        records = self._changed(change) if change.replaced else self._encoded(change.rows)
        if self._sink.delivery == "at_least_once":
            return self._send_with_spark(records, change.to, since)
        is_small = change.count is not None and change.count <= _SMALL
        return (
            self._send_here(records, change, since) if is_small else self._send_there(records, change, since)
        )

    def close(self) -> None:
        """See `headway.sink.Follower.close`."""
        self._slices.clear()
        if self._asker is not None:
            self._asker.close()

    def _send_here(self, records: DataFrame, change: Change, since: Applied | None) -> bool:
        """Send a small change from the driver, over producers that stay open."""
        count = self._count()
        sorted_out: dict[int, list[Record]] = {number: [] for number in range(count)}
        if change.count:
            for number, record in _records(self._cut(records, count).toArrow().to_batches()):
                sorted_out[number].append(record)
        return self._advance(sorted_out, change.to, since)

    def _advance(self, records: Mapping[int, list[Record]], to: Applied, since: Applied | None) -> bool:
        """Move slices on from the driver, at the same time; tells whether all of them were where `since` says."""

        def advance(number: int) -> None:
            if number not in self._slices:
                self._slices[number] = Slice(self._client, self.name, self._ledger, number)
            self._slices[number].advance(since, to, records[number])

        with ThreadPoolExecutor(max(1, len(records))) as pool:
            outcomes = [pool.submit(advance, number) for number in records]
        failed = [error for o in outcomes if (error := o.exception()) is not None]
        if not failed:
            return True
        self._slices.clear()
        for error in failed:
            if not isinstance(error, SliceMovedError):
                raise error
        return False

    def _send_there(self, records: DataFrame, change: Change, since: Applied | None) -> bool:
        """Have the executors send, a task for each slice that has records."""
        self._slices.clear()
        count = self._count()
        client, topic, ledger, to = self._client, self.name, self._ledger, change.to

        def send(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
            import pyarrow as pa

            for number, group in groupby(_records(batches), itemgetter(0)):
                said = ""
                try:
                    Slice(client, topic, ledger, number).advance(since, to, (r for _, r in group))
                    outcome = _DONE
                except SliceMovedError:
                    outcome = _MOVED
                except ResultError as exc:
                    outcome, said = _REFUSED, exc.what
                except UnavailableError as exc:
                    outcome, said = _AWAY, exc.what
                yield pa.RecordBatch.from_pydict({"slice": [number], "outcome": [outcome], "said": [said]})

        tasks = self._cut(records, count).repartitionById(count, "slice")
        outcomes = tasks.mapInArrow(send, "slice bigint, outcome string, said string").collect()
        refused = [row["said"] for row in outcomes if row["outcome"] == _REFUSED]
        if refused:
            raise ResultError(
                refused[0], hint="Raise max.message.bytes of the topic, or make the row smaller."
            )
        away = [row["said"] for row in outcomes if row["outcome"] == _AWAY]
        if away:
            raise UnavailableError(away[0], hint="What the topic lacks is made up for by the same command.")
        if any(row["outcome"] == _MOVED for row in outcomes):
            return False
        sent = {row["slice"] for row in outcomes}
        return self._advance({number: [] for number in range(count) if number not in sent}, to, since)

    def _send_with_spark(self, records: DataFrame, to: Applied, since: Applied | None) -> bool:
        """Send with Spark's own sink; a crash before the second note sends the same records again."""
        from pyspark.sql import functions as F

        if self.applied() != since:
            return False
        self._write_notes(Note(since, begun=to.snapshot))
        identity = F.concat(F.lit(f"{to.sequence}:"), F.sha1("key"))
        header = F.struct(F.lit(_IDENTITY).alias("key"), identity.cast("binary").alias("value"))
        producer = {f"kafka.{k}": str(v) for k, v in (*PRODUCER.items(), *self._security.for_java().items())}
        records.withColumn("headers", F.array_append("headers", header)).write.format("kafka").options(
            **{"kafka.bootstrap.servers": self._servers, "topic": self.name, **producer}
        ).save()
        self._write_notes(Note(to))
        return True

    def _write_notes(self, note: Note) -> None:
        producer = Producer({**self._client, "acks": "all", "enable.idempotence": True})
        failed: list[KafkaError] = []
        for number in range(self._count()):
            producer.produce(
                self._ledger,
                note.to_bytes(),
                b"note",
                number,
                on_delivery=lambda error, _: failed.append(error) if error is not None else None,
            )
        if producer.flush(PATIENCE) or failed:
            said = failed[0].str() if failed else "no answer"
            raise UnavailableError(f"Kafka does not take the notes of {self.name}: {said}")

    def _changed(self, change: Change) -> DataFrame:
        """Return the records for rows that have changed, and those without value for rows that have gone."""
        from pyspark.sql import functions as F

        now, before = self._encoded(change.rows).alias("n"), self._before(change).alias("b")
        is_other = ~F.col("n.value").eqNullSafe(F.col("b.value")) | ~F.col("n.headers").eqNullSafe(
            F.col("b.headers")
        )
        joined = now.join(before, F.col("n.key") == F.col("b.key"), "full_outer").filter(is_other)
        return joined.select(
            F.coalesce("n.key", "b.key").alias("key"),
            F.col("n.value").alias("value"),
            F.coalesce("n.partition", "b.partition").alias("partition"),
            F.coalesce("n.headers", F.array().cast(_HEADERS)).alias("headers"),
        )

    def _before(self, change: Change) -> DataFrame:
        """Return the records of the replaced ranges as the topic has them."""
        rows = change.before()
        return self._latest() if rows is None else self._encoded(rows)

    def _latest(self) -> DataFrame:
        """Return the last record of each key from the topic itself, where the table's history does not reach back."""
        from pyspark.sql import functions as F

        security = {f"kafka.{k}": v for k, v in self._security.for_java().items()}
        read = self._spark.read.format("kafka").options(
            **{
                "kafka.bootstrap.servers": self._servers,
                "subscribe": self.name,
                "kafka.isolation.level": "read_committed",
                "includeHeaders": "true",
                **security,
            }
        )
        last = F.max_by(
            F.struct("value", "partition", "headers"), F.struct("timestamp", "partition", "offset")
        )
        newest = read.load().groupBy("key").agg(last.alias("last"))
        return newest.select(
            "key",
            "last.value",
            F.col("last.partition").alias("partition") if self._sink.partition_by else _by_key(),
            F.filter(
                F.coalesce("last.headers", F.array()).cast(_HEADERS), lambda h: h["key"] != _IDENTITY
            ).alias("headers"),
        ).filter("value IS NOT NULL")

    def _encoded(self, rows: DataFrame) -> DataFrame:
        """Return key, value, partition and headers of each row."""
        from pyspark.sql import functions as F

        def column(name: str) -> Column:
            return F.col(quoted_column(name))

        headers = [
            F.struct(F.lit(name).alias("key"), column(name).cast("string").cast("binary").alias("value"))
            for name in self._sink.headers
        ]
        key = F.to_json(F.struct(*map(column, self._result.keys)), _JSON)
        partition = _by_key()
        if self._sink.partition_by:
            chosen = F.xxhash64(*map(column, self._sink.partition_by))
            partition = F.pmod(chosen, F.lit(self._partitions_of(self.name))).cast("int").alias("partition")
        return rows.select(
            key.cast("binary").alias("key"),
            F.to_json(F.struct(*map(column, rows.columns)), _JSON).cast("binary").alias("value"),
            partition,
            F.array(*headers).cast(_HEADERS).alias("headers"),
        )

    def _cut(self, records: DataFrame, count: int) -> DataFrame:
        """Put each record into a slice, by its key alone."""
        from pyspark.sql import functions as F

        return records.withColumn("slice", F.pmod(F.xxhash64("key"), F.lit(count)).cast("int"))

    def _notes(self) -> list[Note | None]:
        """Return the last note of each slice."""
        numbers = range(self._count())
        with self._asked() as asker:
            notes = read_notes(asker, self._ledger, numbers)
        return [notes.get(number) for number in numbers]

    def _count(self) -> int:
        """Return how many slices there are, as the ledger was made; 0 before."""
        return self._partitions_of(self._ledger)

    def _partitions_of(self, topic: str) -> int:
        if not self._counted.get(topic):
            with self._asked() as asker:
                described = asker.list_topics(topic, timeout=PATIENCE).topics[topic]
                self._counted[topic] = len(described.partitions)
        return self._counted[topic]

    @contextmanager
    def _asked(self) -> Iterator[Consumer]:
        """Give a client to ask with.

        Raises:
            UnavailableError: The brokers do not answer.
        """
        try:
            if self._asker is None:
                asker = consumer(self._client)
                asker.list_topics(timeout=_REACH)
                self._asker = asker
            yield self._asker
        except KafkaException as exc:
            raise UnavailableError(
                f"Kafka at {self._servers} cannot be used for {self.name}: {exc.args[0].str()}",
                hint="What the topic lacks is made up for by the same command, once it does.",
            ) from exc


def _by_key() -> Column:
    """Return the partition of a record that goes where its key says."""
    from pyspark.sql import functions as F

    return F.lit(None).cast("int").alias("partition")


def _records(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Record]]:
    """Return slice and record of each row, a batch of rows at a time."""
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in ("slice", "key", "value", "partition")]
        given: Iterable[list[tuple[str, bytes | None]]] = repeat([], len(batch))
        if len(batch.column("headers").flatten()):
            listed = batch.column("headers").to_pylist()
            given = ([(h["key"], h["value"]) for h in headers] for headers in listed)
        for number, key, value, partition, headers in zip(*columns, given, strict=True):
            yield number, (key, value, partition, headers)
