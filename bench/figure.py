"""One measured figure."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A value, the bar that it is held against, and how far its runs lie apart."""

    name: str
    value: float
    bar: float | None
    unit: str
    better: str
    """`lower` or `higher`."""
    runs: int
    spread: tuple[float, float]
    """Least and greatest of the runs."""
    machine: str = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"

    @classmethod
    def of(
        cls, name: str, values: Sequence[float], *, unit: str, bar: float | None = None, better: str = "lower"
    ) -> Figure:
        """Take the median of some runs."""
        return cls(
            name=name,
            value=round(statistics.median(values), 3),
            bar=bar,
            unit=unit,
            better=better,
            runs=len(values),
            spread=(round(min(values), 3), round(max(values), 3)),
        )

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar
