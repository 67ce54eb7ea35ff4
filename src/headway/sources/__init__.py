"""Sources of records. Each is a small frozen noun; drivers are imported when a run needs them."""

from headway.sources.kafka import Kafka

__all__ = ["Kafka"]
