"""Judging units: in the commit that settles them, after the commits that have made them up, or before anything is shown.

A unit of the result is judged once it is final. A bounded run that settles a whole unit judges it before
the commit shows it; what hours or micro-batches have settled piece by piece (`gate="mark"` only) is judged
afterwards, by one read of the table. What was found is part of the map that the commit carries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headway import instant
from headway.errors import FailedRuleError
from headway.interval import Interval, coalesce
from headway.mark import Mark
from headway.ownership import Ownership
from headway.quality.checks import Tally
from headway.run.gate import Gate, Split
from headway.run.job import Job, Report
from headway.run.judged import Judged
from headway.sink import Commit, Staged
from headway.sinks.iceberg_table import MainMovedError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "RESULT",
    "HeldError",
    "judge_closed",
    "judged_units",
    "marked",
    "marks_of",
    "raise_if_failed",
    "set_aside",
    "settle",
    "taken_over",
    "together",
    "unjudged",
]

_RACES = 5
RESULT = ""
"""Subject of the marks that are about the result."""
UNKNOWN: Tally = {"unknown": 1}
"""Stands for what was counted of a unit's rejected rows where nobody knows it."""


class HeldError(Exception):
    """A unit that must not be shown, because a rule failed; ends the work on it inside a run."""

    def __init__(self, judged: Sequence[Judged]) -> None:
        self.judged = judged
        self.failed = next(j for j in judged if j.verdict.fatal)
        super().__init__(str(self.failed.unit))


def settle(
    job: Job,
    split: Split,
    staged: Staged,
    before: Ownership,
    report: Report,
    *,
    span: Interval,
    is_open: bool,
) -> Staged:
    """Set rejected rows of a bounded run aside, and judge the units that it settles, before they are shown.

    Args:
        job: The run.
        split: The rows that were written, and those that were not.
        staged: What was written.
        before: The map as it stood before.
        report: Gets what is found.
        span: The range of output time that was computed.
        is_open: The range is not final: nothing is judged.

    Raises:
        HeldError: A unit that is held has failed. Nothing was shown.
    """
    gate = job.gate
    assert gate is not None
    whole, is_dirty = gate.counted(split, staged.rows)
    rejected: dict[int, Tally] = {}
    if is_dirty:
        rejected = set_aside(job, gate, split, staged.commit, report, replaced=span)
    else:
        job.books.forget_rejected(span)
    if is_open:
        return staged
    touched = gate.within(span)
    units = [unit for unit in touched if span.contains(unit)]
    after = staged.commit.ownership
    # Of units that are not complete yet, what was rejected is kept for when they are.
    parts = {
        unit.start: _added(gate, before, unit, span, rejected.get(unit.start))
        for unit in touched
        if unit not in units
    }
    after = after.with_tallies({**{unit.start: {} for unit in units}, **parts})
    if units:
        kept = job.target.added(staged)
        if whole is not None and units == [span]:
            tallies = {span.start: whole}
        else:
            tallies = gate.with_rejected(kept, rejected)
        has_rows = set() if staged.rows == 0 and not rejected else set(tallies)
        units = _from_first_row(units, has_rows, before)
        found = judged_units(job, gate, job.pipeline.name, units, kept, tallies)
        if gate.holds and any(j.verdict.fatal for j in found):
            raise HeldError(found)
        report.judge(found)
        after = after.with_marks(RESULT, marks_of(found))
    if after == staged.commit.ownership:
        return staged
    return job.target.amend(staged, replace(staged.commit, ownership=after))


def _added(gate: Gate, before: Ownership, unit: Interval, span: Interval, new: Tally | None) -> Tally:
    """Return what is known of the rejected rows of a unit of which a part was computed.

    A run that computes a part again computes all of the unit that is final.
    """
    part = Interval(max(unit.start, span.start), min(unit.end, span.end))
    known = before
    if before.stream is not None or before.open_rows:
        known = taken_over(gate, before)
    old = {} if before.revision(part) else dict(known.tallies.get(unit.start, {}))
    return together(gate, old, new or {})


def together(gate: Gate, first: Tally, second: Tally) -> Tally:
    """Add what was counted of rejected rows in two commits; an empty one counts nothing."""
    if not (first and second):
        return first or second
    if UNKNOWN in (first, second):
        return UNKNOWN
    return gate.together(first, second)


def taken_over(gate: Gate, ownership: Ownership) -> Ownership:
    """Return the map without what was counted of open rows, because somebody computes them again.

    A stream counts a unit's rejected rows as they come. Where the unit is final in part, nobody knows which
    of them lie in that part.
    """
    closed = ownership.closed_through
    after: dict[int, Tally] = {}
    for start in ownership.tallies:
        if closed is None or start >= closed:
            after[start] = {}
        elif closed < gate.units.after(start):
            after[start] = UNKNOWN
    return ownership.with_tallies(after)


def _from_first_row(units: list[Interval], has_rows: set[int], before: Ownership) -> list[Interval]:
    """Leave out the units before the first that ever held a row: there the pipeline has not begun."""
    begun = [mark.interval.start for mark in before.marks.get(RESULT, ())]
    first = min([*has_rows, *begun], default=instant.END)
    return [unit for unit in units if unit.start >= first]


def set_aside(
    job: Job, gate: Gate, split: Split, commit: Commit, report: Report, *, replaced: Interval | None
) -> dict[int, Tally]:
    """Keep the rejected rows of a commit that want it, and return what is counted of all of them, by unit.

    Computes the rows a second time, which only commits with rejected rows do.
    """
    rejected = gate.rejected(split).persist()
    try:
        tallies = gate.tallies(rejected)
        report.rejected += rejected.count()
        rows = gate.quarantined(
            rejected,
            mode=commit.mode,
            lineage=commit.lineage,
            batch=commit.batch_id,
            revision=commit.revision,
        )
        job.held.check()
        batch = None if commit.batch_id is None else (commit.lineage, commit.batch_id)
        job.books.reject(rows, replaced=replaced, batch=batch)
    finally:
        rejected.unpersist()
    return tallies


def unjudged(job: Job, ownership: Ownership) -> list[Interval]:
    """Return the units of the result that are final and not judged, from the first that holds a row on."""
    gate = job.gate
    if gate is None or not ownership.segments:
        return []
    begin, end = ownership.segments[0].interval.start, gate.units.floor(ownership.closed_through or 0)
    marks = ownership.marks.get(RESULT, ())
    mine = [s.interval for s in ownership.segments if s.inputs == job.inputs]
    if not mine or gate.units.floor(begin) >= end:
        return []
    # Those from before the suite was there are judged when they are computed anew.
    first = max(gate.units.floor(mine[0].start), gate.units.floor(begin))
    left = [Interval(first, end)] if first < end else []
    for mark in marks:
        left = [part for interval in left for part in interval.minus(mark.interval)]
    units = [
        unit
        for part in left
        for unit in gate.within(part)
        if unit.end <= end
        and not ownership.gaps(Interval(max(unit.start, begin), unit.end))
        and any(m.meets(unit) for m in mine)
    ]
    if units and not marks:
        held = job.target.history.first_moment()
        return [unit for unit in units if held is not None and unit.end > held]
    return [unit for unit in units if unit.start >= marks[0].interval.start]


def judge_closed(
    job: Job,
    report: Report,
    commit_of: Callable[[Ownership], Commit],
    rows_of: Callable[[Interval], DataFrame],
) -> None:
    """Judge the units of the result that are final and not judged yet, and note what is found in a commit of its own.

    Called between commits.

    Args:
        job: The run.
        report: Gets what is found.
        commit_of: Makes a commit without rows that carries a map.
        rows_of: Computes the rows of a unit anew, rejected ones too; asked where nobody knows those.

    Raises:
        MainMovedError: Other writers kept committing in between.
    """
    gate = job.gate
    for attempt in range(_RACES):
        ownership = job.target.ownership()
        units = unjudged(job, ownership)
        if gate is None or not units:
            return
        history = job.target.history
        kept = history.rows_at(history.visible(), coalesce(units))
        known = {u: dict(ownership.tallies[u.start]) for u in units if u.start in ownership.tallies}
        tallies = gate.with_rejected(kept, {u.start: t for u, t in known.items() if t != UNKNOWN})
        for unit in (u for u, tally in known.items() if tally == UNKNOWN):
            tallies |= gate.tallies(gate.checks.marked(rows_of(unit)))
        found = judged_units(job, gate, job.pipeline.name, units, kept, tallies)
        after = ownership.with_marks(RESULT, marks_of(found))
        after = after.with_tallies({unit.start: {} for unit in units})
        if marked(job, commit_of(after), is_last=attempt == _RACES - 1):
            report.judge(found)
            return


def marked(job: Job, commit: Commit, *, is_last: bool = False) -> bool:
    """Show a commit without rows; False where another writer has committed meanwhile."""
    try:
        staged = job.target.stage_empty(commit)
        job.held.check()
        job.target.publish(staged)
    except MainMovedError:
        if is_last:
            raise
        return False
    job.followers.follow(staged)
    return True


def raise_if_failed(job: Job, judged: Sequence[Judged]) -> None:
    """End a run in which a rule has failed that is to fail it.

    Raises:
        FailedRuleError: With the rule, the unit, what was found, and some rows.
    """
    fatal = [j for j in judged if j.verdict.fatal]
    if not fatal:
        return
    first = fatal[0]
    rule = first.verdict.fatal[0]
    others = sum(len(j.verdict.fatal) for j in fatal) - 1
    gates = {job.pipeline.name: job.gate, **job.source_gates}
    gate = gates[first.subject]
    assert gate is not None
    shown = "nothing of it is shown" if gate.holds else "it is published, and marked"
    lines = [
        f"the rule {rule} of the suite {first.suite.name!r} failed for the unit {first.unit}: {first.found(rule)}; {shown}"
    ]
    lines += [f"    {row}" for row in first.samples.get(rule, ())]
    if others:
        lines.append(f"    and {others} more, such as {fatal[-1].verdict.fatal[-1]} for {fatal[-1].unit}")
    raise FailedRuleError(
        "\n".join(lines),
        where=str(gate.suite.file),
        hint=(
            "Mend the rule, the definition or the data, then run the same command again; nothing is lost."
            if gate.holds
            else "The next run goes on after it. Rows of the unit are judged anew when they are computed anew."
        ),
    )


def judged_units(
    job: Job,
    gate: Gate,
    subject: str,
    units: list[Interval],
    kept: DataFrame,
    tallies: Mapping[int, Tally],
) -> list[Judged]:
    """Judge units, keep what was found, and tell whom conf/ names of those that failed."""
    found = []
    for unit, verdict in gate.judged(units, kept, tallies).items():
        samples = {}
        if verdict.fatal:
            rows = gate.of_units(kept, [unit])
            samples = {rule: job.verdicts.masked(gate.checks.samples(rows, rule)) for rule in verdict.fatal}
        shown = job.verdicts.hidden(verdict)
        found.append(Judged(subject=subject, suite=gate.suite, unit=unit, verdict=shown, samples=samples))
    job.verdicts.keep(found)
    return found


def marks_of(judged: Sequence[Judged]) -> list[Mark]:
    """Return what a commit notes of judged units."""
    return [Mark(j.unit, j.verdict.failed) for j in judged]
