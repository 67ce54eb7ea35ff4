"""Commands about suites: suite docs."""

from __future__ import annotations

from headway.cli.context import Context
from headway.cli.sessions import spark_for
from headway.errors import CallError
from headway.pipeline import Pipeline
from headway.quality import suite as reading
from headway.quality.suite import Suite
from headway.run.files import Files
from headway.run.validations import Validations

__all__ = ["docs"]


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
