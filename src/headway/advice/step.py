"""The price of each step from one mode to the next faster one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from headway import instant
from headway.advice.candidate import Candidate
from headway.advice.words import count

__all__ = ["Step", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step faster brings and takes."""

    slower: Candidate
    faster: Candidate
    work: tuple[str, ...]
    """What the team has to do and to keep doing; nobody has measured that."""

    @property
    def dollars(self) -> float | None:
        """What it costs a day, machines only; None where it was not measured."""
        before, after = self.slower.measured, self.faster.measured
        return None if before is None or after is None else after.dollars - before.dollars

    @property
    def saved(self) -> float | None:
        """Seconds by which the 95th percentile of freshness falls; None where it was not measured."""
        before, after = self.slower.measured, self.faster.measured
        return None if before is None or after is None else before.fresh_p95 - after.fresh_p95


def steps(modes: Sequence[Candidate]) -> tuple[Step, ...]:
    """Return the steps between modes that are not closed, from the slowest on."""
    usable = [mode for mode in modes if mode.state != "closed"]
    return tuple(
        Step(slower=slower, faster=faster, work=_work(slower, faster)) for slower, faster in pairwise(usable)
    )


def _work(slower: Candidate, faster: Candidate) -> tuple[str, ...]:
    if faster.is_stream and slower.is_stream:
        return (_files(slower, faster),)
    if not faster.is_stream:
        times = slower.step / faster.step
        return (
            f"{count(times)} times as many runs to schedule and to watch",
            f"a run that fails has to be run again within {instant.spell(faster.step)}, or the gain is gone",
            _files(slower, faster),
        )
    return (
        "a service in place of runs: started, supervised and watched by its lag; Airflow's DAG only supervises it",
        "somebody who answers when it stops, at night too",
        "a release is a stop and a start of something that holds state, to be rehearsed",
        _files(slower, faster),
        "many small commits: Iceberg's documentation advises a minute between two at the least",
        "machines held all day, also while nothing comes",
    )


def _files(slower: Candidate, faster: Candidate) -> str:
    before, after = slower.measured, faster.measured
    if before is None or after is None:
        return "more and smaller files, which have to be compacted"
    return f"{count(after.files)} files a day in place of {count(before.files)}, which have to be compacted"
