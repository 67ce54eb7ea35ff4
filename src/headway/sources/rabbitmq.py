"""A RabbitMQ queue as a source of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from headway.errors import DefinitionError
from headway.source import Log, Source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["RabbitMQ"]

_MOST = 65_535
"""AMQP counts deliveries in two bytes."""


@dataclass(frozen=True, slots=True)
class RabbitMQ(Source):
    """A queue whose messages land in an Iceberg table, which every mode then reads as the log.

    A queue forgets a message once it is acknowledged, so a message is first made durable in the
    landing table and then acknowledged. Its arrival is the moment of landing. A message that comes
    again with the `message_id` of one of the last million that landed is not landed again; a
    message without `message_id` that comes again is a new one. In `_log`, `key` is the routing key,
    `topic` the queue, and `headers` those of the message. A queue belongs to its landing table:
    pipelines that name both share what has landed.
    """

    _: KW_ONLY
    landing: str
    """Name of the landing table with catalog and namespace, such as `lake.landing.orders`; made where it is missing."""
    prefetch: int = 20_000
    """Most messages that are taken from the queue and not yet acknowledged: the bound on memory, and on
    what comes again after a crash."""

    def __post_init__(self) -> None:
        # `super()` does not find its class in a dataclass with slots.
        Source.__post_init__(self)
        if not 1 <= self.prefetch <= _MOST:
            raise DefinitionError(f"source {self.name!r}: prefetch={self.prefetch} is not from 1 to {_MOST}")

    @property
    def section(self) -> str:
        """The section `rabbitmq` of conf/."""
        return "rabbitmq"

    def facts(self) -> dict[str, object]:
        """Return what the rows of an interval depend on, for the fingerprint."""
        return {**Source.facts(self), "landing": self.landing}

    def open(self, settings: Mapping[str, Any], session: Callable[[], SparkSession]) -> Log:
        """Open the landing table, made where it is missing, and name the queue; see `Source.open`."""
        from headway.sources.rabbitmq_log import RabbitMQLog

        return RabbitMQLog(session(), self, settings)
