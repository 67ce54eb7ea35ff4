"""Sources of records. Each is a small frozen noun; drivers are imported when a run needs them.

Packages add theirs by an entry point of the group `headway.sources`: `sources.NAME` is what it names.
"""

from typing import Any

from headway import extensions
from headway.sources.iceberg import Iceberg
from headway.sources.kafka import Kafka
from headway.sources.rabbitmq import RabbitMQ

__all__ = ["Iceberg", "Kafka", "RabbitMQ"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return extensions.found(__name__, name, __all__)
