"""Dimension tables that a pipeline enriches its records from."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from headway import instant
from headway.errors import DefinitionError

__all__ = ["Lookup", "PostgresTable"]


@dataclass(frozen=True, slots=True)
class PostgresTable:
    """A table or view in Postgres that an Iceberg table is a copy of."""

    table: str
    """Its name, with its schema if that is not on the search path: `crm.airlines`."""
    _: KW_ONLY
    database: str = "main"
    """Which of `databases` in conf/ it is in."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """An Iceberg table, read at a version that depends on the record and not on the run.

    A record sees the snapshot that was current at `floor(min(e, a) - settle, refresh)`; an
    output row above an aggregate or a join, the one at `floor(o - settle, refresh)`. Before
    the table's first snapshot, the first one counts. Every version that was used is tagged
    in the table, so that expiry cannot take it.

    With `copies` a run first brings the Iceberg table up to a Postgres table: once a `refresh`, as
    one new snapshot, and only where rows have changed. The copy is held in the driver's memory.
    """

    table: str
    """Name with catalog and namespace, such as `lake.dim.airlines`."""
    refresh: str = "1 hour"
    """Grid of the boundaries at which a new version is taken up."""
    settle: str = "10 minutes"
    """Time that loading the table takes: a version counts only that long after its commit."""
    copies: PostgresTable | None = None
    """The Postgres table that it is a copy of; none where somebody else loads it."""
    as_of: Literal["event_time"] | None = None
    """`event_time`: its rows say from when to when they are valid, and the function joins on that. A record
    then sees the row that is valid at its event time as the table holds it now; a row that is changed, or
    added for the past, is a correction of the time for which it is valid. `refresh` and `settle` do not count."""
    valid_from: str = "valid_from"
    """With `as_of`: the column with the first instant at which a row is valid; null is the beginning of time."""
    valid_to: str = "valid_to"
    """With `as_of`: the column with the first instant at which it is no longer; null is the end of time."""

    def __post_init__(self) -> None:
        instant.duration(self.refresh)
        instant.duration(self.settle)
        if self.as_of not in (None, "event_time"):
            raise DefinitionError(
                f"lookup {self.table!r}: as_of={self.as_of!r}", hint="Use 'event_time', or leave it out."
            )

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
        if self.as_of is not None:
            return {"table": self.table, "valid_from": self.valid_from, "valid_to": self.valid_to}
        return {"table": self.table, "refresh": self.refresh, "settle": self.settle}
