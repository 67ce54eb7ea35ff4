"""The bounded strategy: whole intervals of output time, each read, computed once and replaced.

A run looks at every new offset once, publishes what is closed, settles the corrections that
wait, and under `emit="early"` shows what is open. Offsets are resolved before anything is
read. By the law it cannot matter how many intervals one job takes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headway import instant
from headway.accounts import Accounts
from headway.errors import CallError, FailedRuleError, LostDataError, NotYetClosedError
from headway.frontier import frontier
from headway.interval import Grid, Interval, coalesce
from headway.mark import Mark
from headway.mode import Mode
from headway.offsets import Offsets
from headway.ownership import Ownership, Segment
from headway.run import rejects
from headway.run.decisions import POSITION
from headway.run.inputs import Reading, Scan, observed, recount, require_left, result, scan_of, total
from headway.run.job import Cut, Job, Report, digest, position_of
from headway.run.judging import (
    RESULT,
    HeldError,
    Settled,
    judge_closed,
    marked,
    raise_if_failed,
    settle,
    tell,
)
from headway.run.judging_sources import judge_sources
from headway.run.upstreams import News
from headway.sink import Commit, Staged
from headway.sinks.iceberg_table import MainMovedError
from headway.source import Erasable
from headway.telemetry.events import Published, Reached, Standing, Worked

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Observation

__all__ = [
    "LINEAGE",
    "Request",
    "commit_of_map",
    "frontiers",
    "horizon",
    "output_range",
    "plan",
    "rows_of",
    "run",
    "settle_corrections",
    "take_up_news",
    "to_publish",
]

LINEAGE = "bounded"
_RACES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a bounded run is asked for."""

    mode: Mode
    grid: Grid
    cut: Cut
    """Where the inputs ended when the run began: nothing beyond is read."""
    wanted: Interval | None = None
    """Named intervals; None means whatever is due."""
    complete: bool = False
    """The log has ended: nothing more will arrive, so everything is closed."""
    records_per_job: int = 20_000_000
    """About how many records one job reads; at least one interval."""
    to_the_frontier: bool = False
    """Publish up to the second that is closed, rather than whole intervals only."""
    beside_stream: bool = False
    """The stream that owns the open range asks for corrections, and goes on owning it."""
    begin: int | None = None
    """Output times before it are left alone by a run without named intervals; None: from the log's begin."""


def run(job: Job, request: Request, report: Report | None = None) -> Report:
    """Publish what is due, or the named intervals.

    Args:
        job: The run.
        request: What is asked for.
        report: What the run has done before this call, which is added to.

    Raises:
        NotYetClosedError: A named interval may still receive admitted records.
        RejectedDataError: Too many dead letters; the job's intervals were not published.
        FailedRuleError: A rule of a suite has failed; what is held was not published, what is before it was.
        FencedOffError: Another run has taken over.
    """
    if report is None:
        report = Report(pipeline=job.pipeline.name, mode=request.mode.name, lineage=LINEAGE)
    else:
        report.batches += 1
    known = len(report.failed)
    try:
        _run(job, request, report)
        raise_if_failed(report.failed[known:])
    except FailedRuleError as exc:
        exc.report = report
        raise
    return report


def _run(job: Job, request: Request, report: Report) -> None:
    ownership = job.target.ownership()
    job.check_identities(ownership)
    job.telemetry.tell(Standing.of(ownership))
    known = len(report.failed)
    through = min(horizon(job, request), _judged_through(job, request, report))
    if request.wanted is not None:
        raise_if_failed(report.failed[known:])
    ownership = job.target.ownership()
    due = to_publish(job, request, ownership, through)
    if request.wanted is not None:
        changed = _dependent(job, _news(job, request, ownership), ownership)
        settled = [
            piece
            for whole in _wholes(job, due)
            if all(
                ownership.is_settled(p, job.inputs) and not any(part.meets(p) for part in changed)
                for p in whole
            )
            for piece in whole
        ]
        report.unchanged += settled
        due = [p for p in due if p not in settled]
    spans = _spans(job, request, due)
    for number, pieces in enumerate(spans, start=1):
        is_last = number == len(spans) and request.wanted is None
        job.say(f"job {number} of {len(spans)}: {len(pieces)} intervals from {instant.iso(pieces[0].start)}")
        _publish(job, request, pieces, report, take_all=is_last)
    if request.wanted is None:
        if job.pipeline.emit == "early":
            _show_open(job, request, report)
        _look_at_the_rest(job, request, report)
        # What has come since may have taken a source's verdict away.
        settle_corrections(job, request, report, before=_judged_through(job, request, report))
    judge_closed(
        job,
        report,
        lambda after: commit_of_map(job, request, after),
        lambda unit: rows_of(job, request, unit),
    )
    report.closed_through = job.target.ownership().closed_through or instant.BEGINNING


def horizon(job: Job, request: Request) -> int:
    """Return the instant up to which output intervals are closed."""
    if request.complete:
        return instant.END
    proved = frontiers(job, request.cut)
    proved |= {name: version.closed_through for name, version in request.cut.versions.items()}
    job.telemetry.tell(Reached(proved))
    return min(proved.values()) - job.analysis.reach.ahead


def frontiers(job: Job, cut: Cut) -> dict[str, int]:
    """Return the frontier of each source once everything before a cut is read."""
    return {
        name: frontier(
            source,
            read=cut.ends[name].offsets,
            arrivals=job.logs[name].latest_arrivals(cut.ends[name].offsets),
            ends=cut.ends[name],
        )
        for name, source in job.pipeline.sources.items()
    }


def plan(job: Job, request: Request) -> list[tuple[Interval, int, int]]:
    """Return the jobs that a run would do: their range, how many intervals, how many records read."""
    due = to_publish(job, request, job.target.ownership(), horizon(job, request))
    return [
        (Interval(pieces[0].start, pieces[-1].end), len(pieces), _estimate(job, request, pieces))
        for pieces in _spans(job, request, due)
    ]


def to_publish(job: Job, request: Request, ownership: Ownership, through: int) -> list[Interval]:
    """Return the intervals that a run has to publish, in order.

    Raises:
        CallError: Named intervals do not lie on the mode's grid.
        NotYetClosedError: A named interval is not closed.
    """
    grid = request.grid
    if request.wanted is None:
        bounds = output_range(job, request.cut)
        if bounds is None:
            return []
        if through <= bounds[0]:
            return []
        begin = grid.floor(bounds[0])
        through = through - through % instant.SECOND if request.to_the_frontier else grid.floor(through)
        was_cut = through < instant.END
        if request.complete:
            through = min(through, grid.ceiling(bounds[1]))
        begin, through = _in_whole_units(job, begin, through, to_the_end=request.complete and not was_cut)
        if ownership.segments:  # retention may have eaten what the first ones were made of
            begin = min(begin, ownership.segments[0].interval.start)
        if request.begin is not None:
            begin = max(begin, request.begin)
        if begin >= through:
            return []
        gaps = ownership.gaps(Interval(begin, through))
        if job.gate is not None and job.gate.holds:
            # A unit that is final in part is shown as a whole, too.
            gaps = coalesce(Interval(max(begin, job.gate.units.floor(gap.start)), gap.end) for gap in gaps)
        return [piece for gap in gaps for piece in _pieces(gap, grid)]
    wanted = request.wanted
    if grid.floor(wanted.start) != wanted.start or grid.floor(wanted.end) != wanted.end:
        near = f"{instant.iso(grid.floor(wanted.start))} to {instant.iso(grid.ceiling(wanted.end))}"
        raise CallError(
            f"{wanted} does not lie on the intervals of mode {request.mode.name!r}",
            hint=f"The intervals that cover it go from {near}.",
        )
    pieces = list(grid.intervals(wanted.start, wanted.end))
    units = ""
    if job.gate is not None:
        first, last = job.gate.units.floor(wanted.start), job.gate.units.ceiling(wanted.end)
        around = [p for gap in Interval(first, last).minus(wanted) for p in _pieces(gap, grid)]
        if job.gate.holds:
            units = f" (of the units of {job.gate.suite.per} that the suite {job.gate.suite.name!r} holds)"
        else:
            around = [p for p in around if not ownership.gaps(p)]
        pieces = sorted([*pieces, *around])
    is_open = next((p for p in pieces if p.end > through), None)
    if is_open is not None:
        raise NotYetClosedError(
            f"the interval {is_open}{units} is not closed: admitted records before "
            f"{instant.iso(through)} only are known to have arrived",
            hint="Run it later, or with --complete if the log has ended.",
        )
    return pieces


def _in_whole_units(job: Job, begin: int, through: int, *, to_the_end: bool) -> tuple[int, int]:
    """Return bounds of what is due that lie on units where the suite asks for it."""
    if job.gate is None:
        return begin, through
    units = job.gate.units
    if to_the_end:
        through = units.ceiling(through)
    elif job.gate.holds:
        through = units.floor(through)
    return units.floor(begin), through


def _judged_through(job: Job, request: Request, report: Report) -> int:
    """Judge what sources have closed; returns an output time up to which no source's suite has objections."""
    if not job.source_gates or request.beside_stream:
        return instant.END
    reached = dict.fromkeys(job.logs, instant.END) if request.complete else frontiers(job, request.cut)
    objected = judge_sources(
        job, request.cut, reached, report, lambda after: commit_of_map(job, request, after)
    )
    return instant.clamp(objected - job.analysis.reach.ahead)


def _wholes(job: Job, pieces: Sequence[Interval]) -> list[list[Interval]]:
    """Group neighbours that have to be computed together, because they share a unit."""
    if job.gate is None:
        return [[piece] for piece in pieces]
    wholes: list[list[Interval]] = []
    for piece in pieces:
        at = piece.start
        is_next = bool(wholes) and wholes[-1][-1].end == at and job.gate.units.floor(at) != at
        if is_next:
            wholes[-1].append(piece)
        else:
            wholes.append([piece])
    return wholes


def _pieces(gap: Interval, grid: Grid) -> Iterable[Interval]:
    """Cut a gap by a grid; the first and last piece may be parts of an interval."""
    at = gap.start
    while at < gap.end:
        end = min(grid.after(grid.floor(at)), gap.end)
        yield Interval(at, end)
        at = end


def output_range(job: Job, cut: Cut) -> tuple[int, int] | None:
    """Return bounds of the output times that the records before a cut can give rise to.

    None where no input holds a record.
    """
    reach = job.analysis.reach
    lows, highs = [], []
    for name, source in job.pipeline.sources.items():
        earliest = job.logs[name].earliest_arrivals()
        latest = job.logs[name].latest_arrivals(cut.ends[name].offsets)
        if earliest:
            lows.append(min(earliest.values()) - source.disorder_micros - source.too_late_micros)
        if latest:
            highs.append(max(latest.values()) + source.disorder_micros + source.earliness_micros)
    for name, table in job.upstreams.items():
        bounds = table.bounds(cut.versions[name])
        if bounds is not None:
            lows.append(bounds[0])
            highs.append(bounds[1])
    if not lows:
        return None
    first = instant.clamp(min(lows) - reach.ahead)
    return first, instant.clamp(max(highs) + reach.history + 1) if highs else first


def _spans(job: Job, request: Request, pieces: Sequence[Interval]) -> list[list[Interval]]:
    """Group intervals into jobs: neighbours, of about as many records as one job may read."""
    runs: list[list[list[Interval]]] = []
    for whole in _wholes(job, pieces):
        if runs and runs[-1][-1][-1].end == whole[0].start:
            runs[-1].append(whole)
        else:
            runs.append([whole])
    return [part for run_ in runs for part in _halved(job, request, run_)]


def _halved(job: Job, request: Request, wholes: list[list[Interval]]) -> list[list[Interval]]:
    pieces = [piece for whole in wholes for piece in whole]
    if len(wholes) == 1 or _estimate(job, request, pieces) <= request.records_per_job:
        return [pieces]
    middle = len(wholes) // 2
    return [*_halved(job, request, wholes[:middle]), *_halved(job, request, wholes[middle:])]


def _estimate(job: Job, request: Request, pieces: list[Interval]) -> int:
    span = Interval(pieces[0].start, pieces[-1].end)
    records = sum(end.minus(start) for start, end in (_range(job, request, name, span) for name in job.logs))
    return records + sum(
        table.rows_about(request.cut.versions[name], span) for name, table in job.upstreams.items()
    )


def _range(job: Job, request: Request, name: str, span: Interval) -> tuple[Offsets, Offsets]:
    """Return the offsets between which lie all records that a span depends on, bar stragglers."""
    source, log, reach = job.pipeline.sources[name], job.logs[name], job.analysis.reach
    ends = request.cut.ends[name].offsets
    low = reach.before(span.start) - source.earliness_micros
    high = instant.clamp(span.end + reach.ahead + source.too_late_micros + source.disorder_micros + 1)
    start = log.offsets_at(instant.clamp(low), ends)
    return start, ends if high >= instant.END else log.offsets_at(high, ends).greatest(start)


def _readings(
    job: Job, request: Request, span: Interval, ownership: Ownership, *, take_all: bool
) -> dict[str, Reading]:
    readings = {}
    was_corrected = ownership.revision(span) > 1 or any(p.meets(span) for p in ownership.pending)
    for name, log in job.logs.items():
        start, end = _range(job, request, name, span)
        seen = ownership.position.get(name)
        seen = seen if seen is not None else log.begins()
        if take_all or was_corrected:
            last = request.cut.ends[name].offsets
            end = last if take_all else end.greatest(seen.least(last))
        new_from = seen if request.wanted is None and not seen.covers(end) else None
        if new_from is not None:
            end = end.greatest(seen)
            start = start.least(Offsets({p: min(new_from.get(p, 0), end[p]) for p in end}))
        readings[name] = Reading(start=start, end=end, new_from=new_from)
    return readings


def _publish(
    job: Job,
    request: Request,
    pieces: Sequence[Interval],
    report: Report,
    *,
    take_all: bool,
    is_open: bool = False,
) -> None:
    """Compute one span and put it in place of whatever the sink holds there."""
    began = time.monotonic()
    for attempt in range(_RACES):
        try:
            _publish_once(job, request, pieces, report, take_all=take_all, is_open=is_open)
        except MainMovedError:
            if attempt == _RACES - 1:
                raise
        except HeldError as held:
            _hold_back(job, request, pieces, report, held)
        else:
            job.telemetry.tell(Worked(seconds=time.monotonic() - began))
            return


def _hold_back(
    job: Job, request: Request, pieces: Sequence[Interval], report: Report, held: HeldError
) -> None:
    """Publish what comes before a unit that has failed, note what was found of it, and end the run.

    Raises:
        FailedRuleError: Always.
    """
    unit = held.failed.unit
    before = [piece for whole in _wholes(job, pieces) if whole[-1].end <= unit.start for piece in whole]
    if before:
        _publish(job, request, before, report, take_all=False)
    base = job.target.history.visible()
    ownership = job.target.ownership()
    is_older_shown = ownership.revision(unit) > 0
    if not is_older_shown:
        after = ownership.with_marks(RESULT, [Mark(unit, held.failed.verdict.failed)])
        if after != ownership:
            marked(job, commit_of_map(job, request, after), base=base, is_last=True)
    tell(job, report, [held.failed])
    raise_if_failed([held.failed], is_older_shown=is_older_shown)


def _publish_once(
    job: Job, request: Request, pieces: Sequence[Interval], report: Report, *, take_all: bool, is_open: bool
) -> None:
    from pyspark.sql import Observation

    base = job.target.history.visible()
    ownership = job.target.ownership()
    span = Interval(pieces[0].start, pieces[-1].end)
    closed = ownership.closed_through or instant.BEGINNING
    if ownership.revision(span):
        require_left(job, span.start, f"{span} is published")
    readings = _readings(job, request, span, ownership, take_all=take_all)
    observations = {n: Observation(f"headway_{n}") for n, r in readings.items() if r.new_from is not None}
    news = _news(job, request, ownership)
    rows, lookups = result(job, readings, request.cut, span, observations, closed)
    revision = ownership.revision(span) + 1
    position = {n: r.end for n, r in readings.items() if r.new_from is not None}
    if is_open:
        after = replace(ownership.with_position(position), open_rows=True)
        revision = 0
    else:
        segment = Segment(span, request.mode.name, LINEAGE, revision, job.inputs)
        after = ownership.with_final(segment).without_pending(span).with_position(position)
    # What a named run does not recompute itself, the next one without a name still has to look at.
    seen = {n: f for n, f in news.items() if request.wanted is None or n in job.upstreams}
    after = _having_seen(seen, after)
    if request.wanted is None and not request.beside_stream:
        after = after.without_stream()
    commit = _commit(
        job, request, None if is_open else span, revision, readings, lookups, after, touches=span
    )
    holds_rows = ownership.revision(span) > 0 or ownership.open_rows or ownership.stream is not None
    split = None
    if job.gate is not None:
        whole = [] if is_open else [unit for unit in job.gate.within(span) if span.contains(unit)]
        split = job.gate.split(rows, whole)
    kept = rows if split is None else split.kept
    staged = job.target.stage(kept, commit, replace=span if holds_rows else None, base=base)
    scans = _scans(job, readings, observations, closed)
    settled = Settled(staged)
    if split is not None:
        settled = settle(job, split, staged, ownership, span=span, is_open=is_open)
    _show(job, readings, scans, news, closed, span, settled, report)
    tell(job, report, settled.found)
    if not is_open:
        report.intervals += [(piece, revision) for piece in pieces]


def _scans(
    job: Job, readings: Mapping[str, Reading], observations: Mapping[str, Observation], closed: int
) -> dict[str, Scan]:
    """Return what was counted; counts that do not match the offsets are taken again."""
    scans = {}
    for name, observation in observations.items():
        counts = observed(observation)
        scan = None if counts is None else scan_of(counts)
        if scan is None or scan.accounts.read != readings[name].new_records or scan.accounts.balance():
            scan = recount(job, name, readings[name], closed)
        scans[name] = scan
    return scans


def _show(
    job: Job,
    readings: Mapping[str, Reading],
    scans: Mapping[str, Scan],
    news: Mapping[str, News],
    closed: int,
    span: Interval | None,
    settled: Settled,
    report: Report,
) -> None:
    """Make what is staged visible, once the new records that need it are dealt with, and count them."""
    staged, quarantined = _look_again(job, readings, scans, news, closed, span, settled.staged)
    job.held.check()
    report.snapshot = job.target.publish(staged)
    counts = {**scans, **{n: _scan_of(found) for n, found in news.items() if n in job.upstreams}}
    counted = total(job.pipeline, counts, quarantined=quarantined, published=staged.rows)
    report.accounts = report.accounts.plus(counted)
    report.rejected += settled.rejected
    job.telemetry.tell(
        Published(accounts=counted, rejected=settled.rejected, span=span, snapshot=report.snapshot)
    )
    job.telemetry.tell(Standing.of(staged.commit.ownership))
    job.followers.follow(staged)


def _look_again(
    job: Job,
    readings: Mapping[str, Reading],
    scans: Mapping[str, Scan],
    news: Mapping[str, News],
    closed: int,
    span: Interval | None,
    staged: Staged,
) -> tuple[Staged, int]:
    """Deal with new records that are not admitted, or come for what is final already."""
    quarantined = 0
    touched: list[Interval] = []
    for name, scan in scans.items():
        quarantined += rejects.settle(job, name, readings[name], scan)
        if scan.touching:
            touched += rejects.corrections(job, name, readings[name], closed, span)
    touched += rejects.beyond(_dependent(job, news, staged.commit.ownership), closed, span)
    decided = _decided(job, news, staged.commit.ownership)
    touched += decided if span is None else [part for t in decided for part in t.minus(span)]
    return rejects.queued(job, staged, touched), quarantined


def _commit(
    job: Job,
    request: Request,
    span: Interval | None,
    revision: int,
    readings: Mapping[str, Reading],
    lookups: Mapping[str, list[int]],
    ownership: Ownership,
    *,
    touches: Interval | None,
) -> Commit:
    read = {n: r.to_json() for n, r in readings.items()}
    for name, number in request.cut.erasures.items():
        if number and name in read:
            read[name]["erasures"] = number
    read |= {
        n: {"to": position_of(v).to_json(), "snapshot": v.snapshot} for n, v in request.cut.versions.items()
    }
    offsets = job.offsets_of(read)
    return Commit(
        pipeline=job.pipeline.name,
        mode=request.mode.name,
        lineage=LINEAGE,
        interval=span,
        revision=revision,
        batch_id=None,
        fingerprint=digest([job.inputs, str(span), offsets, lookups]),
        closed_through=ownership.closed_through or instant.BEGINNING,
        token=job.held.token,
        offsets=job.told(offsets),
        lookups=lookups,
        touches=touches,
        ownership=ownership,
    )


def _look_at_the_rest(job: Job, request: Request, report: Report) -> None:
    """Count the new records that no due interval has read: a straggler may be among them."""
    ownership = job.target.ownership()
    closed = ownership.closed_through
    readings = {}
    for name, ends in request.cut.ends.items():
        seen = ownership.position.get(name, job.logs[name].begins())
        if not seen.covers(ends.offsets):
            readings[name] = Reading(start=seen, end=ends.offsets, new_from=seen)
    news = _news(job, request, ownership)
    if closed is None or not (readings or news):
        return
    scans = {name: recount(job, name, reading, closed) for name, reading in readings.items()}
    position = {name: reading.end for name, reading in readings.items()}
    after = _having_seen(news, ownership.with_position(position))
    if news.keys() - job.upstreams.keys():
        # A stream that stands still has rows beyond what is final from inputs as they were.
        after = after.without_stream()
    staged = job.target.stage_empty(_commit(job, request, None, 0, readings, {}, after, touches=None))
    _show(job, readings, scans, news, closed, None, Settled(staged), report)


def _news(job: Job, request: Request, ownership: Ownership) -> dict[str, News]:
    """Return what upstreams and lookups have changed since they were last looked at."""
    found = {}
    for name, version in request.cut.versions.items():
        seen = ownership.position.get(name, Offsets({})).get(0, 0)
        if version.sequence > seen:
            found[name] = job.upstreams[name].news(seen, version)
    if not request.beside_stream:
        found |= _news_of_inputs(job, request.cut, ownership)
    return found


def _having_seen(news: Mapping[str, News], ownership: Ownership) -> Ownership:
    """Return the map after news were looked at."""
    return ownership.with_versions({name: found.position for name, found in news.items()})


def _dependent(job: Job, news: Mapping[str, News], ownership: Ownership) -> list[Interval]:
    """Return the output times that news may change, from the first that was ever published on."""
    first = ownership.segments[0].interval.start if ownership.segments else instant.BEGINNING
    touched = [job.analysis.reach.around(changed) for found in news.values() for changed in found.touched]
    touched += [changed for found in news.values() for changed in found.results]
    return [Interval(max(t.start, first), t.end) for t in touched if t.end > first]


def _news_of_inputs(job: Job, cut: Cut, ownership: Ownership) -> dict[str, News]:
    """Return for which time lookups have changed, and records were erased, since that was last looked at.

    A stream looks by itself. What was erased goes from the quarantine too: a run that did not know of it yet
    may have put it there since.
    """
    found = {}
    for name, version in cut.validities.items():
        seen, now = ownership.position.get(name), job.validities[name].position(version)
        if seen is None:
            found[name] = News(now, ())
        elif seen != now:
            found[name] = News(now, job.validities[name].changed(seen, version))
    for name, number in cut.erasures.items():
        known = ownership.position.get(_erasures_of(job, name), Offsets({})).get(0, 0)
        log = job.logs[name]
        if number > known and isinstance(log, Erasable):
            job.books.erase(job.pipeline.sources[name].name, log.erased_keys(known, number))
            found[_erasures_of(job, name)] = News(Offsets({0: number}), log.erased(known, number))
    new = cut.decisions.after(ownership.position.get(POSITION, Offsets({})).get(0, 0))
    if new.number:
        touched = rejects.taken_in(job, new)
        found[POSITION] = News(Offsets({0: new.number}), touched, results=new.ranges)
    return found


def _erasures_of(job: Job, source: str) -> str:
    """Return the name under which the map of ownership notes the erasures from a source's archive."""
    return f"{source}.{job.pipeline.sources[source].archive}"


def take_up_news(job: Job, request: Request, until: int) -> None:
    """Have what a stream has read, with output times before `until`, corrected where inputs have changed since."""
    base = job.target.history.visible()
    ownership = job.target.ownership()
    news = _news_of_inputs(job, request.cut, ownership)
    if not news:
        return
    after = _having_seen(news, ownership)
    touched = [
        *rejects.beyond(_dependent(job, news, ownership), until, None),
        *_decided(job, news, ownership),
    ]
    marked(job, commit_of_map(job, request, rejects.pending(job, after, touched)), base=base, is_last=True)


def _decided(job: Job, news: Mapping[str, News], ownership: Ownership) -> list[Interval]:
    """Return the output times that decisions ask for, open ones too: nobody comes by those records again."""
    return _dependent(job, {name: found for name, found in news.items() if name == POSITION}, ownership)


def rows_of(job: Job, request: Request, span: Interval) -> DataFrame:
    """Compute the rows of a range of output time, to look at them."""
    ownership = job.target.ownership()
    readings = _readings(job, request, span, ownership, take_all=False)
    rows, _ = result(job, readings, request.cut, span, {}, ownership.closed_through or instant.BEGINNING)
    return rows


def commit_of_map(job: Job, request: Request, after: Ownership) -> Commit:
    """Return a commit that changes nothing but the map."""
    return _commit(job, request, None, 0, {}, {}, after, touches=None)


def _scan_of(news: News) -> Scan:
    return Scan(accounts=Accounts(read=news.added, admitted=news.added), touching=len(news.touched))


def settle_corrections(job: Job, request: Request, report: Report, *, before: int = instant.END) -> None:
    """Recompute the final ranges before an output time that corrections have touched."""
    ownership, held, grid = job.target.ownership(), job.held.holder.interval, request.grid
    final: Sequence[Interval] = [segment.interval for segment in ownership.segments]
    dues = ownership.corrections(before=min(before, ownership.closed_through or instant.BEGINNING))
    wholes = tuple(Interval(grid.floor(due.start), grid.ceiling(due.end)) for due in dues)
    if job.gate is not None:
        units = job.gate.units
        # All of a unit that is final, once, however many corrections have touched it.
        final = coalesce(final)
        wholes = dues = coalesce(Interval(units.floor(w.start), units.ceiling(w.end)) for w in wholes)
    for due, whole in zip(dues, wholes, strict=True):
        if not held.meets(due):
            continue  # a run that holds that range will find it queued
        for published in final:
            start = max(whole.start, published.start, held.start)
            end = min(whole.end, published.end, held.end, before)
            if start < end and Interval(start, end).meets(due):
                pieces = list(_pieces(Interval(start, end), grid))
                left = bisect_left(pieces, True, key=lambda piece: _is_left(job, piece))
                if left:
                    lost = Interval(pieces[0].start, pieces[left - 1].end)
                    job.say(f"the correction of {lost} stays queued: retention may have eaten its records")
                for span in _spans(job, request, pieces[left:]):
                    job.say(f"correction of {Interval(span[0].start, span[-1].end)}")
                    _publish(job, request, span, report, take_all=False)


def _is_left(job: Job, piece: Interval) -> bool:
    """Tell whether the logs still hold all that an interval depends on; so they do for later ones."""
    try:
        require_left(job, piece.start, str(piece))
    except LostDataError:
        return False
    return True


def _show_open(job: Job, request: Request, report: Report) -> None:
    """Replace the rows of open intervals, where new records or newly final intervals ask for it."""
    ownership = job.target.ownership()
    ends = {name: e.offsets for name, e in request.cut.ends.items()}
    ends |= {name: position_of(version) for name, version in request.cut.versions.items()}
    ends |= {n: job.validities[n].position(version) for n, version in request.cut.validities.items()}
    ends |= {_erasures_of(job, n): Offsets({0: no}) for n, no in request.cut.erasures.items() if no}
    if request.cut.decisions.number:
        ends[POSITION] = Offsets({0: request.cut.decisions.number})
    is_current = all(n in ownership.position and ownership.position[n].covers(e) for n, e in ends.items())
    if request.complete or (is_current and ownership.open_rows and not report.intervals):
        return
    bounds = output_range(job, request.cut)
    if bounds is not None:
        begin = (
            ownership.closed_through
            if ownership.closed_through is not None
            else request.grid.floor(bounds[0])
        )
        if request.begin is not None:
            begin = max(begin, request.begin)
        _publish(job, request, [Interval(begin, instant.END)], report, take_all=True, is_open=True)
