"""Judging the records of sources by units of their event time, before what they give rise to is shown.

The records of a unit are read once more for that, when the source's frontier has passed its end: only a
suite with something to say of a unit asks for it, and not one that merely leaves records out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headway import instant
from headway.interval import Interval
from headway.ownership import Ownership
from headway.run import admission
from headway.run.admission import FATE, Fate
from headway.run.gate import Gate
from headway.run.job import Cut, Job, Report
from headway.run.judged import Judged
from headway.run.judging import judged_units, marked, marks_of, tell
from headway.sink import Commit

__all__ = ["judge_sources"]

_RACES = 5


def judge_sources(
    job: Job,
    cut: Cut,
    reached: Mapping[str, int],
    report: Report,
    commit_of: Callable[[Ownership], Commit],
) -> int:
    """Judge the units that sources have closed, and note what was found in a commit of its own.

    Args:
        job: The run.
        cut: Where the logs end.
        reached: The frontier of each source.
        report: Gets what is found.
        commit_of: Makes a commit without rows that carries a map.

    Returns:
        The event time from which on nothing may be shown: where the first unit begins that is held and is
        not judged yet, or has failed; `instant.END` where no suite holds anything.
    """
    shown_before = instant.END
    for name, gate in job.source_gates.items():
        if not gate.judges:
            continue
        until = gate.units.floor(_last(job, cut, name, reached[name]))
        for attempt in range(_RACES):
            base = job.target.history.visible()
            ownership = job.target.ownership()
            units = _due(job, gate, name, ownership, until)
            found = _judged(job, gate, name, cut, units, begun=ownership.begun.get(name))
            after = ownership.with_marks(name, marks_of(found))
            is_last = attempt == _RACES - 1
            if after == ownership or marked(job, commit_of(after), base=base, is_last=is_last):
                break
        tell(job, report, found)
        if gate.holds:
            failed = [judged.unit.start for judged in found if judged.verdict.fatal]
            shown_before = min([shown_before, *failed])
            if reached[name] < instant.END:
                shown_before = min(shown_before, until)
    return shown_before


def _last(job: Job, cut: Cut, name: str, reached: int) -> int:
    """Return the event time up to which there is something to judge."""
    if reached < instant.END:
        return reached
    source, latest = job.pipeline.sources[name], job.logs[name].latest_arrivals(cut.ends[name].offsets)
    last = max(latest.values(), default=instant.BEGINNING)
    return job.source_gates[name].units.ceiling(last + source.disorder_micros + source.earliness_micros + 1)


def _due(job: Job, gate: Gate, name: str, ownership: Ownership, until: int) -> list[Interval]:
    """Return the units before `until` that are not judged, and under `hold` those that have failed."""
    # What is held because a rule has failed is judged again: the rule or the records may have been mended.
    is_held = gate.fatal if gate.holds else frozenset()
    marks = [m for m in ownership.marks.get(name, ()) if not is_held & set(m.failed)]
    source = job.pipeline.sources[name]
    if name in ownership.begun:
        begin = ownership.begun[name]
    else:
        earliest = job.logs[name].earliest_arrivals()
        if not earliest:
            return []
        begin = gate.units.floor(min(earliest.values()) - source.disorder_micros - source.too_late_micros)
    left = [Interval(begin, until)] if begin < until else []
    for mark in marks:
        left = [part for interval in left for part in interval.minus(mark.interval)]
    return [unit for part in left for unit in gate.within(part) if unit.end <= until]


def _judged(
    job: Job, gate: Gate, name: str, cut: Cut, units: list[Interval], *, begun: int | None
) -> list[Judged]:
    from pyspark.sql import functions as F

    if not units:
        return []
    source, log = job.pipeline.sources[name], job.logs[name]
    ends = cut.ends[name].offsets
    low = instant.clamp(units[0].start - source.earliness_micros)
    high = instant.clamp(units[-1].end + source.too_late_micros + source.disorder_micros + 1)
    start = log.offsets_at(low, ends)
    end = log.offsets_at(high, ends).greatest(start)
    identity = job.identities[name]
    raw = cut.decisions.beside(
        log.read(job.spark, start, end), job.spark, source, identity, start=start, end=end
    )
    judged = admission.judge(raw, source, gate.checks)
    fates = [Fate.ADMITTED, Fate.CORRECTABLE, Fate.REJECTED, Fate.REFUSED]
    rows = judged.filter(F.col(FATE).isin(*map(int, fates))).select(*[f"`{c}`" for c in gate.columns], FATE)
    rows = gate.of_units(rows, units)
    tallies = gate.tallies(gate.checks.marked(rows.drop(FATE)))
    if begun is None:
        first = min(tallies, default=instant.END)
        units = [unit for unit in units if unit.start >= first]
    kept = rows.filter(F.col(FATE).isin(int(Fate.ADMITTED), int(Fate.CORRECTABLE))).drop(FATE)
    return judged_units(job, gate, name, units, kept, tallies)
