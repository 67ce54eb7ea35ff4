"""Sessions that every mode cuts alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway import instant
from headway.errors import DefinitionError

if TYPE_CHECKING:
    from pyspark.sql import Column

__all__ = ["session"]


def session(event_time: str, *, gap: str, max_length: str) -> tuple[Column, Column]:
    """Return grouping columns for sessions, cut at epoch multiples of `max_length`.

    A plain session chains for as long as no pause exceeds the gap, for days or weeks, so an
    hourly run could not know how far back to read. Cut, it depends on at most
    `max_length + gap`. Use it as `frame.groupBy(*headway.session(...), "key")`.

    Args:
        event_time: Name of the event time column.
        gap: Pause that ends a session.
        max_length: Distance of the cuts.

    Returns:
        `session`, struct<start timestamp, end timestamp>, `end` being the last event plus the
        gap; and `session_cut`, timestamp, the cut that the session begins after. A session
        that was cut goes on as another one with the next `session_cut`.
    """
    from pyspark.sql import functions as F

    gap_micros, length = instant.duration(gap), instant.duration(max_length)
    if length < gap_micros or gap_micros <= 0:
        raise DefinitionError(
            f"session: max_length ({max_length}) is shorter than the gap ({gap}), or the gap is zero",
            hint="A session holds at least one gap.",
        )
    micros = F.unix_micros(F.col(event_time))
    cut = F.timestamp_micros(micros - F.pmod(micros, F.lit(length)))
    return (
        F.session_window(F.col(event_time), instant.spell(gap_micros)).alias("session"),
        cut.alias("session_cut"),
    )
