"""What processes have used, as Linux tells it: processor time, memory, bytes read and written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import CallError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Usage", "forget_peak", "of_run"]

_PROC = Path("/proc")
_KIB = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What has been used up to a moment; the difference of two is what was used between them."""

    cpu_seconds: float
    """Of all cores, with processes that have ended."""
    bytes_read: int
    """From files and network, by read calls: what the page cache holds counts too."""
    bytes_written: int
    peak_memory_bytes: int
    """Most resident memory since the start, or since `forget_peak`; of a difference, that of the later one."""

    def minus(self, before: Usage) -> Usage:
        """Return what was used since."""
        return Usage(
            cpu_seconds=self.cpu_seconds - before.cpu_seconds,
            bytes_read=max(0, self.bytes_read - before.bytes_read),
            bytes_written=max(0, self.bytes_written - before.bytes_written),
            peak_memory_bytes=self.peak_memory_bytes,
        )


def of_run(spark: SparkSession) -> Usage:
    """Return what the driver has used: this process, its JVM, and the Python workers that the JVM has started.

    Raises:
        CallError: The system tells nothing of its processes in /proc.
    """
    if not (_PROC / "self" / "stat").exists():
        raise CallError(
            "this system does not tell what processes use", hint="Compare on Linux: /proc is read."
        )
    jvm, own = _pids(spark)
    statistics = _statistics()
    family = [own, *_below([jvm], statistics)]
    return Usage(
        cpu_seconds=sum(statistics[pid][1] for pid in family if pid in statistics),
        bytes_read=sum(_fact(pid, "io", "rchar:") for pid in family),
        bytes_written=sum(_fact(pid, "io", "wchar:") for pid in family),
        peak_memory_bytes=sum(_fact(pid, "status", "VmHWM:") * _KIB for pid in family),
    )


def forget_peak(spark: SparkSession) -> None:
    """Let the most memory count from now on, as far as the system allows it."""
    for pid in _below(_pids(spark), _statistics()):
        try:
            (_PROC / str(pid) / "clear_refs").write_text("5")
        except (PermissionError, FileNotFoundError):
            continue  # the peak since the start is no less


def _pids(spark: SparkSession) -> tuple[int, int]:
    jvm = spark._jvm
    assert jvm is not None
    return int(jvm.java.lang.ProcessHandle.current().pid()), os.getpid()


def _statistics() -> dict[int, tuple[int, float]]:
    """Return each process's parent and its processor seconds, with those of its ended children."""
    found = {}
    tick = os.sysconf("SC_CLK_TCK")
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended since; its parent counts it
            continue
        found[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / tick)
    return found


def _below(roots: Iterable[int], statistics: dict[int, tuple[int, float]]) -> list[int]:
    """Return processes and those that they have started, each once."""
    level, found = set(roots), set[int]()
    while level:
        found |= level
        level = {pid for pid, (parent, _) in statistics.items() if parent in level} - found
    return sorted(found)


def _fact(pid: int, file: str, name: str) -> int:
    """Return a number that a process's file in /proc states; 0 where the process has ended."""
    try:
        lines = (_PROC / str(pid) / file).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
