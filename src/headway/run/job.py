"""Everything that one run of one pipeline holds while it lasts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.accounts import Accounts
from headway.config import Quality
from headway.embedded import stack
from headway.errors import DefinitionError, LostDataError
from headway.interval import Interval
from headway.mode import Mode
from headway.offsets import Offsets
from headway.ownership import Ownership
from headway.pipeline import Pipeline
from headway.plan.analysis import Analysis, ShowsBy, analyse
from headway.project import Project
from headway.quality import suite as suites
from headway.quality.checks import Checks
from headway.result import Result
from headway.run import former_archives, gate
from headway.run.archived_log import ArchivedLog
from headway.run.books import Books
from headway.run.copies import Copies
from headway.run.decisions import Decisions
from headway.run.files import Files
from headway.run.followers import Followers
from headway.run.gate import Gate
from headway.run.judged import Judged
from headway.run.lease import Lease, taken
from headway.run.upstreams import UpstreamTable
from headway.run.validity import ValidityTable
from headway.run.verdicts import Verdicts
from headway.sink import Applied
from headway.sinks.iceberg import Iceberg
from headway.sinks.iceberg_table import IcebergTable
from headway.source import Ends, Erasable, Landing, Log
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Cut", "Job", "Report", "connect", "leased", "looking", "opened", "scratch"]

EVERYTHING = Interval(instant.BEGINNING, instant.END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where the inputs ended when they were asked: a run reads nothing beyond."""

    ends: Mapping[str, Ends]
    """Per source."""
    versions: Mapping[str, Applied]
    """Per upstream."""
    validities: Mapping[str, Applied]
    """Per lookup whose rows say when they are valid."""
    erasures: Mapping[str, int]
    """Per source with an archive: the number of its newest erasure."""
    decisions: Decisions = field(default_factory=Decisions)
    """What people have decided about quarantined records and rejected rows."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run has done, as `run --json` prints it."""

    pipeline: str
    mode: str
    lineage: str
    intervals: list[tuple[Interval, int]] = field(default_factory=list)
    """Published intervals and their revisions."""
    unchanged: list[Interval] = field(default_factory=list)
    """Named intervals that are published from these very inputs already."""
    accounts: Accounts = field(default_factory=Accounts)
    units: int = 0
    """How many units suites have judged."""
    failed: list[Judged] = field(default_factory=list)
    """Those of them that did not meet their suite."""
    rejected: int = 0
    """Rows of the result that rules have left out."""
    snapshot: int | None = None
    batches: int = 0
    closed_through: int = instant.BEGINNING

    def judge(self, judged: Sequence[Judged]) -> None:
        """Take in what suites have said of units."""
        self.units += len(judged)
        self.failed += [j for j in judged if not j.is_met]

    def to_json(self) -> dict[str, object]:
        """Write as `run --json` prints it; seconds are added by the command."""
        return {
            "pipeline": self.pipeline,
            "mode": self.mode,
            "lineage": self.lineage,
            "intervals": [
                {"start": instant.iso(i.start), "end": instant.iso(i.end), "revision": r}
                for i, r in self.intervals
            ],
            "rows": self.accounts.to_json(),
            "quality": {
                "success": not self.failed,
                "units": self.units,
                "rejected": self.rejected,
                "failed": [fault for judged in self.failed for fault in judged.to_json()],
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one pipeline: definition, connections, lease."""

    spark: SparkSession
    pipeline: Pipeline
    analysis: Analysis
    logs: Mapping[str, Log]
    upstreams: Mapping[str, UpstreamTable]
    validities: Mapping[str, ValidityTable]
    """The lookups whose rows say when they are valid."""
    target: IcebergTable
    books: Books
    identities: Mapping[str, str]
    """The identity of each source's log, and of each upstream's table."""
    inputs: str
    """Hash of everything but offsets that the rows depend on."""
    followers: Followers
    """The other sinks; none for a job that only looks."""
    copies: Copies
    """The Postgres tables that lookups are copies of."""
    gate: Gate | None
    """The suite of the result."""
    source_gates: Mapping[str, Gate]
    """The suites of sources."""
    verdicts: Verdicts
    """Where the verdicts of suites go."""
    lease: Lease | None
    """None for a job that only looks, such as `headway plan`."""
    state: str
    telemetry: Telemetry = field(default_factory=Telemetry)
    """Whom the run tells what happens in it."""
    beats: str = ""
    """Folder of the leases' signs of life."""
    lease_seconds: float = 0

    def say(self, sentence: str) -> None:
        """Tell the person who runs the pipeline what is going on."""
        self.telemetry.say(sentence)

    @property
    def checks(self) -> Mapping[str, Checks]:
        """What each source's records are checked for."""
        return {name: gate.checks for name, gate in self.source_gates.items()}

    @property
    def gates(self) -> list[Gate]:
        """All of its suites."""
        return [*self.source_gates.values(), *([self.gate] if self.gate is not None else [])]

    @property
    def holds(self) -> bool:
        """Whether rows are published only once a unit is judged."""
        return any(given.holds for given in self.gates)

    @property
    def shows_by(self) -> ShowsBy:
        """How a stream shows its rows."""
        if self.upstreams or self.holds:
            return "recomputing"
        if self.pipeline.emit != "early":
            return "appending"
        # A row that was shown and breaks a rule later would stay.
        is_ghostly = self.analysis.early == "upsert" and self.gate is not None and self.gate.splits
        return "recomputing" if is_ghostly else self.analysis.early

    def cut(self) -> Cut:
        """Ask where the inputs end now.

        Raises:
            UnavailableError: An upstream has published nothing yet, or a lookup was never loaded.
        """
        versions = {name: table.version() for name, table in self.upstreams.items()}
        return Cut(
            ends={name: log.ends() for name, log in self.logs.items()},
            versions=versions,
            validities={name: table.version() for name, table in self.validities.items()},
            erasures=self.erasures(),
            decisions=self.books.decisions(),
        )

    def erasures(self) -> dict[str, int]:
        """Return the number of the newest erasure from each source that has an archive."""
        return {name: log.erasures() for name, log in self.logs.items() if isinstance(log, Erasable)}

    @property
    def held(self) -> Lease:
        """The lease of a job that writes."""
        assert self.lease is not None, "this job only looks"
        return self.lease

    def offsets_of(self, read: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
        """Return what the rows depend on of the logs: which they are, and from where to where each was read, if it was."""
        return {name: {**read.get(name, {}), "log": log} for name, log in self.identities.items()}

    def told(self, offsets: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
        """Return what a commit says of the logs: that, and which archive each has, on which no row depends."""
        archives = {n: s.archive for n, s in self.pipeline.sources.items() if s.archive is not None}
        return {n: {**o, **({"archive": archives[n]} if n in archives else {})} for n, o in offsets.items()}

    def check_identities(self, ownership: Ownership) -> None:
        """See that offsets which were recorded still mean the same records.

        Raises:
            LostDataError: A topic or an upstream's table was recreated, or is shorter than what was read
                from it once.
        """
        offsets = json.loads(self.target.history.newest().get("offsets", "{}"))
        for name, position in ownership.position.items():
            if name not in self.identities:
                continue
            topic = self.pipeline.records[name].name
            recorded = offsets.get(name, {}).get("log", self.identities[name])
            if name in self.logs:
                ends = self.logs[name].ends().offsets
            else:
                ends = position_of(self.upstreams[name].version())
            if recorded == self.identities[name] and ends.covers(position):
                continue
            raise LostDataError(
                f"{topic!r} is not the one that was read before: it was recreated or cut off "
                f"(read up to {position.to_json()}, ends at {ends.to_json()})",
                hint=f"Restore it; or drop {self.pipeline.sink.table} to publish everything anew from the new one.",
            )


def position_of(version: Applied) -> Offsets:
    """Return the position in an upstream that everything up to a version has been taken at."""
    return Offsets({0: version.sequence})


def digest(facts: object) -> str:
    """Hash facts that JSON can write."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def connect(project: Project, pipeline: Pipeline, session: Callable[[], SparkSession]) -> dict[str, Log]:
    """Open the log of each source.

    Args:
        project: Whose configuration counts.
        pipeline: Whose sources are opened.
        session: Waits for Spark, which may start meanwhile.

    Raises:
        UnavailableError: A broker or a topic is not there.
        ConfigError: conf/ does not say where it is.
        DefinitionError: An archive is asked for where a landing table keeps the records.
    """
    logs: dict[str, Log] = {}
    for name, source in pipeline.sources.items():
        log = source.open(stack.section(project, source.section), session)
        if source.archive is not None:
            if isinstance(log, Landing):
                raise DefinitionError(
                    f"source {source.name!r}: archive= has no use, as its landing table keeps the records",
                    hint="Leave archive= out.",
                )
            log = ArchivedLog(log, source, session())
        logs[name] = log
    return logs


@contextmanager
def opened(
    spark: SparkSession,
    pipeline: Pipeline,
    logs: Mapping[str, Log],
    *,
    mode: Mode,
    state: str,
    beats: str,
    lease_seconds: float,
    interval: Interval = EVERYTHING,
    settings: Mapping[str, Any] | None = None,
    zone: str = "UTC",
    quality: Quality | None = None,
    telemetry: Telemetry | None = None,
) -> Iterator[Job]:
    """Analyse a pipeline, make its tables, take its lease, and let go of everything at the end.

    Other sinks are first brought up to the table of record; `settings` says where they are. `zone` is that of
    the local days that suites judge, `quality` says how verdicts are told; without it they are kept and told nowhere.
    `telemetry` hears what happens.

    Raises:
        DefinitionError: The definition breaks the law, or leaves out an archive from which records were erased.
        ResultError: The table does not take the result.
        LeaseHeldError: Another run writes this range.
        UnavailableError: A database that a lookup is copied from does not answer.
    """
    copies = Copies(spark, pipeline.lookups, (settings or {}).get("databases", {}))
    copies.take()
    job = looking(
        spark, pipeline, logs, settings=settings, state=state, zone=zone, quality=quality, telemetry=telemetry
    )
    job = replace(job, copies=copies, beats=f"{beats}/{pipeline.name}", lease_seconds=lease_seconds)
    _validate(job)
    with closing(job.followers):
        job.target.prepare(job.analysis.schema)
        job.books.prepare()
        if not mode.is_bounded and job.shows_by != "recomputing":
            held = job.target.ownership()
            begins = held.begins if held.stream is not None else held.closed_through
            interval = Interval(instant.BEGINNING if begins is None else begins, instant.END)
        if job.gate is not None and interval != EVERYTHING:
            # It computes whole units.
            units = job.gate.units
            interval = Interval(units.floor(interval.start), instant.clamp(units.ceiling(interval.end)))
        former_archives.take_over(job)
        with leased(job, mode.name, interval) as writing:
            job.followers.prepare(job.analysis.schema)
            yield writing


@contextmanager
def leased(job: Job, mode: str, interval: Interval) -> Iterator[Job]:
    """Return the same job with a lease and a staging branch of its own for a range of output time.

    Raises:
        LeaseHeldError: Another run writes this range.
    """
    with ExitStack() as stack:
        lease = stack.enter_context(
            taken(
                job.spark,
                job.books.name("corrections"),
                pipeline=job.pipeline.name,
                mode=mode,
                interval=interval,
                beats=job.beats,
                seconds=job.lease_seconds,
            )
        )
        target = _target(job.spark, job.pipeline, job.analysis)
        target.open_branch(lease.token, [h.token for h in lease.alive])
        stack.callback(target.close_branch)
        for dead in lease.overtaken:
            job.say(f"took over from a run that has died: {dead}")
        yield replace(job, lease=lease, target=target)


def looking(
    spark: SparkSession,
    pipeline: Pipeline,
    logs: Mapping[str, Log],
    *,
    settings: Mapping[str, Any] | None = None,
    state: str = "",
    zone: str = "UTC",
    quality: Quality | None = None,
    telemetry: Telemetry | None = None,
) -> Job:
    """Analyse a pipeline and open what it reads and writes, to look and not to write.

    Without `settings` its other sinks are left alone.

    Raises:
        DefinitionError: The definition breaks the law.
    """
    telemetry = telemetry or Telemetry()
    analysis = analyse(spark, pipeline)
    upstreams = {name: UpstreamTable(spark, given) for name, given in pipeline.upstreams.items()}
    identities = {name: log.identity() for name, log in logs.items()}
    identities |= {name: table.identity() for name, table in upstreams.items()}
    target = _target(spark, pipeline, analysis)
    is_open = quality is not None and quality.telemetry
    of_result = gate.of_result(spark, pipeline, analysis, zone, telemetry=is_open)
    of_sources = gate.of_sources(spark, pipeline, zone, telemetry=is_open)
    opened_sinks = [
        sink.follow(spark, settings, target.result) for sink in pipeline.following if settings is not None
    ]
    return Job(
        spark=spark,
        pipeline=pipeline,
        analysis=analysis,
        logs=logs,
        upstreams=upstreams,
        validities={
            n: ValidityTable(
                spark, given, shows_bounds=bool({given.valid_from, given.valid_to} & analysis.shown)
            )
            for n, given in pipeline.valid_at_event_time.items()
        },
        target=target,
        followers=Followers(target.history, opened_sinks, telemetry),
        copies=Copies(spark, {}, {}),
        gate=of_result,
        source_gates=of_sources,
        books=Books(spark, pipeline.name, pipeline.sink.table),
        identities=identities,
        inputs=digest([analysis.definition, identities, *_facts(of_result, of_sources)]),
        verdicts=Verdicts(spark, pipeline.name, state=state, quality=quality, say=telemetry.warn),
        lease=None,
        state=state,
        telemetry=telemetry,
    )


def _validate(job: Job) -> None:
    """Have suites that no run has used yet validated by Great Expectations, whose import takes seconds.

    Raises:
        DefinitionError: It refuses an expectation.
    """
    files = Files(job.spark)
    for suite in (given.suite for given in job.gates):
        known = f"{job.state}/suites/{digest(suite.facts())}"
        if not files.exists(known):
            suites.validate(suite)
            files.write(known, suite.name)


def _facts(of_result: Gate | None, of_sources: Mapping[str, Gate]) -> list[object]:
    """Return what rows and verdicts depend on of suites; nothing where there are none."""
    suites = {name: given.suite.facts() for name, given in of_sources.items()}
    if of_result is not None:
        suites[""] = of_result.suite.facts()
    return [suites] if suites else []


def _target(spark: SparkSession, pipeline: Pipeline, analysis: Analysis) -> IcebergTable:
    result = Result(
        output_time=pipeline.output_time, is_window=analysis.is_window, keys=tuple(pipeline.sink.keys)
    )
    return IcebergTable(spark, pipeline.sink.table, result, unique=analysis.early == "upsert")


def scratch(pipeline: Pipeline, table: str, name: str) -> Pipeline:
    """Return the same definition with another name and table, for `verify`."""
    sink = pipeline.sink
    assert isinstance(sink, Iceberg)
    return replace(pipeline, name=name, outputs=(Iceberg(table, keys=sink.keys),))
