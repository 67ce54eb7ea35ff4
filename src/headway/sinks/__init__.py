"""Places for results. Each is a small frozen noun; engines are imported when a run needs them."""

from headway.sinks.delta import Delta
from headway.sinks.iceberg import Iceberg
from headway.sinks.kafka import Kafka
from headway.sinks.postgres import Postgres

__all__ = ["Delta", "Iceberg", "Kafka", "Postgres"]
