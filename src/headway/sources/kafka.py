"""A Kafka topic as a source of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headway.source import Log, Source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Kafka"]


class Kafka(Source):
    """A topic whose record timestamp is the arrival time.

    `Kafka("flights", schema="id string, at timestamp", event_time="at", lateness="6 hours")`;
    the fields are those of `headway.source.Source`. The topic needs `retention.ms=-1` where
    old timestamps are replayed, or the broker deletes them at once.
    """

    __slots__ = ()

    @property
    def section(self) -> str:
        """The section `kafka` of conf/."""
        return "kafka"

    def open(self, settings: Mapping[str, Any], session: Callable[[], SparkSession]) -> Log:
        """Connect to the brokers of `kafka` in conf; see `Source.open`."""
        from headway.sources.kafka_log import KafkaLog

        return KafkaLog(self.name, settings)
