"""The table of another pipeline as an input."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

__all__ = ["EVENT_TIME", "Upstream"]

EVENT_TIME = "event_time"
"""Column that a frame has besides, where the table's output time is a window: its last instant."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The table of record of another pipeline, whose rows are the records of this one.

    All of them are admitted: that pipeline has judged lateness already. The event time is its
    output time; the frontier is what it has closed; an interval that it replaces is a correction
    here, and so are rows that somebody else changes in its table.
    """

    name: str
    """Name of the table with catalog and namespace, such as `lake.flights.punctuality`."""
    _: KW_ONLY
    schema: str
    """The columns that are read, as Spark DDL; others in the table are left alone."""
    event_time: str
    """The upstream's output time: a TIMESTAMP, or a window `struct<start: timestamp, end: timestamp>`.
    With a window the frame has a further column `event_time`, the last instant of the window."""

    def facts(self) -> dict[str, object]:
        """Return what the rows of an interval depend on, for the fingerprint."""
        return {"table": self.name, "schema": self.schema, "event_time": self.event_time}
