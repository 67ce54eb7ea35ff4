"""Commands that look, and `stop`: plan, status, stop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from headway import instant
from headway.cli.context import Context
from headway.cli.sessions import connected, sink_settings, spark_for, working
from headway.errors import CallError, DefinitionError, TransientError, UnavailableError
from headway.offsets import Offsets
from headway.ownership import Ownership
from headway.pipeline import Pipeline
from headway.run import bounded
from headway.run.books import Books
from headway.run.job import Cut, Job, looking, position_of
from headway.run.lease import Holder, ask_to_stop, holders

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["plan", "status", "stop", "too_old"]

_PATIENCE = 120.0


def plan(context: Context, name: str, mode_name: str, start: str | None, end: str | None) -> None:
    """Show the intervals and the records that a bounded run would take."""
    project = context.project
    pipeline, mode = project.pipeline(name), project.mode(mode_name)
    wanted = context.span(start, end)
    with working(context, pipeline) as (spark, logs):
        job = looking(spark, pipeline, logs, zone=project.config.zone)
        ownership = job.target.ownership()
        cut = job.cut()
        new = _unread(job, ownership, cut)
        before, after = project.graph.upstream(name), project.graph.downstream(name)
        data: dict[str, object] = {
            "pipeline": name,
            "mode": mode.name,
            "new_records": new,
            "upstream": before,
            "downstream": after,
        }
        counted = [
            f"{count} new {'commits' if n in job.upstreams else 'records'} in {n}" for n, count in new.items()
        ]
        lines = [f"{name}, {mode.name}: " + ", ".join(counted)]
        lines += [f"reads what {', '.join(before)} publishes"] if before else []
        lines += [f"is read by {', '.join(after)}"] if after else []
        if mode.is_bounded:
            request = bounded.Request(
                mode=mode,
                grid=mode.grid(project.config.zone),
                cut=cut,
                wanted=wanted,
                records_per_job=project.config.records_per_job,
            )
            through = bounded.horizon(job, request)
            spans = bounded.plan(job, request)
            data |= {
                "closed_through": instant.iso(through),
                "jobs": [
                    {
                        "start": instant.iso(s.start),
                        "end": instant.iso(s.end),
                        "intervals": n,
                        "records": r,
                        "replaces": bool(ownership.revision(s)),
                    }
                    for s, n, r in spans
                ],
                "corrections": [i.to_json() for i in ownership.pending],
            }
            lines += [f"everything before {instant.iso(through)} is closed"]
            lines += (
                context.table(
                    "",
                    ("from", "to", "intervals", "records to read", "replaces"),
                    [
                        (
                            instant.iso(s.start),
                            instant.iso(s.end),
                            n,
                            r,
                            "yes" if ownership.revision(s) else "no",
                        )
                        for s, n, r in spans
                    ],
                )
                if spans
                else ["no interval is due"]
            )
            lines += [f"correction waits: {i}" for i in ownership.pending]
    context.give(data, lines)


def status(context: Context, name: str | None, max_age: str | None) -> int:
    """Show what the sinks' own commits say, and who holds a lease; the exit status is 1 where that is too old.

    Raises:
        DefinitionError: A definition or a suite is wrong; of all pipelines, the others are shown first.
    """
    project = context.project
    oldest = None if max_age is None else instant.duration(max_age)
    chosen = [project.pipeline(name)] if name else list(project.pipelines.values())
    found: list[dict[str, object]] = []
    rows: list[tuple[object, ...]] = []
    faults: list[DefinitionError] = []
    with spark_for(context) as spark:
        for pipeline in chosen:
            try:
                state, row = _state(context, spark, pipeline)
            except DefinitionError as fault:
                if name:
                    raise
                faults.append(fault)
                state, row = {"error": str(fault)}, ("its definition is wrong", "", "", "", "", "", "")
            found.append({"pipeline": pipeline.name, **state})
            rows.append((pipeline.name, *row))
    context.give(
        {"pipelines": found},
        context.table(
            "",
            ("pipeline", "closed through", "frontier", "published by", "lag", "sinks", "quality", "runs"),
            rows,
        ),
    )
    if faults:
        raise faults[0]
    old = [] if oldest is None else too_old(found, oldest, int(time.time() * instant.SECOND))
    for sentence in old:
        context.say(f"headway: {sentence}")
    return 1 if old else 0


def too_old(states: Sequence[Mapping[str, object]], oldest: int, now: int) -> list[str]:
    """Return of which pipelines nothing is published up to `oldest` microseconds before now, in words.

    >>> too_old([{"pipeline": "p", "closed_through": "1970-01-01T01:00:00Z"}], 60_000_000, 3_720_000_000)
    ['p is published through 1970-01-01T01:00:00Z, 2 minutes ago, more than 1 minute']
    """
    found = []
    for state in states:
        closed = state.get("closed_through")
        if closed is None:
            found.append(f"{state['pipeline']} has nothing that is final")
            continue
        age = now - instant.parse(str(closed))
        if age > oldest:
            spelled = instant.spell(age // instant.SECOND * instant.SECOND)
            found.append(
                f"{state['pipeline']} is published through {closed}, {spelled} ago, more than {instant.spell(oldest)}"
            )
    return found


def _state(
    context: Context, spark: SparkSession, pipeline: Pipeline
) -> tuple[dict[str, object], tuple[object, ...]]:
    """Return what is known of a pipeline, for `--json` and as a row."""
    project = context.project
    if not spark.catalog.tableExists(pipeline.sink.table):
        return {"published": False}, ("never run", "", "", "", "", "", "")
    with connected(project, pipeline, lambda: spark) as logs:
        job = looking(
            spark, pipeline, logs, settings=sink_settings(project, pipeline), zone=project.config.zone
        )
        with closing(job.followers):
            sinks = _sinks(job)
        ownership = job.target.ownership()
        cut = job.cut()
        lag = _unread(job, ownership, cut)
        mode = next(m for m in project.modes.values() if m.is_bounded)
        request = bounded.Request(mode=mode, grid=mode.grid(project.config.zone), cut=cut)
        frontier = bounded.horizon(job, request)
    held = holders(
        spark,
        Books(spark, pipeline.name, pipeline.sink.table).name("corrections"),
        _beats(context, pipeline.name),
        project.config.lease_seconds,
    )
    closed = ownership.closed_through
    state: dict[str, object] = {
        "published": True,
        "closed_through": None if closed is None else instant.iso(closed),
        "frontier": instant.iso(frontier),
        "lag_records": lag,
        "ranges": [
            {
                "start": instant.iso(s.interval.start),
                "end": instant.iso(s.interval.end),
                "mode": s.mode,
                "lineage": s.lineage,
                "revision": s.revision,
            }
            for s in ownership.segments
        ],
        "stream": ownership.stream,
        "corrections": [i.to_json() for i in ownership.pending],
        "quality": _verdicts(pipeline.name, ownership),
        "sinks": sinks,
        "holders": [str(h) for h in held],
        "runs": [
            {
                "mode": h.mode,
                "user": h.user,
                "host": h.host,
                "process": h.pid,
                "since": h.since,
                "start": instant.iso(h.start),
                "end": instant.iso(h.end),
            }
            for h in held
        ],
    }
    behind = [f"{s['kind']} {s['name']} {s['state']}" for s in sinks if s["state"] != "in step"]
    row: tuple[object, ...] = (
        instant.iso(closed) if closed else "nothing",
        instant.iso(frontier),
        ", ".join(dict.fromkeys(s.mode for s in ownership.segments)),
        sum(lag.values()),
        ", ".join(behind) or "in step",
        _quality(ownership),
        "; ".join(map(str, held)) or "nobody",
    )
    return state, row


def _verdicts(name: str, ownership: Ownership) -> list[dict[str, object]]:
    """Return what suites have found, as the newest commit says: judged through where, and which units failed."""
    return [
        {
            "subject": subject or name,
            "judged_through": instant.iso(marks[-1].interval.end),
            "failed": [
                {
                    "start": instant.iso(m.interval.start),
                    "end": instant.iso(m.interval.end),
                    "rules": m.failed,
                }
                for m in marks
                if not m.is_met
            ],
        }
        for subject, marks in ownership.marks.items()
        if marks
    ]


def _quality(ownership: Ownership) -> str:
    marks = [mark for found in ownership.marks.values() for mark in found]
    failed = [mark for mark in marks if not mark.is_met]
    if not marks:
        return ""
    return f"{len(failed)} units failed, last {failed[-1].interval}" if failed else "met"


def _unread(job: Job, ownership: Ownership, cut: Cut) -> dict[str, int]:
    """Return how many records of each source, and commits of each upstream, have not been looked at."""
    position = ownership.position
    unread = {n: e.offsets.minus(position.get(n, job.logs[n].begins())) for n, e in cut.ends.items()}
    seen = {n: position.get(n, Offsets({})) for n in cut.versions}
    return unread | {n: position_of(v).minus(seen[n]) for n, v in cut.versions.items()}


def _sinks(job: Job) -> list[dict[str, object]]:
    """Return how far each sink is: the table of record, and those that follow it."""
    now = job.target.history.at(job.target.history.visible())
    found: list[dict[str, object]] = [
        {
            "kind": "Iceberg",
            "name": job.pipeline.sink.table,
            "state": "in step",
            "closed_through": instant.iso(now.closed_through),
        }
    ]
    for sink, follower in zip(job.pipeline.following, job.followers, strict=True):
        kind = type(sink).__name__
        try:
            applied = follower.applied()
        except UnavailableError as exc:
            found.append(
                {
                    "kind": kind,
                    "name": follower.name,
                    "state": f"does not answer: {exc.what}",
                    "closed_through": None,
                }
            )
            continue
        behind = now.sequence if applied is None else now.sequence - applied.sequence
        state = f"lags by {behind} commits" if behind > 0 else "in step"
        if applied is not None and behind <= 0 and not job.target.history.keeps(applied.snapshot):
            state = "holds the rows of a table that was dropped; the next run replaces them"
        found.append(
            {
                "kind": kind,
                "name": follower.name,
                "state": state,
                "closed_through": None if applied is None else instant.iso(applied.closed_through),
            }
        )
    return found


def stop(context: Context, name: str) -> None:
    """Ask the holder of a pipeline's lease to end, and wait until it has."""
    project = context.project
    pipeline = project.pipeline(name)
    with spark_for(context) as spark:
        table = Books(spark, pipeline.name, pipeline.sink.table).name("corrections")
        if not spark.catalog.tableExists(table):
            raise CallError(f"pipeline {name!r} has never run")

        def held() -> list[Holder]:
            return holders(spark, table, _beats(context, name), project.config.lease_seconds)

        running = held()
        for holder in running:
            context.say(f"asking the {holder} to end")
            ask_to_stop(spark, _beats(context, name), holder)
        deadline = time.monotonic() + _PATIENCE
        while held():
            if time.monotonic() > deadline:
                raise TransientError(
                    f"the run has not ended within {_PATIENCE:.0f} s",
                    hint="A bounded run ends after its job; wait, or end its process.",
                )
            time.sleep(0.5)
    context.give(
        {"stopped": [str(h) for h in running]}, [f"ended: {h}" for h in running] or ["nothing was running"]
    )


def _beats(context: Context, pipeline: str) -> str:
    return f"{context.project.state}/leases/{pipeline}"
