"""Judging units: in the commit that settles them, after the commits that have made them up, or before anything is shown.

A unit of the result is judged once it is final. A bounded run that settles a whole unit judges it before
the commit shows it; what hours or micro-batches have settled piece by piece (`gate="mark"` only) is judged
afterwards, by one read of the table. What was found is part of the map that the commit carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from headway.telemetry.events import Standing, UnitJudged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "RESULT",
    "HeldError",
    "Settled",
    "begins",
    "judge_closed",
    "judged_units",
    "marked",
    "marks_of",
    "raise_if_failed",
    "set_aside",
    "settle",
    "taken_over",
    "tell",
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


@dataclass(frozen=True, slots=True)
class Settled:
    """What a suite has made of a commit that is staged; told once it is shown."""

    staged: Staged
    found: Sequence[Judged] = ()
    rejected: int = 0


def settle(
    job: Job, split: Split, staged: Staged, before: Ownership, *, span: Interval, is_open: bool
) -> Settled:
    """Set rejected rows of a bounded run aside, and judge the units that it settles, before they are shown.

    Args:
        job: The run.
        split: The rows that were written, and those that were not.
        staged: What was written.
        before: The map as it stood before.
        span: The range of output time that was computed.
        is_open: The range is not final: nothing is judged.

    Raises:
        HeldError: A unit that is held has failed. Nothing was shown.
    """
    gate = job.gate
    assert gate is not None
    rejected: dict[int, Tally] = {}
    count = 0
    if gate.is_dirty(split, staged.rows):
        rejected, count = set_aside(job, gate, split, staged.commit, replaced=span)
    else:
        job.books.forget_rejected(span)
    if is_open:
        return Settled(staged, rejected=count)
    touched = gate.within(span)
    units = [unit for unit in touched if span.contains(unit)]
    after = staged.commit.ownership
    # Of units that are not complete yet, what was rejected is kept for when they are.
    parts = {
        unit.start: _added(gate, before, unit, span, rejected.get(unit.start, {}))
        for unit in touched
        if unit not in units
    }
    after = after.with_tallies({**{unit.start: {} for unit in units}, **parts})
    found: list[Judged] = []
    if units:
        kept = job.target.added(staged)
        kept = kept if len(units) == len(touched) else gate.of_units(kept, units)
        counted = gate.counted(split, staged.rows)
        tallies = gate.with_rejected(gate.kept_tallies(kept) if counted is None else counted, rejected)
        begun = begins(job, before, tallies)
        units = [unit for unit in units if unit.end > begun]
        found = judged_units(job, gate, None, units, kept, tallies)
        if gate.holds and any(j.verdict.fatal for j in found):
            raise HeldError(found)
        after = after.with_marks(RESULT, marks_of(found))
    if after != staged.commit.ownership:
        staged = job.target.amend(staged, replace(staged.commit, ownership=after))
    return Settled(staged, found, count)


def tell(job: Job, report: Report, found: Sequence[Judged]) -> None:
    """Take what was found into the report, keep it, and tell whom conf/ names; called once a commit shows it."""
    report.judge(found)
    for judged in found:
        job.telemetry.tell(
            UnitJudged(
                subject=judged.subject,
                suite=judged.suite.name,
                unit=judged.unit,
                failed=judged.verdict.failed,
                is_fatal=bool(judged.verdict.fatal),
            )
        )
    job.verdicts.keep(found)


def _added(gate: Gate, before: Ownership, unit: Interval, span: Interval, new: Tally) -> Tally:
    """Return what is known of the rejected rows of a unit of which a part was computed."""
    part = Interval(max(unit.start, span.start), min(unit.end, span.end))
    known = before if before.stream is None else taken_over(gate, before)
    old = dict(known.tallies.get(unit.start, {}))
    if not before.revision(part):
        return together(gate, old, new)
    # Its old rows go, and with them what was counted of them; what else was, nobody can tell apart.
    others = (rest for rest in unit.minus(part) if any(s.interval.meets(rest) for s in before.segments))
    return UNKNOWN if any(others) else gate.stamped(new)


def together(gate: Gate, old: Tally, new: Tally) -> Tally:
    """Add what was counted of rejected rows to what a commit carries; an empty one counts nothing."""
    if not old:
        return gate.stamped(new)
    if not gate.is_own(old):
        return UNKNOWN
    return gate.stamped(gate.together(old, new)) if new else old


def begins(job: Job, ownership: Ownership, has_rows: Iterable[int] = ()) -> int:
    """Return a moment in the first unit that ever held a row, rejected or not; before it the pipeline has not begun."""
    moments = [*has_rows, *ownership.tallies]
    if RESULT in ownership.begun:
        moments.append(ownership.begun[RESULT])
    elif (first := job.target.history.first_moment()) is not None:
        moments.append(first)
    return min(moments, default=instant.END)


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


def set_aside(
    job: Job, gate: Gate, split: Split, commit: Commit, *, replaced: Interval | None
) -> tuple[dict[int, Tally], int]:
    """Keep the rejected rows of a commit that want it; return what is counted of all of them by unit, and their number.

    Computes the rows a second time, which only commits with rejected rows do.
    """
    rejected = gate.checks.marked(split.rejected).persist()
    try:
        tallies = gate.tallies(rejected)
        count = rejected.count()
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
    return tallies, count


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
    begun = begins(job, ownership) if units else instant.END
    return [unit for unit in units if unit.end > begun]


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
    if gate is None:
        return
    history = job.target.history
    for attempt in range(_RACES):
        base = history.visible()
        ownership = job.target.ownership()
        units = unjudged(job, ownership)
        if not units:
            return
        kept = history.rows_at(base, coalesce(units))
        known = {u: dict(ownership.tallies[u.start]) for u in units if u.start in ownership.tallies}
        rejected = {u.start: t for u, t in known.items() if gate.is_own(t)}
        # What other inputs have published may hold rows that this suite would have left out.
        is_own = all(s.inputs == job.inputs for s in ownership.segments if any(map(s.interval.meets, units)))
        if is_own:
            counted = gate.kept_tallies(kept, units[0] if len(units) == 1 else None)
        else:
            counted = gate.tallies(gate.checks.marked(kept))
        tallies = gate.with_rejected(counted, rejected)
        for unit in (u for u, tally in known.items() if not gate.is_own(tally)):
            tallies |= gate.tallies(gate.checks.marked(rows_of(unit)))
        found = judged_units(job, gate, None, units, kept, tallies)
        after = ownership.with_marks(RESULT, marks_of(found))
        after = after.with_tallies({unit.start: {} for unit in units})
        if marked(job, commit_of(after), base=base, is_last=attempt == _RACES - 1):
            tell(job, report, found)
            return


def marked(job: Job, commit: Commit, *, base: int, is_last: bool = False) -> bool:
    """Show a commit without rows; False where another writer has committed since `base`, which its map was made from.

    Raises:
        MainMovedError: Somebody has, and this was the last attempt.
    """
    try:
        staged = job.target.stage_empty(commit, base=base)
        job.held.check()
        job.target.publish(staged)
    except MainMovedError:
        if is_last:
            raise
        return False
    job.telemetry.tell(Standing.of(commit.ownership))
    job.followers.follow(staged)
    return True


def raise_if_failed(judged: Sequence[Judged], *, is_older_shown: bool = False) -> None:
    """End a run in which a rule has failed that is to fail it.

    Args:
        judged: What was found in this run.
        is_older_shown: Rows of the failed unit from before are visible, and stay.

    Raises:
        FailedRuleError: With the rule, the unit, what was found, and some rows.
    """
    fatal = [j for j in judged if j.verdict.fatal]
    if not fatal:
        return
    first = fatal[0]
    rule = first.verdict.fatal[0]
    others = sum(len(j.verdict.fatal) for j in fatal) - 1
    is_held = first.suite.gate == "hold"
    shown = "nothing of it is shown" if is_held else "it is published, and marked"
    if is_held and is_older_shown:
        shown = "its older rows stay"
    lines = [
        f"the rule {rule} of the suite {first.suite.name!r} failed for the unit {first.unit}: {first.found(rule)}; {shown}"
    ]
    lines += [f"    {row}" for row in first.samples.get(rule, ())]
    if others:
        lines.append(f"    and {others} more, such as {fatal[-1].verdict.fatal[-1]} for {fatal[-1].unit}")
    raise FailedRuleError(
        "\n".join(lines),
        where=str(first.suite.file),
        hint=(
            "Mend the rule, the definition or the data, then run the same command again; nothing is lost."
            if is_held
            else "The next run goes on after it. Rows of the unit are judged anew when they are computed anew."
        ),
    )


def judged_units(
    job: Job,
    gate: Gate,
    source: str | None,
    units: list[Interval],
    kept: DataFrame,
    tallies: Mapping[int, Tally],
) -> list[Judged]:
    """Judge units; what is found is told once a commit shows it, by `tell`."""
    found = []
    for unit, verdict in gate.judged(units, kept, tallies).items():
        samples = {}
        if verdict.fatal:
            rows = gate.of_units(kept, [unit])
            samples = {rule: job.verdicts.masked(gate.checks.samples(rows, rule)) for rule in verdict.fatal}
        shown = job.verdicts.hidden(verdict)
        judged = Judged(
            pipeline=job.pipeline.name,
            source=source,
            suite=gate.suite,
            unit=unit,
            verdict=shown,
            samples=samples,
        )
        found.append(judged)
    return found


def marks_of(judged: Sequence[Judged]) -> list[Mark]:
    """Return what a commit notes of judged units."""
    return [Mark(j.unit, j.verdict.failed) for j in judged]
