"""Commands about suites: suite new, suite docs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headway import instant
from headway.cli.context import Context
from headway.cli.sessions import spark_for, working
from headway.errors import CallError, suggestion
from headway.interval import Grid, Interval
from headway.pipeline import Pipeline
from headway.quality import profile, proposal
from headway.quality import suite as reading
from headway.quality.suite import Suite
from headway.result import Result
from headway.run import sample
from headway.run.files import Files
from headway.run.validations import Validations

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["docs", "new"]

_SAMPLE = 1_000_000
"""How many records of a source are read at most."""


def new(context: Context, name: str, source: str | None, span: Interval | None, per: str) -> None:
    """Propose a suite from a pipeline's visible rows, or from a source's newest admitted records, and write it."""
    project = context.project
    pipeline = project.pipeline(name)
    if source is not None and source not in pipeline.sources:
        raise CallError(
            f"pipeline {name!r} has no source {source!r}", hint=suggestion(source, pipeline.sources)
        )
    named = pipeline.quality if source is None else pipeline.sources[source].quality
    label = named or source or name
    file = pipeline.suite_file(label)
    if file.exists():
        raise CallError(f"{file} is there already", hint="Edit it; or remove it, to have a new one proposed.")
    units = Grid(instant.duration(per), project.config.zone)
    time = pipeline.output_time if source is None else pipeline.sources[source].event_time
    with _rows(context, pipeline, source) as rows:
        kind = rows.schema[time].dataType.typeName()
        result = Result(output_time=time, is_window=kind == "struct", keys=())
        chosen = rows if span is None else rows.filter(result.condition(span))
        seen = profile.profile(chosen, result.moment, units, mask=project.config.quality.mask)
    if not seen.rows:
        raise CallError("there is no row to propose a suite from", hint="Name another --start and --end.")
    of = f"rows of {pipeline.sink.table}" if source is None else f"newest records of the source {source}"
    proposed = proposal.propose(seen, keys=() if source is not None else pipeline.sink.keys, output_time=time)
    _write(
        file,
        proposal.written(
            label,
            proposed,
            per=per,
            notes=f"Proposed from {seen.rows:,} {of}, in {len(seen.units):,} units of {per}. "
            "What is a guess only warns. Read it, mend it, and say what becomes of rows that break a rule.",
            telemetry=project.config.quality.telemetry,
        ),
    )
    lines = [f"wrote {file}: {len(proposed)} rules, proposed from {seen.rows:,} {of}"]
    if named is None:
        lines.append(f'Next: edit it, and name it with quality="{label}" ({pipeline.where})')
    context.give(
        {"suite": str(file), "rules": len(proposed), "rows": seen.rows, "units": len(seen.units)}, lines
    )


@contextmanager
def _rows(context: Context, pipeline: Pipeline, source: str | None) -> Iterator[DataFrame]:
    """Start Spark and return what a suite is proposed from."""
    if source is None:
        with spark_for(context) as spark:
            if not spark.catalog.tableExists(pipeline.sink.table):
                raise CallError(f"pipeline {pipeline.name!r} has published nothing yet", hint="Run it first.")
            yield spark.table(pipeline.sink.table)
        return
    with working(context, pipeline) as (spark, logs):
        yield sample.newest(spark, pipeline.sources[source], logs[source], _SAMPLE)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    try:
        with file.open("x") as made:
            made.write(text)
    except FileExistsError as exc:
        raise CallError(f"{file} has come to be there meanwhile", hint="Edit it.") from exc


def docs(context: Context) -> None:
    """Make Data Docs of the project's suites and of the verdicts that were kept."""
    from headway.quality import data_docs

    project = context.project
    named = [suite for pipeline in project.pipelines.values() for suite in _suites(pipeline)]
    suites = list({suite.name: suite for suite in named}.values())
    if not suites:
        raise CallError("no pipeline of the project has a suite", hint='Name one with quality="...".')
    with spark_for(context) as spark:
        kept = Validations(Files(spark), f"{project.state}/quality")
        results = [result for name in project.pipelines for result in kept.read(name)]
    context.say(f"{len(results)} validation results, {len(suites)} suites")
    index = data_docs.build(
        results,
        suites,
        project.home.resolve() / "data_docs",
        telemetry=project.config.quality.telemetry,
    )
    context.give(
        {"index": str(index), "validation_results": len(results), "suites": [s.name for s in suites]},
        [str(index)],
    )


def _suites(pipeline: Pipeline) -> list[Suite]:
    names = [pipeline.quality, *[source.quality for source in pipeline.sources.values()]]
    return [reading.read(pipeline.suite_file(name)) for name in names if name is not None]
