"""Telling a row's unit in Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.interval import Grid

if TYPE_CHECKING:
    from pyspark.sql import Column

__all__ = ["key_of", "start_of"]


def key_of(moment: Column, units: Grid) -> Column:
    """Return what tells a row's unit: the local date, or microseconds.

    Args:
        moment: The row's output time in microseconds.
        units: The grid that the units are on.
    """
    from pyspark.sql import functions as F

    if units.is_calendar:
        return F.to_date(F.from_utc_timestamp(F.timestamp_micros(moment), units.zone))
    return moment - F.pmod(moment, F.lit(units.length))


def start_of(key: object, units: Grid) -> int:
    """Return the start of the unit that a key tells, read back from Spark."""
    return units.starting(key) if units.is_calendar else int(key)  # type: ignore[arg-type,call-overload]
