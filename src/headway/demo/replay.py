"""Sending records to Kafka with the timestamps that they had."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from headway.demo.flights import Record, dimension
from headway.errors import UnavailableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["SENT_AT", "load_dimensions", "new_topics", "send"]

SENT_AT = "sent_at"
"""Header with the wall-clock moment of sending, in microseconds: freshness is measured from it."""
_SETTINGS = {"retention.ms": "-1", "message.timestamp.before.max.ms": "9223372036854775807"}


def new_topics(servers: str, topics: Sequence[str], partitions: int = 3) -> None:
    """Make topics anew: what an earlier replay left in them is removed.

    Raises:
        UnavailableError: The broker did not make them within a minute.
    """
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        stale = [t for t in topics if t in admin.list_topics()]
        if stale:
            admin.delete_topics(stale)
            _wait(lambda: not set(stale) & set(admin.list_topics()), f"removing {', '.join(stale)}")
        admin.create_topics([NewTopic(t, partitions, 1, topic_configs=_SETTINGS) for t in topics])
        admin.wait_for_topics(list(topics))
    finally:
        admin.close()


def send(
    servers: str,
    by_topic: dict[str, Sequence[Record]],
    *,
    seconds: float,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Send records in order of arrival, spread evenly over some seconds; returns how many.

    Args:
        servers: The brokers.
        by_topic: Records of each topic.
        seconds: How long the replay takes; 0 is as fast as it goes.
        progress: Called with how many have been sent, now and then.
    """
    queue = sorted((r, topic) for topic, records in by_topic.items() for r in records)
    producer = KafkaProducer(bootstrap_servers=servers, linger_ms=20, acks="all")
    began = time.monotonic()
    try:
        for number, (record, topic) in enumerate(queue):
            due = began + seconds * number / len(queue)
            ahead = due - time.monotonic()
            if ahead > 0.05:
                producer.flush()
                progress(number)
                time.sleep(ahead)
            producer.send(
                topic,
                key=record.key.encode(),
                value=record.value.encode(),
                timestamp_ms=record.arrival // 1_000,
                headers=[(SENT_AT, str(time.time_ns() // 1_000).encode())],
            )
        producer.flush()
        progress(len(queue))
    finally:
        producer.close()
    return len(queue)


def load_dimensions(spark: SparkSession, catalog: str) -> None:
    """Write airlines, airports and planes to Iceberg tables, where they are missing."""
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {catalog}.dim")
    for name in ("airlines", "airports", "planes"):
        table = f"{catalog}.dim.{name}"
        if not spark.catalog.tableExists(table):
            columns, rows = dimension(name)
            schema = ", ".join(f"`{c}` string" for c in columns)
            spark.createDataFrame(rows, schema).coalesce(1).writeTo(table).using("iceberg").create()


def _wait(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_done():
        if time.monotonic() > deadline:
            raise UnavailableError(f"the broker has not finished {what} within a minute")
        time.sleep(0.1)
