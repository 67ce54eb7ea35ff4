"""Places for results. Each is a small frozen noun; engines are imported when a run needs them.

Packages add theirs by an entry point of the group `headway.sinks`: `sinks.NAME` is what it names.
"""

from typing import Any

from headway import extensions
from headway.sinks.delta import Delta
from headway.sinks.iceberg import Iceberg
from headway.sinks.kafka import Kafka
from headway.sinks.postgres import Postgres

__all__ = ["Delta", "Iceberg", "Kafka", "Postgres"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return extensions.found(__name__, name, __all__)
