"""What `headway compare` has measured of a pipeline, as far as advice needs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.errors import ConfigError

__all__ = ["Measured", "MeasuredMode", "read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMode:
    """What one mode gave and took."""

    name: str
    fresh_p50: float
    """Seconds from sent to visible that half of the records were within."""
    fresh_p95: float
    """Seconds from sent to visible that 95 of 100 records were within."""
    parts: tuple[tuple[str, float, str], ...]
    """Where the time goes: name, seconds, and whether it was measured or follows from the schedule."""
    dollars: float
    """A day, by the prices in conf/; machines only."""
    cpu_seconds: float
    """A day."""
    files: float
    """A day."""
    agrees: bool
    """Whether its rows were those of the other modes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a comparison says of a pipeline."""

    file: Path
    pipeline: str
    start: str
    end: str
    created_at: str
    records: int
    late_share: float
    """Of 1."""
    lag_p50: float
    """Seconds from event time to arrival that half of the records were within."""
    lag_p95: float
    """Seconds from event time to arrival that 95 of 100 records were within."""
    modes: Mapping[str, MeasuredMode]


def read(file: Path) -> Measured | None:
    """Read a comparison; None where there is none.

    Raises:
        ConfigError: The file is not a comparison.
    """
    try:
        data = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise _wrong(file, str(exc)) from exc
    try:
        return Measured(
            file=file,
            pipeline=data["pipeline"],
            start=data["start"],
            end=data["end"],
            created_at=data["created_at"],
            records=int(data["records"]),
            late_share=float(data["late_share"]),
            lag_p50=float(data["arrival_lag"]["p50"]),
            lag_p95=float(data["arrival_lag"]["p95"]),
            modes={mode["name"]: _mode(mode) for mode in data["modes"]},
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _wrong(file, f"{type(exc).__name__}: {exc}") from exc


def _mode(data: Mapping[str, Any]) -> MeasuredMode:
    fresh = data["freshness"]
    return MeasuredMode(
        name=data["name"],
        fresh_p50=float(fresh["p50"]),
        fresh_p95=float(fresh["p95"]),
        parts=tuple((p["name"], float(p["seconds"]), p["how"]) for p in fresh["parts"]),
        dollars=float(data["dollars_per_day"]),
        cpu_seconds=float(data["cpu_seconds_per_day"]),
        files=float(data["files_per_day"]),
        agrees=bool(data["agrees"]),
    )


def _wrong(file: Path, what: str) -> ConfigError:
    return ConfigError(
        f"not a comparison: {what}", where=str(file), hint="Make it anew with `headway compare PIPELINE`."
    )
