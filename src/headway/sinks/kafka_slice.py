"""One slice of a topic: records and the note of how far the slice has followed, in one transaction.

A slice has a transactional id of its own. Whoever opens it fences off every earlier producer of
that id, and the broker ends their open transaction; so the note that is read then is the last one,
and as long as the producer is not fenced off itself, nobody else writes the slice.
See KIP-98, "Exactly Once Delivery and Transactional Messaging".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from headway.errors import ResultError, TransientError, UnavailableError
from headway.sink import Applied

__all__ = ["PATIENCE", "PRODUCER", "Note", "Record", "Slice", "SliceMovedError", "consumer", "read_notes"]

PATIENCE = 60.0
"""Seconds that a broker may take for one answer."""
PRODUCER: Mapping[str, Any] = {"linger.ms": 20, "batch.size": 262_144, "acks": "all"}
"""Worth 1.8 times the defaults' throughput with records of 136 bytes."""
_LIMITS = {
    "queue.buffering.max.kbytes": 65_536,
    "transaction.timeout.ms": 600_000,
    "message.timeout.ms": 300_000,
    "delivery.report.only.error": True,
    "partitioner": "murmur2_random",
}
_ROUND = 1_000
_FENCED = (
    KafkaError._FATAL,
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
)
_ELECTING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
)
_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE)

Record = tuple[bytes, bytes | None, int | None, list[tuple[str, bytes | None]]]
"""Key, value, partition (None leaves it to the key), headers."""


class SliceMovedError(TransientError):
    """Another run has written the slice."""


@dataclass(frozen=True, slots=True)
class Note:
    """How far a slice has followed."""

    applied: Applied | None
    begun: int | None = None
    """Snapshot that is being sent without transactions."""

    def to_bytes(self) -> bytes:
        """Return the note as a ledger's record holds it."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Note:
        """Read what `to_bytes` has written."""
        found = json.loads(data)
        applied = found["applied"]
        return cls(None if applied is None else Applied(**applied), found["begun"])


class Slice:
    """A slice that this process alone writes."""

    def __init__(self, client: Mapping[str, Any], topic: str, ledger: str, number: int) -> None:
        """Fence off whoever has written the slice before.

        Args:
            client: Where the brokers are and who asks, as librdkafka reads it.
            topic: Where the records go.
            ledger: Topic with the notes; the slice's are in the partition of its number.
            number: Of the slice.

        Raises:
            UnavailableError: The brokers do not answer.
        """
        self._topic = topic
        self._ledger = ledger
        self._number = number
        identity = {"transactional.id": f"headway:{topic}:{number}"}
        self._producer = Producer({**client, **PRODUCER, **_LIMITS, **identity})
        self._ask(lambda: self._producer.init_transactions(PATIENCE))
        asker = consumer(client)
        try:
            note = read_notes(asker, ledger, [number]).get(number)
        except KafkaException as exc:
            raise self._told(exc.args[0]) from exc
        finally:
            asker.close()
        self._applied = None if note is None else note.applied

    def advance(self, since: Applied | None, to: Applied, records: Iterable[Record]) -> None:
        """Send records, and move the note from `since` to `to`, in one transaction; once only.

        Raises:
            SliceMovedError: The slice is not where `since` says.
            ResultError: A record is larger than the topic takes.
            UnavailableError: The brokers do not answer; the transaction is ended by whoever opens the slice next.
        """
        if self._applied == to:
            return
        if self._applied != since:
            raise SliceMovedError(f"slice {self._number} of {self._topic} was written by another run")
        self._ask(self._producer.begin_transaction)
        try:
            source = iter(records)
            while chunk := list(islice(source, _ROUND)):
                self._produce_plain([_message(r) for r in chunk if not r[3]])
                for key, value, partition, headers in chunk:
                    if headers:
                        self._produce(
                            self._topic, key, value, -1 if partition is None else partition, headers
                        )
                self._producer.poll(0)
            self._produce(self._ledger, b"note", Note(to).to_bytes(), self._number, [])
        except ResultError:
            self._ask(lambda: self._producer.abort_transaction(PATIENCE))
            raise
        self._commit()
        self._applied = to

    def _commit(self) -> None:
        self._ask(lambda: self._producer.commit_transaction(PATIENCE))

    def _produce_plain(self, messages: list[dict[str, Any]]) -> None:
        """Hand over records without headers at once, which takes a fraction of the time of one call for each."""
        while messages:
            self._producer.produce_batch(self._topic, messages)
            failed = [message for message in messages if "_error" in message]
            for message in failed:
                error = message.pop("_error")
                if error.code() != KafkaError._QUEUE_FULL:
                    raise self._told(error)
            messages = failed
            if messages:
                self._producer.poll(1.0)

    def _produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int,
        headers: list[tuple[str, bytes | None]],
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._producer.poll(1.0)
            except KafkaException as exc:
                raise self._told(exc.args[0]) from exc
            else:
                return

    def _ask(self, call: Callable[[], object]) -> None:
        """Make a call of the transaction, again while the client says that it may be."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                call()
            except KafkaException as exc:
                error = exc.args[0]
                if not error.retriable() or time.monotonic() > deadline:
                    raise self._told(error) from exc
            else:
                return

    def _told(self, error: KafkaError) -> Exception:
        if error.code() in _FENCED:
            return SliceMovedError(f"slice {self._number} of {self._topic} was taken by another run")
        if error.code() in _LARGE:
            return ResultError(
                f"a row is larger than the topic {self._topic} takes: {error.str()}",
                hint="Raise max.message.bytes of the topic, or make the row smaller.",
            )
        return UnavailableError(
            f"Kafka does not take what is to go into {self._topic}: {error.str()}",
            hint="What the topic lacks is made up for by the same command.",
        )


def _message(record: Record) -> dict[str, Any]:
    key, value, partition, _ = record
    return {"key": key, "value": value, "partition": -1 if partition is None else partition}


def consumer(client: Mapping[str, Any]) -> Consumer:
    """Return a reader of committed records that belongs to no group."""
    return Consumer(
        {
            **client,
            "group.id": "headway",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # an end is told at once, not after half a second
        }
    )


def read_notes(asker: Consumer, ledger: str, numbers: Iterable[int]) -> dict[int, Note]:
    """Return the last committed note of each slice that has one.

    Raises:
        KafkaException: The brokers do not answer.
    """
    back = 16
    notes: dict[int, Note] = {}
    left = {number: _ends(asker, TopicPartition(ledger, number)) for number in numbers}
    while left:
        # Aborted notes and the broker's own marks lie between the notes.
        starts = {number: max(low, high - back) for number, (low, high) in left.items()}
        found = _last_from(asker, [TopicPartition(ledger, number, start) for number, start in starts.items()])
        notes |= {number: Note.from_bytes(value) for number, value in found.items()}
        left = {n: ends for n, ends in left.items() if n not in notes and starts[n] > ends[0]}
        back *= 16
    return notes


def _ends(asker: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return where a partition begins and ends, once it has a leader: a topic that was just made has none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            low, high = asker.get_watermark_offsets(place, PATIENCE)
        except KafkaException as exc:
            if exc.args[0].code() not in _ELECTING or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return low, high


def _last_from(asker: Consumer, places: list[TopicPartition]) -> dict[int, bytes]:
    """Return the last committed value of each partition at or after an offset."""
    asker.assign(places)
    last: dict[int, bytes] = {}
    open_ends = {place.partition for place in places}
    while open_ends:
        message = asker.poll(PATIENCE)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        error = message.error()
        if error is None:
            last[message.partition()] = message.value()
        elif error.code() == KafkaError._PARTITION_EOF:
            open_ends.discard(message.partition())
        else:
            raise KafkaException(error)
    return last
