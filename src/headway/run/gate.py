"""The suite of a pipeline's result at work: splitting rows in the pass that writes them, counting, judging units.

A row that breaks a rule is left out by what the row itself holds, so every mode leaves out the same rows.
What a suite says of a set of rows it says of a *unit*, a span of output time that the suite names, whatever
the mode: what was counted is brought to units before it is judged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.errors import DefinitionError, UsageError
from headway.interval import Grid, Interval, coalesce
from headway.pipeline import Pipeline
from headway.plan.analysis import Analysis, record_schema
from headway.quality import suite as suites
from headway.quality.checks import FLAG, Checks
from headway.quality.suite import Suite
from headway.quality.units import key_of, start_of
from headway.quality.verdict import Verdict
from headway.result import Result

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from headway.quality.checks import Tally

__all__ = ["OBSERVATION", "Gate", "Split", "of_result", "of_sources", "refuse_early"]

OBSERVATION = "headway gate"
"""What the counts of kept and rejected rows are observed as."""
_KEPT = "headway_kept"
_REJECTED = "headway_rejected"
_UNIT = "__unit"
_ROWS = "rows"
_UNITS = 6
"""Most units that are counted in the pass that writes: each takes all the aggregates of the suite."""
_SUITE = "suite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows that a suite has split."""

    kept: DataFrame
    rejected: DataFrame
    """Computed a second time where it is asked for, which only commits with rejected rows do."""
    observed: Callable[[], Mapping[str, Any] | None]
    """Tells what was counted while the kept rows were written; None where nothing was."""
    units: tuple[Interval, ...] = ()
    """Those whose kept rows are counted each by itself."""


class Gate:
    """A suite, compiled for the columns of a result, or of a source's records."""

    def __init__(
        self,
        spark: SparkSession,
        suite: Suite,
        schema: StructType,
        result: Result,
        *,
        zone: str,
        telemetry: bool = False,
    ) -> None:
        """Compile a suite.

        Args:
            spark: The session.
            suite: What is compiled.
            schema: The columns that it speaks of.
            result: Which of them places a row in a unit.
            zone: Whose midnights bound units of a day.
            telemetry: Whether Great Expectations may send telemetry when it judges a rule itself.

        Raises:
            DefinitionError: A rule names a column that is not there, or does not fit its type.
        """
        self.suite = suite
        self.checks = Checks(suite, schema, telemetry=telemetry)
        try:
            self.units = Grid(instant.duration(suite.per), zone)
        except UsageError as exc:
            raise DefinitionError(
                f"meta.per: {suite.per!r} is no unit: {exc.what}", where=str(suite.file), hint=exc.hint
            ) from exc
        self._schema = schema
        self._telemetry = telemetry
        self._spark = spark
        self._result = result

    @property
    def holds(self) -> bool:
        """Whether rows are published only once their unit is judged: a suite without a rule that fails holds nothing."""
        return self.suite.gate == "hold" and bool(self.fatal)

    @property
    def columns(self) -> list[str]:
        """The columns that it speaks of."""
        return list(self._schema.names)

    @property
    def judges(self) -> bool:
        """Whether it says something of a unit, beyond leaving out rows."""
        return any(rule.on_fail in ("warn", "fail") for rule in self.suite.rules)

    def stamped(self, tally: Tally) -> Tally:
        """Return what was counted of rejected rows as a commit carries it, with a mark of the suite that counted."""
        return {**tally, _SUITE: self._digest} if tally else tally

    def is_own(self, tally: Tally) -> bool:
        """Tell whether this very suite has counted it."""
        return tally.get(_SUITE) == self._digest

    @cached_property
    def fatal(self) -> frozenset[str]:
        """Ids of the rules that fail a run."""
        return frozenset(rule.id for rule in self.suite.rules if rule.on_fail == "fail")

    @cached_property
    def _digest(self) -> str:
        facts = json.dumps([self.suite.facts(), self.columns], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:8]

    @property
    def splits(self) -> bool:
        """Whether a row may be left out."""
        return self.checks.has_rejects

    def lenient(self) -> Gate:
        """Return a gate that says the same, and neither holds anything nor ends a run."""
        rules = tuple(replace(r, on_fail="warn") if r.on_fail == "fail" else r for r in self.suite.rules)
        suite = replace(self.suite, rules=rules)
        return Gate(
            self._spark,
            suite,
            self._schema,
            self._result,
            zone=self.units.zone,
            telemetry=self._telemetry,
        )

    def split(self, rows: DataFrame, units: Sequence[Interval] = ()) -> Split:
        """Return rows without those that are rejected; what is counted is known once they are written.

        Args:
            rows: What a run has computed.
            units: Those that the rows make up; a few of them are counted in the pass that writes.
        """
        from pyspark.sql import Observation
        from pyspark.sql import functions as F

        counted = tuple(units) if len(units) <= _UNITS else ()
        watched, counts = self._flagged(rows), []
        if counted:
            moment, number = self._moment(), F.lit(None).cast("int")
            for n, unit in enumerate(counted):
                is_mine = ~F.col(FLAG) & (moment >= unit.start) & (moment < unit.end)
                number = F.when(is_mine, n).otherwise(number)
            watched = self.checks.kept_marked(watched).withColumn(_UNIT, number)
            for n in range(len(counted)):
                mine = F.col(_UNIT) == n
                counts.append(F.count(F.when(mine, 1)).alias(f"u{n} {_ROWS}"))
                counts += self.checks.kept_counts(mine, f"u{n} ")
        observation = Observation(OBSERVATION)
        watched = watched.observe(observation, *_kept_and_rejected(), *counts)

        def observed() -> Mapping[str, Any] | None:
            # Spark leaves the counting out where it finds at run time that a part of the plan has no effect.
            java: Any = observation._jo
            return observation.get if java.getRow().schema() is not None else None

        return Split(
            kept=watched.filter(~F.col(FLAG)).select(*[f"`{name}`" for name in rows.columns]),
            rejected=rows.filter(self.checks.rejects()),
            observed=observed,
            units=counted,
        )

    def watched(self, rows: DataFrame, own: Column) -> DataFrame:
        """Return the rows of a stream for `split_batch`; counting is part of the stream's own plan, which is made once.

        Args:
            rows: What the stream computes.
            own: Whether the stream may have to publish a row; others are not counted.
        """
        if not self.splits:
            return rows
        return self._flagged(rows).observe(OBSERVATION, *_kept_and_rejected(own))

    def split_batch(self, rows: DataFrame, observed: Callable[[], Mapping[str, Any] | None]) -> Split:
        """Split rows of a batch of a `watched` stream.

        Args:
            rows: Some of the batch's rows.
            observed: Tells what the batch has counted as `OBSERVATION`.
        """
        from pyspark.sql import functions as F

        if not self.splits:
            return Split(kept=rows, rejected=rows.filter(F.lit(False)), observed=lambda: None)
        return Split(
            kept=rows.filter(~F.col(FLAG)).drop(FLAG),
            rejected=rows.filter(F.col(FLAG)).drop(FLAG),
            observed=observed,
        )

    def is_dirty(self, split: Split, written: int) -> bool:
        """Tell whether some rows may have been rejected, of those of which `written` were kept."""
        counts = split.observed() if self.splits else {_KEPT: written, _REJECTED: 0}
        # A stage that Spark repeats counts twice; what it counts too little is not to be trusted.
        return counts is None or counts[_KEPT] < written or counts[_REJECTED] > 0

    def counted(self, split: Split, written: int) -> dict[int, Tally] | None:
        """Return what was counted by unit of kept rows while they were written; units without rows are missing.

        None where nothing was counted by unit, or the counts cannot be right.
        """
        counts = split.observed() if split.units else None
        if counts is None or counts[_KEPT] != written:
            return None
        found = {}
        for n, unit in enumerate(split.units):
            mine = {k.removeprefix(f"u{n} "): v for k, v in counts.items() if k.startswith(f"u{n} ")}
            if mine.pop(_ROWS):
                found[unit.start] = self.checks.whole(mine)
        return found

    def _flagged(self, rows: DataFrame) -> DataFrame:
        return rows.withColumn(FLAG, self.checks.rejects())

    def quarantined(
        self, rejected: DataFrame, *, mode: str, lineage: str, batch: int | None, revision: int
    ) -> DataFrame:
        """Return those of the rejected rows that are kept aside, with the columns of `Books.reject`."""
        from pyspark.sql import functions as F

        return rejected.filter(self.checks.is_quarantined()).select(
            F.timestamp_micros(self._moment()).alias("output_time"),
            self.checks.broken().alias("rules"),
            F.to_json(F.struct(*[F.col(f"`{name}`") for name in self.columns])).alias("row"),
            F.lit(mode).alias("mode"),
            F.lit(lineage).alias("lineage"),
            F.lit(batch).cast("bigint").alias("batch_id"),
            F.lit(revision).alias("revision"),
        )

    def tallies(self, marked: DataFrame) -> dict[int, Tally]:
        """Count marked rows, rejected ones too, by unit, in one job; keys are the units' starts."""
        return self._by_unit(marked, self.checks.counts())

    def kept_tallies(self, kept: DataFrame, unit: Interval | None = None) -> dict[int, Tally]:
        """Count rows as they were written, by unit, in one job; keys are the units' starts.

        Args:
            kept: The rows.
            unit: The only unit that there are rows of, where that is known.
        """
        from pyspark.sql import functions as F

        # Something has to be counted for a unit to be there.
        counts = [F.count(F.lit(1)).alias(_ROWS), *self.checks.kept_counts()]
        marked = self.checks.kept_marked(kept)
        if unit is None:
            counted = self._by_unit(marked, counts)
        else:
            row = marked.agg(*counts).first()
            counted = {unit.start: row.asDict()} if row is not None and row[_ROWS] else {}
        return {unit: self.checks.whole(tally) for unit, tally in counted.items()}

    def _by_unit(self, marked: DataFrame, counts: Sequence[Column]) -> dict[int, Tally]:
        found = {}
        for row in marked.groupBy(self._key().alias(_UNIT)).agg(*counts).toLocalIterator():
            facts = row.asDict()
            found[self._start(facts.pop(_UNIT))] = facts
        return found

    def with_rejected(self, kept: Mapping[int, Tally], rejected: Mapping[int, Tally]) -> dict[int, Tally]:
        """Return what was counted of kept rows, by unit, with what was counted of rejected rows."""
        nothing = self.checks.whole({})
        return {
            unit: self.checks.merged(kept.get(unit, nothing), rejected[unit])
            if unit in rejected
            else kept[unit]
            for unit in kept.keys() | rejected.keys()
        }

    def together(self, first: Tally, second: Tally) -> Tally:
        """Add what was counted of rejected rows in two commits."""
        return self.checks.merged(first, second)

    def judged(
        self, units: list[Interval], kept: DataFrame, tallies: Mapping[int, Tally]
    ) -> dict[Interval, Verdict]:
        """Judge units.

        Args:
            units: What is judged.
            kept: Their rows as they were written, and no others.
            tallies: What was counted of kept and rejected rows, by the start of the unit; units without rows may lack.
        """
        scans: Mapping[int, Tally] = {}
        if self.checks.needs_scan:
            by_key = self.checks.scan(kept, None if len(units) == 1 else self._key())
            scans = {units[0].start if key is None else self._start(key): s for key, s in by_key.items()}
        nothing = self.checks.whole({})
        verdicts = {}
        for unit in units:
            native = self.checks.run_native(self.of_units(kept, [unit])) if self.checks.native else []
            verdicts[unit] = self.checks.verdict(
                tallies.get(unit.start, nothing), scans.get(unit.start, {}), native
            )
        return verdicts

    def within(self, span: Interval) -> list[Interval]:
        """Return the units that meet a range of output time."""
        return list(self.units.intervals(self.units.floor(span.start), self.units.ceiling(span.end)))

    def _moment(self) -> Column:
        """Return a row's output time in microseconds."""
        from pyspark.sql import functions as F

        return F.expr(self._result.moment)

    def _key(self) -> Column:
        """Return what tells a row's unit."""
        return key_of(self._moment(), self.units)

    def of_units(self, rows: DataFrame, units: list[Interval]) -> DataFrame:
        """Return those of some rows that lie in some units."""
        return rows.filter(self._result.any_of(coalesce(units)))

    def _start(self, key: Any) -> int:
        """Return the start of the unit that a key tells."""
        return start_of(key, self.units)


def _kept_and_rejected(own: Column | None = None) -> list[Column]:
    from pyspark.sql import functions as F

    is_kept, is_rejected = ~F.col(FLAG), F.col(FLAG)
    if own is not None:
        is_kept, is_rejected = own & is_kept, own & is_rejected
    return [F.count(F.when(is_kept, 1)).alias(_KEPT), F.count(F.when(is_rejected, 1)).alias(_REJECTED)]


def of_result(
    spark: SparkSession, pipeline: Pipeline, analysis: Analysis, zone: str, *, telemetry: bool = False
) -> Gate | None:
    """Return the gate of a pipeline's result; None where it names no suite.

    Raises:
        DefinitionError: The suite cannot be read, or does not fit the result.
    """
    if pipeline.quality is None:
        return None
    result = Result(output_time=pipeline.output_time, is_window=analysis.is_window, keys=())
    suite = suites.read(pipeline.suite_file(pipeline.quality))
    gate = Gate(spark, suite, analysis.schema, result, zone=zone, telemetry=telemetry)
    refuse_early(pipeline, gate)
    return gate


def refuse_early(pipeline: Pipeline, gate: Gate) -> None:
    """Refuse that a result which is shown early is held.

    Raises:
        DefinitionError: It is.
    """
    if gate.holds and pipeline.emit == "early":
        raise DefinitionError(
            f"pipeline {pipeline.name!r} shows rows early, and the suite {gate.suite.name!r} holds them until their unit is judged",
            where=pipeline.where,
            hint='Set "gate": "mark" in the suite\'s meta, or emit="final".',
        )


def of_sources(
    spark: SparkSession, pipeline: Pipeline, zone: str, *, telemetry: bool = False
) -> dict[str, Gate]:
    """Return the gates of a pipeline's sources, by parameter name.

    Raises:
        DefinitionError: A suite cannot be read, or does not fit the source's columns.
    """
    gates = {
        name: Gate(
            spark,
            suites.read(pipeline.suite_file(source.quality)),
            record_schema(source),
            Result(output_time=source.event_time, is_window=False, keys=()),
            zone=zone,
            telemetry=telemetry,
        )
        for name, source in pipeline.sources.items()
        if source.quality is not None
    }
    for gate in gates.values():
        refuse_early(pipeline, gate)
    return gates
