"""A suite compiled against the columns of a frame.

Whether a row is kept is one truth, by `rejects`, which is what the pass that writes rows needs. Rows that are
kept are counted by `kept_counts`; which rules a row breaks, its mark, is asked of the rejected ones only, and
of all rows for rules that reject nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeAlias

from headway.errors import suggestion
from headway.quality import comparing, conditions, kinds, native, results, rows, sets
from headway.quality.columns import Columns, Named
from headway.quality.counting import Counters, Domain, zone_of
from headway.quality.faults import Fault, refuse
from headway.quality.scans import Scan
from headway.quality.suite import Rule, Suite
from headway.quality.verdict import Verdict, result_of, verdict_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

__all__ = ["FLAG", "MARK", "Checks", "Tally"]

MARK = "__rules"
"""The column that `marked` adds: which rules about a row each row breaks, one bit for each."""

FLAG = "__rejected"
"""The column of what `rejects` says, where whoever writes the rows keeps it."""

Tally: TypeAlias = dict[str, Any]
"""Numbers by name; JSON-able, meaningful only to the Checks of the same suite and columns."""

_WORD = 63
_OF_NULL = frozenset({"expect_column_values_to_not_be_null", "expect_column_values_to_be_null"})


@dataclass(frozen=True, slots=True)
class _RowRule:
    rule: Rule
    subject: rows.Subject
    domain: Domain
    broken: Column
    """True where a row breaks it; false or null elsewhere."""

    @property
    def rejects(self) -> bool:
        """Whether rows that break it are left out."""
        return self.rule.on_fail in {"drop", "quarantine"}


class Checks:
    """The rules of a suite as columns, aggregates and verdicts.

    Args:
        suite: What is checked.
        schema: The columns of the frames, without the mark.
        telemetry: Whether GX may send telemetry when it runs rules that are not compiled.

    Raises:
        DefinitionError: Names every rule that these columns do not allow: unknown columns, values
            of another type, conditions and patterns that Spark does not know.
    """

    def __init__(self, suite: Suite, schema: StructType, *, telemetry: bool = False) -> None:
        from pyspark.sql import SparkSession

        session = SparkSession.active()
        self._suite = suite
        self._telemetry = telemetry
        self._session = session
        self._schema = schema
        self._columns = Columns(schema)
        self._zone = zone_of(session)
        self.native = tuple(rule for rule in suite.rules if not rule.is_compiled)
        """The rules that GX's own engine runs, by `run_native`."""
        self._rows: list[_RowRule] = []
        self._judges: dict[str, sets.Judge] = {}
        self._scan = Scan()
        faults = [
            Fault(f"a column may not be called {name!r}")
            for name in (MARK, FLAG)
            if self._columns.find(name) is not None
        ]
        compiled = [rule for rule in suite.rules if rule.is_compiled]
        for rule in (each for each in compiled if each.about == "row"):
            self._attempt(rule, self._prepare_row, faults)
        self._all = Counters("r", full=self._full(compiled))
        for number, each in enumerate(self._rows):
            self._judges[each.rule.id] = self._row_judge(number, each)
        self._kept = Counters("s", ~self.is_rejected() if self.has_rejects else None, like=self._all)
        for rule in (each for each in compiled if each.about == "set"):
            self._attempt(rule, self._prepare_set, faults)
        refuse(suite.file, faults)
        self._analyse()

    @property
    def needs_scan(self) -> bool:
        """Whether there are compiled rules that `counts` cannot answer."""
        return self._scan.is_needed

    @property
    def has_rejects(self) -> bool:
        """Whether a row may be left out."""
        return any(each.rejects for each in self._rows)

    def rejects(self) -> Column:
        """Return whether a row breaks a rule that drops or quarantines, of a frame without the mark; never null."""
        from pyspark.sql import functions as F

        broken = [each.broken for each in self._rows if each.rejects]
        return F.coalesce(reduce(or_, broken), F.lit(False)) if broken else F.lit(False)

    def marked(self, frame: DataFrame) -> DataFrame:
        """Add the mark to any rows."""
        return frame.withColumn(MARK, self._mark(lambda _: True))

    def kept_marked(self, frame: DataFrame) -> DataFrame:
        """Add the mark to rows that are not rejected; of others it tells only what rejects nothing."""
        return frame.withColumn(MARK, self._mark(lambda each: not each.rejects))

    def broken(self) -> Column:
        """Return the ids of all rules about a row that a row breaks, in the suite's order; maybe empty."""
        from pyspark.sql import functions as F

        if not self._rows:
            return F.array().cast("array<string>")
        ids = [F.when(self._bit(n), F.lit(each.rule.id)) for n, each in enumerate(self._rows)]
        return F.array_compact(F.array(*ids))

    def is_rejected(self) -> Column:
        """Return whether a row breaks a rule that drops or quarantines; never null."""
        return self._breaks_any({"drop", "quarantine"})

    def is_quarantined(self) -> Column:
        """Return whether a row breaks a rule that quarantines; never null."""
        return self._breaks_any({"quarantine"})

    def counts(self) -> list[Column]:
        """Return aggregates over a marked frame of all rows.

        Rules about a row count over all rows, rules about a set over those that are not rejected.
        """
        from pyspark.sql import functions as F

        return self._all.columns() + self._kept.columns() or [F.count(F.lit(1)).alias("r")]

    def kept_counts(self, where: Column | None = None, before: str = "") -> list[Column]:
        """Return aggregates for `observe` or `agg` over rows that are not rejected; `whole` makes a tally of them.

        Args:
            where: The rows that count, or None for all.
            before: Put before the aggregates' names.
        """
        return self._all.kept_columns(where, before) + self._kept.kept_columns(where, before)

    def whole(self, counted: Mapping[str, Any]) -> Tally:
        """Return the tally that `counts` would give of rows that are not rejected, from what `kept_counts` gave.

        That of no rows is `whole({})`.
        """
        found = self._all.whole(counted)
        return {**found, **self._kept.whole({**counted, **found})}

    def merged(self, whole: Tally, rejected: Tally) -> Tally:
        """Return the tally of all rows.

        Args:
            whole: Of the kept rows.
            rejected: Counted over rejected rows only.
        """
        return {name: value + rejected[name] if name[0] == "r" else value for name, value in whole.items()}

    def scan(self, kept: DataFrame, by: Column | None = None) -> dict[Any, Tally]:
        """Read what `counts` cannot answer, for each unit.

        Args:
            kept: Rows that are not rejected; needs no mark.
            by: Names each row's unit, or None where the frame is one.

        Returns:
            By the unit, or by None without `by`. Units without rows are missing: `{}` is theirs.
        """
        return self._scan.run(kept, by) if self._scan.is_needed else {}

    def run_native(self, frame: DataFrame) -> list[dict[str, Any]]:
        """Run the rules that are not compiled over one unit's kept rows, by GX's own engine."""
        return native.run(self.native, frame.drop(MARK), telemetry=self._telemetry)

    def verdict(self, tally: Tally, scan: Tally, native: Sequence[dict[str, Any]] = ()) -> Verdict:
        """Judge one unit.

        Args:
            tally: What `counts` gave for the whole unit.
            scan: What `scan` gave for the unit, or `{}`.
            native: What `run_native` gave.
        """
        by_gx = dict(zip((rule.id for rule in self.native), native, strict=True))

        def judged(rule: Rule) -> dict[str, Any]:
            if rule.id in by_gx:
                return by_gx[rule.id]
            success, result = self._judges[rule.id](tally, scan)
            return result_of(rule, success=success, result=result)

        return verdict_of((rule, judged(rule)) for rule in self._suite.rules)

    def samples(self, frame: DataFrame, rule_id: str, limit: int = 5) -> list[dict[str, Any]]:
        """Return some rows that break a rule, or values that do; called where a rule has failed.

        For rules about a row whole rows; for uniqueness the repeated values and how often they are
        there; for sets of values those that do not belong. Otherwise nothing.
        """
        from pyspark.sql import functions as F

        row_rule = next((each for each in self._rows if each.rule.id == rule_id), None)
        if row_rule is not None:
            found = frame.drop(MARK).filter(row_rule.broken)
        else:
            rule = self._suite.rule(rule_id)
            named = self._named(rule) if rule.is_compiled else []
            values = [each.column().alias(each.name) for each in named]
            domain = self._domain(rule).column() if named else None
            kept = frame if domain is None else frame.filter(domain)
            if rule.type in {"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"}:
                passed = (
                    rows.ignored(self._subject(rule, named)) if len(named) > 1 else named[0].column().isNull()
                )
                kept = kept if passed is None else kept.filter(~passed)
                found = kept.groupBy(*values).agg(F.count(F.lit(1)).alias("count")).filter("count > 1")
            elif rule.type in {
                "expect_column_distinct_values_to_be_in_set",
                "expect_column_distinct_values_to_equal_set",
            }:
                allowed = self._subject(rule, named).get("value_set")
                found = kept.filter(~named[0].column().isin(allowed)).select(*values).distinct()
            else:
                return []
        return [row.asDict(recursive=True) for row in found.limit(limit).collect()]

    def _attempt(self, rule: Rule, prepare: Callable[[Rule], None], faults: list[Fault]) -> None:
        """Prepare a rule; what is wrong with it joins the faults."""
        try:
            prepare(rule)
        except _UnknownColumnError as error:
            faults.append(Fault(str(error), rule.id, rule.line, error.hint))
        except ValueError as error:
            faults.append(Fault(str(error), rule.id, rule.line))

    def _prepare_row(self, rule: Rule) -> None:
        named = self._named(rule)
        subject, domain = self._subject(rule, named), self._domain(rule)
        expected = rows.EXPECTED[rule.type](subject)
        condition = domain.column()
        broken = ~expected
        if len(named) > 1:
            passed_over = rows.ignored(subject)
            broken = broken if passed_over is None else ~passed_over & broken
        elif rule.type not in _OF_NULL:
            broken = named[0].column().isNotNull() & broken
        self._rows.append(
            _RowRule(rule, subject, domain, broken if condition is None else condition & broken)
        )

    def _row_judge(self, number: int, each: _RowRule) -> sets.Judge:
        from pyspark.sql import functions as F

        subject, domain = each.subject, each.domain
        mostly = subject.get("mostly", 1.0)
        elements = self._all.count("rows", domain)
        if len(subject.columns) > 1:
            passed_over = rows.ignored(subject)
            what = f"{subject.get('ignore_row_if')}: {', '.join(n.reference for n in subject.columns)}"
            is_considered = None if passed_over is None else F.when(~passed_over, 1)
            considered = self._all.count(what, domain, is_considered) if passed_over is not None else elements
        else:
            considered = self._all.count(subject.first.reference, domain, subject.first.column())
        if each.rule.type in _OF_NULL:
            if each.rule.type == "expect_column_values_to_be_null":
                return lambda tally, _: results.nullity_result(tally[elements], tally[considered], mostly)
            return lambda tally, _: results.nullity_result(
                tally[elements], tally[elements] - tally[considered], mostly
            )
        broken = self._all.count(
            f"rule {number}", Domain(), F.when(self._bit(number), 1), is_never=each.rejects
        )
        is_column = len(subject.columns) == 1
        return lambda tally, _: results.map_result(
            tally[elements],
            tally[considered],
            None if is_column and tally[elements] == 0 else tally[broken],
            mostly,
        )

    def _prepare_set(self, rule: Rule) -> None:
        named = [] if kinds.KINDS[rule.type].may_be_unknown else self._named(rule)
        self._judges[rule.id] = sets.JUDGES[rule.type](
            sets.Means(
                subject=self._subject(rule, named),
                schema=self._columns,
                domain=self._domain(rule),
                counters=self._kept,
                scan=self._scan,
                zone=self._zone,
            )
        )

    def _named(self, rule: Rule) -> list[Named]:
        found = []
        for name in kinds.columns_of(rule.type, rule.kwargs):
            named = self._columns.find(name)
            if named is None:
                raise _UnknownColumnError(name, self._columns.names)
            found.append(named)
        return found

    def _subject(self, rule: Rule, named: Sequence[Named]) -> rows.Subject:
        return rows.Subject(self._session, named, kinds.read_parameters(rule.type, rule.kwargs))

    def _domain(self, rule: Rule) -> Domain:
        condition, parser = rule.kwargs.get("row_condition"), rule.kwargs.get("condition_parser")
        sql = conditions.sql_of(condition, parser)
        for comparison in conditions.comparisons_of(condition, parser):
            named = self._columns.find(comparison.column)
            if named is None:
                raise _UnknownColumnError(comparison.column, self._columns.names)
            comparing.refuse_values(self._session, named.name, named.type, comparison.values)
        return Domain(sql)

    def _full(self, compiled: Sequence[Rule]) -> set[str]:
        """Return the references of columns that are null in rejected rows only."""
        return {
            named.reference
            for rule in compiled
            if rule.type == "expect_column_values_to_not_be_null"
            and rule.on_fail in {"drop", "quarantine"}
            and rule.kwargs.get("row_condition") is None
            for named in [self._columns.find(str(rule.kwargs.get("column")))]
            if named is not None
        }

    def _mark(self, is_told: Callable[[_RowRule], bool]) -> Column:
        """Return the mark that tells of some rules; the others' bits are 0."""
        from pyspark.sql import functions as F

        def word(first: int) -> Column:
            bits = [
                F.when(each.broken, F.lit(1 << n).cast("bigint")).otherwise(F.lit(0).cast("bigint"))
                for n, each in enumerate(self._rows[first : first + _WORD])
                if is_told(each)
            ]
            return reduce(lambda a, b: a.bitwiseOR(b), bits) if bits else F.lit(0).cast("bigint")

        if len(self._rows) <= _WORD:
            return word(0)
        parts = range(0, len(self._rows), _WORD)
        return F.struct(*[word(first).alias(f"w{n}") for n, first in enumerate(parts)])

    def _word(self, number: int) -> Column:
        from pyspark.sql import functions as F

        return F.col(MARK) if len(self._rows) <= _WORD else F.col(f"{MARK}.w{number}")

    def _bit(self, number: int) -> Column:
        """Return whether a row breaks a rule about a row, by the rule's number."""
        from pyspark.sql import functions as F

        return self._word(number // _WORD).bitwiseAND(F.lit(1 << number % _WORD)) != F.lit(0)

    def _breaks_any(self, on_fail: set[str]) -> Column:
        from pyspark.sql import functions as F

        masks: dict[int, int] = {}
        for number, each in enumerate(self._rows):
            if each.rule.on_fail in on_fail:
                masks[number // _WORD] = masks.get(number // _WORD, 0) | 1 << number % _WORD
        found = [self._word(w).bitwiseAND(F.lit(mask)) != F.lit(0) for w, mask in masks.items()]
        return reduce(or_, found) if found else F.lit(False)

    def _analyse(self) -> None:
        """Let Spark analyse every expression on an empty frame, where no row can fail."""
        from pyspark.errors import AnalysisException

        empty = self._session.createDataFrame([], self._schema)

        try:
            whole = self.marked(empty).withColumn(FLAG, self.rejects())
            whole.agg(*self.counts(), *self.kept_counts(before="kept ")).schema  # noqa: B018
            self._scan.analyse(empty)
        except AnalysisException as refused:
            faults = []
            for each in self._rows:
                try:
                    empty.select(each.broken).schema  # noqa: B018
                except AnalysisException as error:
                    faults.append(Fault(_reason(error), each.rule.id, each.rule.line))
            refuse(self._suite.file, faults or [Fault(_reason(refused))])


class _UnknownColumnError(ValueError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.hint = suggestion(name, known)
        super().__init__(f"there is no column {name!r}")


def _reason(error: Exception) -> str:
    return f"Spark refuses it: {str(error).splitlines()[0]}"
