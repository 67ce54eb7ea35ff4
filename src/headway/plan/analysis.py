"""Everything that a run and `headway check` know of a definition before data is read."""

from __future__ import annotations

import ast
import hashlib
import json
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headway.errors import DefinitionError, Error, suggestion
from headway.lookup import Lookup
from headway.pipeline import Pipeline
from headway.plan import lint, tree
from headway.plan.reach import MARKER, Finding, Operators, Reach, derive
from headway.plan.workers import send_by_value
from headway.source import LOG_FIELDS, Source
from headway.upstream import EVENT_TIME, Upstream

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = [
    "Analysis",
    "ShowsBy",
    "analyse",
    "continuous_faults",
    "event_time_column",
    "record_schema",
    "upstream_schema",
    "value_schema",
]

_NONDETERMINISTIC = {
    "Rand": "rand",
    "Randn": "randn",
    "Uuid": "uuid",
    "Shuffle": "shuffle",
    "CurrentTimestamp": "current_timestamp",
    "Now": "now",
    "LocalTimestamp": "localtimestamp",
    "CurrentDate": "current_date",
    "CurDateExpressionBuilder": "curdate",
    "MonotonicallyIncreasingID": "monotonically_increasing_id",
    "SparkPartitionID": "spark_partition_id",
    "InputFileName": "input_file_name",
}
_WINDOW = "struct<start:timestamp,end:timestamp>"
_ORDER = {
    "First": ("first", "Use min or max of a column, or min_by with a column that decides ties."),
    "Last": ("last", "Use min or max of a column, or max_by with a column that decides ties."),
    "AnyValue": ("any_value", "Use min or max."),
    "ApproximatePercentile": ("percentile_approx", "Use percentile, which is exact."),
    "CollectList": ("collect_list", "Sort it: F.sort_array(F.collect_list(...))."),
    "CollectSet": ("collect_set", "Sort it: F.sort_array(F.collect_set(...))."),
}


ShowsBy = Literal["appending", "upsert", "recomputing"]
"""Rows are final as they come; or are replaced by key; or their intervals are recomputed now and then."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of a pipeline from its plan on empty frames."""

    schema: StructType
    """Columns of the result."""
    reach: Reach
    """How far rows depend on records, from the plan and the declarations."""
    operators: Operators
    is_window: bool
    """Whether the output time is a window or session struct, so that `end` - 1 µs counts."""
    is_traced: bool
    """Whether the plan shows what event time the output time comes from."""
    early: ShowsBy
    """How a stream shows the rows of open intervals under `emit="early"`."""
    shown: frozenset[str]
    """Names of columns that the result holds, or computes something from otherwise than by conditions."""
    definition: str
    """Hash of the plan and of the file's meaning: layout and comments do not count."""

    @property
    def is_stateful(self) -> bool:
        """Whether a stream keeps state between batches."""
        return self.operators.is_stateful


def analyse(spark: SparkSession, pipeline: Pipeline) -> Analysis:
    """Build the plan of a pipeline on empty inputs and derive what it depends on.

    Raises:
        DefinitionError: With every fault found, each with file and line.
    """
    faults = [
        f"{pipeline.file}:{f.line}: {f.what}\n    Hint: {f.hint}"
        for f in lint.lint(pipeline.file, pipeline.function.__name__)
    ]
    if faults:
        _refuse(pipeline, faults)
    send_by_value(pipeline)
    result = _call(pipeline, {name: _empty(spark, pipeline, name) for name in pipeline.inputs})
    plan = tree.parse(result)
    event_times = {name: {i.event_time, event_time_column(i)} for name, i in pipeline.records.items()}
    reaches, operators = derive(plan, event_times)
    faults += [_spell(pipeline, f) for f in (*_impure(plan), *_blocking(pipeline, operators))]
    if pipeline.output_time not in result.columns:
        faults.append(
            f"{pipeline.where}: output_time={pipeline.output_time!r} is no column of the result "
            f"({', '.join(result.columns)})"
        )
    missing = [k for k in pipeline.sink.keys if k not in result.columns]
    if missing:
        faults.append(f"{pipeline.where}: the sink's keys {missing} are no columns of the result")
    if faults:
        _refuse(pipeline, faults)
    kind = result.schema[pipeline.output_time].dataType.simpleString()
    if kind not in ("timestamp", _WINDOW):
        _refuse(
            pipeline,
            [
                f"{pipeline.where}: output_time={pipeline.output_time!r} is {kind}, not a timestamp or a window"
            ],
        )
    return Analysis(
        schema=result.schema,
        reach=_declared(pipeline, reaches.get(pipeline.output_time)),
        operators=operators,
        is_window=kind.startswith("struct"),
        is_traced=pipeline.output_time in reaches,
        early=_early(pipeline, operators),
        shown=frozenset(result.columns) | _computed_from(plan),
        definition=_definition(pipeline, tree.canonical(result)),
    )


def _early(pipeline: Pipeline, operators: Operators) -> ShowsBy:
    if not operators.aggregates and not operators.waiting_joins:
        return "appending"
    keys_cover = set(operators.group_columns) <= set(pipeline.sink.keys)
    return "upsert" if operators.is_bare_aggregate and keys_cover else "recomputing"


def _blocking(pipeline: Pipeline, operators: Operators) -> list[Finding]:
    declared = pipeline.history is not None and pipeline.ahead is not None
    covers = declared and (not operators.aggregates or pipeline.output_time in operators.group_columns)
    return [f for f in operators.findings if not (f.unless_declared and covers)]


def _declared(pipeline: Pipeline, derived: Reach | None) -> Reach:
    if derived is None:
        if pipeline.history is None or pipeline.ahead is None:
            _refuse(
                pipeline,
                [
                    (
                        f"{pipeline.where}: where {pipeline.output_time!r} comes from cannot be traced to an event time\n"
                        "    Hint: Declare history= and ahead=: how far before and after its output time a row depends on records."
                    )
                ],
            )
        return Reach(pipeline.history or 0, pipeline.ahead or 0)
    history, ahead = pipeline.history or 0, pipeline.ahead or 0
    if history <= derived.history and ahead <= derived.ahead:
        return derived
    return Reach(max(history, derived.history), max(ahead, derived.ahead))


def _empty(spark: SparkSession, pipeline: Pipeline, name: str) -> DataFrame:
    """Return an empty frame with an input's columns, its leaf marked with the input's name."""
    from pyspark.sql.types import StructType

    given = pipeline.inputs[name]
    try:
        columns = spark.table(given.table).schema if isinstance(given, Lookup) else _frame_schema(given)
    except Error:
        raise
    except Exception as exc:
        what = str(exc).splitlines()[0]
        raise DefinitionError(f"input {name!r}: {what}", where=pipeline.where) from exc
    marked = StructType([*columns.fields]).add(MARKER + name, "boolean")
    return spark.createDataFrame([], marked).select(*[f"`{c}`" for c in columns.names])


def _frame_schema(source: Source | Upstream) -> StructType:
    from pyspark.sql.types import StructType

    if isinstance(source, Upstream):
        return upstream_schema(source)
    return StructType([*record_schema(source).fields]).add("_log", StructType.fromDDL(LOG_FIELDS))


def record_schema(source: Source) -> StructType:
    """Return the columns of a source's records as the function sees them, without `_log`.

    Raises:
        DefinitionError: The schema cannot be read, or the event time is no column of it.
    """
    from pyspark.sql.types import StructField, StructType, TimestampType

    return StructType(
        [
            StructField(f.name, TimestampType()) if f.name == source.event_time else f
            for f in value_schema(source).fields
        ]
    )


def upstream_schema(upstream: Upstream) -> StructType:
    """Return the columns of an upstream's frame, checked.

    Raises:
        DefinitionError: The schema cannot be read, or the event time is no column of it.
    """
    from pyspark.sql.types import StructType, TimestampType

    try:
        schema = StructType.fromDDL(upstream.schema)
        assert isinstance(schema, StructType)
    except Exception as exc:
        what = str(getattr(exc, "java_exception", None) or exc).strip().splitlines()[0]
        raise DefinitionError(f"input {upstream.name!r}: the schema is not Spark DDL: {what}") from exc
    if upstream.event_time not in schema.names:
        raise DefinitionError(
            f"input {upstream.name!r}: event_time={upstream.event_time!r} is no column of the schema",
            hint=suggestion(upstream.event_time, schema.names),
        )
    kind = schema[upstream.event_time].dataType.simpleString()
    if kind == "timestamp":
        return schema
    if kind != _WINDOW:
        raise DefinitionError(
            f"input {upstream.name!r}: the event time {upstream.event_time!r} is {kind}, neither TIMESTAMP nor a window",
            hint=f"A window is {_WINDOW}.",
        )
    if EVENT_TIME in schema.names:
        raise DefinitionError(
            f"input {upstream.name!r}: the schema has a column {EVENT_TIME!r}, which the frame gets from the window",
            hint="Leave it out.",
        )
    return StructType([*schema.fields]).add(EVENT_TIME, TimestampType())


def event_time_column(given: Source | Upstream) -> str:
    """Return the column of an input's frame that holds the event time."""
    if isinstance(given, Upstream) and EVENT_TIME in upstream_schema(given).names:
        return EVENT_TIME
    return given.event_time


def value_schema(source: Source) -> StructType:
    """Return the columns of a source's values as they are written, checked.

    Raises:
        DefinitionError: The schema cannot be read, or the event time is no column of it.
    """
    from pyspark.sql.types import BinaryType, LongType, StructType, TimestampType

    try:
        schema = (
            _avro_columns(source.schema) if source.format == "avro" else StructType.fromDDL(source.schema)
        )
        assert isinstance(schema, StructType)
    except Exception as exc:
        what = str(getattr(exc, "java_exception", None) or exc).strip().splitlines()[0]
        language = "an Avro record" if source.format == "avro" else "Spark DDL"
        raise DefinitionError(f"source {source.name!r}: the schema is not {language}: {what}") from exc
    if source.event_time not in schema.names:
        raise DefinitionError(
            f"source {source.name!r}: event_time={source.event_time!r} is no column of the schema",
            hint=suggestion(source.event_time, schema.names),
        )
    if not isinstance(schema[source.event_time].dataType, TimestampType | LongType):
        raise DefinitionError(
            f"source {source.name!r}: the event time {source.event_time!r} is neither TIMESTAMP nor BIGINT",
            hint="BIGINT counts milliseconds since the epoch.",
        )
    if source.format == "bytes":
        others = [f for f in schema.fields if f.name != source.event_time]
        if len(others) != 1 or not isinstance(others[0].dataType, BinaryType):
            raise DefinitionError(
                f"source {source.name!r}: format='bytes' takes one BINARY column beside the event time",
                hint="Such as schema='payload binary, arrived_at timestamp', event_time='arrived_at'.",
            )
    return schema


def _avro_columns(text: str) -> StructType:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    jvm = SparkSession.active()._jvm
    assert jvm is not None
    parsed = getattr(jvm.org.apache.avro, "Schema$Parser")().parse(text)
    columns = jvm.org.apache.spark.sql.avro.SchemaConverters.toSqlType(parsed).dataType()
    return StructType.fromJson(json.loads(columns.json()))


def _call(pipeline: Pipeline, frames: dict[str, DataFrame]) -> DataFrame:
    from pyspark.sql import DataFrame

    try:
        result = pipeline.function(**frames)
    except Error:
        raise
    except Exception as exc:
        line = _user_line(pipeline.file, exc) or pipeline.line
        what = str(exc).strip().splitlines()[0]
        raise DefinitionError(
            f"pipeline {pipeline.name!r}: {type(exc).__name__}: {what}", where=f"{pipeline.file}:{line}"
        ) from exc
    if not isinstance(result, DataFrame):
        raise DefinitionError(
            f"pipeline {pipeline.name!r} returns {type(result).__name__}, not a DataFrame",
            where=pipeline.where,
        )
    return result


def continuous_faults(spark: SparkSession, pipeline: Pipeline, analysis: Analysis) -> list[str]:
    """Return why the continuous mode is closed to a pipeline, for the last by asking Spark's own checker."""
    if pipeline.upstreams:
        return []  # its commits are followed by the bounded strategy
    if not analysis.is_traced:
        return ["its output time is hidden from the plan, so nothing proves when a row is final"]
    if pipeline.emit == "early" and analysis.early == "recomputing":
        return []
    frames = {
        name: _streaming(spark, given) if isinstance(given, Source) else _empty(spark, pipeline, name)
        for name, given in pipeline.inputs.items()
    }
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        plan = pipeline.function(**frames)._jdf.queryExecution().analyzed()
        jvm = spark._jvm
        assert jvm is not None
        jvm.org.apache.spark.sql.catalyst.analysis.UnsupportedOperationChecker.checkForStreaming(
            plan, jvm.org.apache.spark.sql.streaming.OutputMode.Append()
        )
    except (PySparkException, Py4JError) as exc:
        said = str(getattr(exc, "java_exception", None) or exc).strip().splitlines()[0]
        return [f"Spark cannot run it as a stream: {said.rpartition('Exception: ')[2]}"]
    return []


def _streaming(spark: SparkSession, source: Source) -> DataFrame:
    """Return an empty streaming frame with a source's columns and a watermark on its event time."""
    from pyspark.sql import functions as F

    fields = _frame_schema(source).fields
    rate = spark.readStream.format("rate").load()
    typed = rate.select(*[F.lit(None).cast(f.dataType).alias(f.name) for f in fields])
    return typed.withWatermark(source.event_time, "0 seconds")


def _computed_from(plan: tree.Node) -> set[str]:
    """Return the names of columns that a plan projects under another name, computes with, groups by or explodes."""
    found = set()
    for node in plan.walk():
        if node.kind in ("Filter", "Join"):
            continue
        for expression in tree.expressions(node):
            if expression.kind != "AttributeReference":
                parts = (n for n in expression.walk() if n.kind == "AttributeReference")
                found |= {str(n.fields["name"]) for n in parts}
            elif node.kind == "Aggregate":
                found.add(str(expression.fields["name"]))
    return found


def _impure(plan: tree.Node) -> list[Finding]:
    findings: dict[str, Finding] = {}
    for node in plan.walk():
        for expression in tree.expressions(node):
            _scan(expression, None, findings)
    return list(findings.values())


def _scan(expression: tree.Node, parent: str | None, findings: dict[str, Finding]) -> None:
    kind = expression.kind
    if kind in _NONDETERMINISTIC:
        name = _NONDETERMINISTIC[kind]
        findings[name] = Finding(
            name, f"{name}() makes the rows depend on more than the log", "Derive it from the record."
        )
    is_sorted = kind in ("CollectList", "CollectSet") and parent in ("SortArray", "Size", "ArraySize")
    if kind in _ORDER and not is_sorted:
        name, hint = _ORDER[kind]
        findings[name] = Finding(name, f"{name}() depends on the order in which records are met", hint)
    inner = parent if kind == "AggregateExpression" else kind
    for child in expression.children:
        _scan(child, inner, findings)


def _spell(pipeline: Pipeline, finding: Finding) -> str:
    calls = {"groupBy": ("groupBy", "groupby", "agg", "count"), "window function": ("over",)}
    names = calls.get(finding.operator, (finding.operator, finding.operator.removesuffix("_list")))
    line = lint.line_of(pipeline.file, pipeline.function.__name__, names) or pipeline.line
    return f"{pipeline.file}:{line}: {finding.reason}\n    Hint: {finding.hint}"


def _refuse(pipeline: Pipeline, faults: list[str]) -> None:
    raise DefinitionError(f"pipeline {pipeline.name!r} breaks the law:\n  " + "\n  ".join(faults))


def _user_line(file: Path, exc: BaseException) -> int | None:
    lines = [f.lineno for f in traceback.extract_tb(exc.__traceback__) if Path(f.filename) == file]
    return lines[-1] if lines else None


def _definition(pipeline: Pipeline, plan: str) -> str:
    # The file alone would miss what it imports, and the plan alone what a Python function does.
    meaning = ast.dump(ast.parse(pipeline.file.read_text()))
    facts: dict[str, object] = {
        "module": meaning,
        "plan": plan,
        "output_time": pipeline.output_time,
        "inputs": {name: given.facts() for name, given in pipeline.inputs.items()},
        "sink": pipeline.sink.facts(),
        "history": pipeline.history,
        "ahead": pipeline.ahead,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
