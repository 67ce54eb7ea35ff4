"""What `headway compare` has found: the same log through each mode, how fresh and at what cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from headway.freshness import Freshness
from headway.prices import Prices

__all__ = ["Comparison", "Lag", "Machine", "ModeFigures"]


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds by which arrival lies after event time; negative where records arrive before it."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    cores: int
    memory_gib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFigures:
    """One mode. Figures are of the compared range, scaled from what was measured, unless they say `per_day`."""

    name: str
    kind: Literal["bounded", "streaming"]
    interval_seconds: float | None
    """Length of an interval of a bounded mode."""
    runs: int
    """Scheduled runs in the range; 1 for a stream."""
    measured_runs: int
    """How many of them were measured."""
    batches: int | None
    """Micro-batches or rounds of a stream in the range, from when its records arrived and how long one takes."""
    measured_batches: int | None
    """How many of them were measured."""
    freshness: Freshness
    run_seconds: float
    """Mean time of a run, a micro-batch or a round; measured."""
    start_up_seconds: float
    """What a run in a process of its own takes longer; measured once, 0 for a stream."""
    cpu_seconds: float
    """Processor seconds that are used, start-up included."""
    cpu_seconds_per_day: float
    held_core_seconds_per_day: float
    """Cores times seconds for which they are held: all day by a stream, by a run while it lasts."""
    bytes_read: int
    """By the processes, from files and network; start-up not included."""
    bytes_written: int
    files: int
    """Data files that are added to the table."""
    files_per_day: float
    object_writes_per_day: float
    """Data files, metadata and checkpoints."""
    peak_memory_bytes: int
    """Most memory that the processes have held at once."""
    dollars_per_day: float
    """What is held, by the prices; the currency is theirs."""
    rows: int
    agrees: bool
    """Whether the rows are those of the first mode."""
    keeps_up: bool = True
    """Whether the stream takes records as fast as they come."""

    def to_json(self) -> dict[str, object]:
        """Write as a JSON object."""
        return {**asdict(self), "freshness": self.freshness.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModeFigures:
        """Read what `to_json` wrote."""
        return cls(**{**data, "freshness": Freshness.from_json(data["freshness"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The modes of one pipeline over one range of the log."""

    pipeline: str
    start: str
    """First instant of the range, ISO 8601 in UTC."""
    end: str
    """First instant that no longer belongs to it."""
    created_at: str
    records: int
    """Records whose event time lies in the range."""
    sampled_records: int
    """From how many of them freshness was worked out."""
    late_share: float
    """Share of the records that arrive later than `lateness` allows."""
    arrival_lag: Lag
    machine: Machine
    prices: Prices
    modes: tuple[ModeFigures, ...]
    """From the longest interval to the stream."""
    closed_modes: dict[str, str]
    """Modes that are not open to the pipeline, and why."""
    dollars_of: str = "held cores and memory, and object writes"
    emit: str = "final"
    closes_after_seconds: float = 0.0
    """How long after its end an interval is closed."""

    @property
    def agrees(self) -> bool:
        """Whether all modes gave the same rows."""
        return all(mode.agrees for mode in self.modes)

    def to_json(self) -> dict[str, object]:
        """Write as `compare --json` prints it."""
        return {
            "pipeline": self.pipeline,
            "start": self.start,
            "end": self.end,
            "created_at": self.created_at,
            "records": self.records,
            "sampled_records": self.sampled_records,
            "late_share": self.late_share,
            "arrival_lag": asdict(self.arrival_lag),
            "machine": asdict(self.machine),
            "prices": self.prices.to_json(),
            "dollars_of": self.dollars_of,
            "emit": self.emit,
            "closes_after_seconds": self.closes_after_seconds,
            "modes": [mode.to_json() for mode in self.modes],
            "closed_modes": self.closed_modes,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Comparison:
        """Read what `to_json` wrote."""
        return cls(
            **{
                **data,
                "arrival_lag": Lag(**data["arrival_lag"]),
                "machine": Machine(**data["machine"]),
                "prices": Prices(**data["prices"]),
                "modes": tuple(ModeFigures.from_json(mode) for mode in data["modes"]),
            }
        )
