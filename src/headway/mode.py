"""How often a pipeline runs, and how much of the log one run takes."""

from __future__ import annotations

from dataclasses import dataclass

from headway import instant
from headway.errors import ConfigError
from headway.interval import Grid

__all__ = ["Mode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One step on the continuum between a daily batch and a stream.

    A file in modes/ binds one to the name `MODE`. With `every` the mode is bounded: a run
    publishes whole intervals and ends. With `trigger` it is continuous: micro-batches until
    it is stopped. The rows are the same.
    """

    name: str
    """What `--mode` accepts."""
    every: str | None = None
    """Length of an interval, such as '1 hour'; '1 day' follows the calendar of conf's zone."""
    trigger: str | None = None
    """Least time between two micro-batches, such as '10 seconds'; '0 seconds' is at once."""
    schedule: str | None = None
    """Cron expression for a scheduler; bounded modes only, read by nothing in the engine."""

    def __post_init__(self) -> None:
        if (self.every is None) == (self.trigger is None):
            raise ConfigError(f"mode {self.name!r} needs either every= (bounded) or trigger= (continuous)")
        if self.every is not None:
            Grid(instant.duration(self.every))
        if self.trigger is not None:
            instant.duration(self.trigger)

    @property
    def is_bounded(self) -> bool:
        """Whether one run takes whole intervals and then ends."""
        return self.every is not None

    def grid(self, zone: str) -> Grid:
        """Return the intervals of a bounded mode, days in `zone`."""
        if self.every is None:
            raise ConfigError(f"mode {self.name!r} is continuous and has no intervals")
        return Grid(instant.duration(self.every), zone)
