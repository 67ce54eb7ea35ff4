"""A Kafka topic that is kept equal to the table of record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from headway.errors import DefinitionError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from headway.result import Result
    from headway.sink import Follower

__all__ = ["Kafka"]


@dataclass(frozen=True, slots=True)
class Kafka:
    """A topic with a record for each row and each change of a row, made where it is missing.

    A record's key is a JSON object of the Iceberg table's keys, its value one of all columns, with
    times as ISO 8601 in UTC. A row that goes becomes a record without value.
    """

    table: str
    """Name of the topic."""
    headers: tuple[str, ...] = ()
    """Columns that are sent as headers too, as text."""
    partition_by: tuple[str, ...] = ()
    """Keys that choose the partition; without them the whole key does, as Kafka's Java clients hash it."""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`exactly_once` for readers at `read_committed`; `at_least_once` with the header `headway-id` to dedupe by."""
    slices: int = 4
    """Transactions that a change is cut into, and tasks that send it; fixed when the topic is first written."""

    section: ClassVar[str] = "kafka"
    spark_settings: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        topic: str,
        *,
        headers: Sequence[str] = (),
        partition_by: Sequence[str] = (),
        delivery: Literal["exactly_once", "at_least_once"] = "exactly_once",
        slices: int = 4,
    ) -> None:
        object.__setattr__(self, "table", topic)
        object.__setattr__(self, "headers", tuple(headers))
        object.__setattr__(self, "partition_by", tuple(partition_by))
        object.__setattr__(self, "delivery", delivery)
        object.__setattr__(self, "slices", slices)
        if delivery not in ("exactly_once", "at_least_once"):
            raise DefinitionError(f"delivery={delivery!r} is neither 'exactly_once' nor 'at_least_once'")
        if slices < 1:
            raise DefinitionError(f"slices={slices}: a change is sent in one transaction at least")

    def refuses(self, keys: tuple[str, ...], emit: str) -> str | None:
        """Return why it cannot follow: what a topic has taken can be taken back by key only."""
        if not keys:
            return f"the topic {self.table!r} needs keys on the Iceberg table: rows are taken back by them"
        others = [column for column in self.partition_by if column not in keys]
        if others:
            return f"the topic {self.table!r} is partitioned by {others[0]!r}, which is none of the keys"
        return None

    def follow(self, spark: SparkSession, settings: Mapping[str, Any], result: Result) -> Follower:
        """Open the topic; see `headway.sink.FollowingSink.follow`.

        Args:
            spark: The session.
            settings: `kafka`: the section of conf/, with the brokers' address.
            result: What the rows look like.
        """
        from headway.sinks.kafka_topic import KafkaTopic

        return KafkaTopic(spark, self, settings["kafka"], result)
