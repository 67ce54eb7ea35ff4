"""Taking messages from a RabbitMQ queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import pika
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from headway.errors import ConfigError, UnavailableError
from headway.sources.landing_table import Message
from headway.sources.rabbitmq_connection import Connection

__all__ = ["Delivery", "Queue"]

_NOT_FOUND = 404
_HEARTBEAT = 600
"""Seconds: landing a batch blocks the connection, which the broker must not take for its end."""
_MOST_BYTES = 32 * 1024 * 1024
"""Of bodies that are landed at once: one task of Spark, one file, and several copies in memory."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that the broker keeps until it is acknowledged."""

    tag: int
    message: Message


class Queue:
    """One connection and its consumer, opened by `with`; for one thread."""

    def __init__(self, url: Any, name: str, prefetch: int) -> None:
        """Name a queue.

        Args:
            url: AMQP URL, with the password in it: a pydantic SecretStr.
            name: The queue, which has to exist.
            prefetch: Most deliveries that are not acknowledged.
        """
        self._parameters = _parsed(url.get_secret_value())
        self._where = f"{self._parameters.host}:{self._parameters.port}"
        self._parameters.heartbeat = _HEARTBEAT
        self._parameters.blocked_connection_timeout = _HEARTBEAT
        self._name = name
        self._prefetch = prefetch
        self._taken: list[Delivery] = []
        self._bytes = 0
        self._consumer: str | None = None
        self._is_cancelled = False

    def __enter__(self) -> Self:
        self._connection = self._asked(lambda: pika.BlockingConnection(self._parameters, Connection))
        self._channel = self._asked(self._connection.channel)
        self._channel.add_on_cancel_callback(self._cancelled)
        self._asked(lambda: self._channel.basic_qos(prefetch_count=self._prefetch))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection; what was not acknowledged goes back to the queue."""
        if self._connection.is_open:
            with suppress(AMQPError, OSError):  # it may break at this very moment
                self._connection.close()

    def ready(self) -> int:
        """Return how many messages wait for a consumer.

        Raises:
            UnavailableError: The queue is not there.
        """
        declared = self._asked(lambda: self._channel.queue_declare(self._name, passive=True))
        return int(declared.method.message_count)

    def take(self, most: int, patience: float) -> list[Delivery]:
        """Return up to `most` deliveries: fewer `patience` seconds after the first, none after as long without one."""
        if self._consumer is None:
            self._consumer = self._asked(lambda: self._channel.basic_consume(self._name, self._received))
        until = time.monotonic() + patience
        while len(self._taken) < most and self._bytes < _MOST_BYTES:
            before = len(self._taken)
            self._asked(lambda: self._connection.process_data_events(time_limit=patience / 10))
            if len(self._taken) > before and before == 0:
                until = time.monotonic() + patience
            if time.monotonic() >= until:
                break
            if self._is_cancelled:
                raise UnavailableError(
                    f"the RabbitMQ broker at {self._where} no longer delivers from the queue {self._name!r}: it was deleted or its node is gone",
                    hint="Declare it again, or mend the broker; then run the same command again.",
                )
        taken, self._taken = self._taken[:most], self._taken[most:]
        self._bytes = sum(len(delivery.message.value) for delivery in self._taken)
        return taken

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Have the broker forget deliveries, which are the oldest that it waits for."""
        self._asked(lambda: self._channel.basic_ack(deliveries[-1].tag, multiple=True))

    def _cancelled(self, _method: Any) -> None:
        self._is_cancelled = True

    def _received(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        headers = [(_text(k), _plain(v)) for k, v in (properties.headers or {}).items()]
        # An empty id tells no message from another.
        message_id = _text(properties.message_id or "") or None
        self._taken.append(
            Delivery(method.delivery_tag, Message(_plain(method.routing_key), body, headers, message_id))
        )
        self._bytes += len(body)

    def _asked(self, question: Callable[[], T]) -> T:
        where = self._where
        try:
            return question()
        except (ProbableAuthenticationError, ProbableAccessDeniedError) as exc:
            raise ConfigError(
                f"the RabbitMQ broker at {where} refuses this user, or its virtual host",
                hint="Mend rabbitmq.url in conf/, or the user's rights.",
            ) from exc
        except ChannelClosedByBroker as exc:
            if exc.reply_code == _NOT_FOUND:
                raise UnavailableError(
                    f"there is no queue {self._name!r} at {where}",
                    hint="Declare it there, durable; headway declares no queue.",
                ) from exc
            raise UnavailableError(
                f"the RabbitMQ broker at {where} closed the channel: {exc.reply_text}"
            ) from exc
        except (AMQPError, OSError) as exc:
            raise UnavailableError(
                f"no RabbitMQ broker answers at {where}: {type(exc).__name__}",
                hint="Start it, or mend rabbitmq.url in conf/; what was not acknowledged comes again.",
            ) from exc


def _parsed(url: str) -> Any:
    """Read an AMQP URL; what is wrong with it may be the password, so it is not quoted."""
    try:
        if url.partition("://")[0] in ("amqp", "amqps"):
            return pika.URLParameters(url)
    except (ValueError, TypeError, AMQPError):
        pass
    raise ConfigError(
        "rabbitmq.url in conf/ is no AMQP URL",
        hint="Write amqp://user:password@host:5672/vhost, with / ? # and % in the password percent-encoded.",
    )


def _text(value: object) -> str:
    """Return a short string of AMQP, which pika gives as bytes where it is not UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _plain(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
