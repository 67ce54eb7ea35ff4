"""The Iceberg table of another pipeline as a source of records."""

from __future__ import annotations

from headway.upstream import Upstream

__all__ = ["Iceberg"]


class Iceberg(Upstream):
    """What another pipeline publishes, read by its commits: pipelines chain.

    `Iceberg("lake.flights.punctuality", schema="origin string, window struct<start: timestamp, end:
    timestamp>, departures bigint", event_time="window")`; the fields are those of
    `headway.upstream.Upstream`. Its frame has the columns of `schema`, and no `_log`.
    """

    __slots__ = ()
