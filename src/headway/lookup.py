"""Dimension tables that a pipeline enriches its records from."""

from __future__ import annotations

from dataclasses import dataclass

from headway import instant

__all__ = ["Lookup"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """An Iceberg table, read at a version that depends on the record and not on the run.

    A record sees the snapshot that was current at `floor(min(e, a) - settle, refresh)`; an
    output row above an aggregate or a join, the one at `floor(o - settle, refresh)`. Before
    the table's first snapshot, the first one counts. Every version that was used is tagged
    in the table, so that expiry cannot take it.
    """

    table: str
    """Name with catalog and namespace, such as `lake.dim.airlines`."""
    refresh: str = "1 hour"
    """Grid of the boundaries at which a new version is taken up."""
    settle: str = "10 minutes"
    """Time that loading the table takes: a version counts only that long after its commit."""

    def __post_init__(self) -> None:
        instant.duration(self.refresh)
        instant.duration(self.settle)

    def boundary(self, moment: int) -> int:
        """Return the instant whose current snapshot a record of `moment` sees.

        >>> hour = instant.duration("1 hour")
        >>> Lookup("lake.dim.airlines").boundary(5 * hour) == 4 * hour
        True
        """
        settled = instant.clamp(moment - instant.duration(self.settle))
        return settled - settled % instant.duration(self.refresh)

    def facts(self) -> dict[str, object]:
        """Return what the rows depend on, for the fingerprint."""
        return {"table": self.table, "refresh": self.refresh, "settle": self.settle}
