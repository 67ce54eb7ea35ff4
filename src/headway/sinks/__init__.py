"""Places for results. Each is a small frozen noun; engines are imported when a run needs them."""

from headway.sinks.iceberg import Iceberg
from headway.sinks.postgres import Postgres

__all__ = ["Iceberg", "Postgres"]
