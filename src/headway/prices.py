"""What a machine costs: the prices by which modes are compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Prices"]

_HOUR = 3_600.0
_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices of what a run holds and of the objects that it writes; `[prices]` of conf/."""

    core_hour: float = 0.04048
    """One core for an hour."""
    gib_hour: float = 0.004445
    """One GiB of memory for an hour."""
    thousand_object_writes: float = 0.005
    """A thousand objects put into an object store."""
    currency: str = "USD"
    """What the prices are in; a name, nothing is converted."""

    def of(self, *, core_seconds: float, memory_bytes: float, memory_seconds: float, writes: float) -> float:
        """Return what holding cores and memory, and writing objects, costs.

        Args:
            core_seconds: Cores times the seconds for which they are held, used or not.
            memory_bytes: Memory that is held.
            memory_seconds: For how long.
            writes: Objects that are written.

        >>> p = Prices(core_hour=1.0, gib_hour=0.5, thousand_object_writes=2.0)
        >>> p.of(core_seconds=7200, memory_bytes=2 * 1024**3, memory_seconds=3600, writes=500)
        4.0
        """
        return (
            self.core_hour * core_seconds / _HOUR
            + self.gib_hour * (memory_bytes / _GIB) * memory_seconds / _HOUR
            + self.thousand_object_writes * writes / 1_000
        )

    def to_json(self) -> dict[str, object]:
        """Write as a JSON object."""
        return asdict(self)
