"""Suites seen through before any data is read: structure, Great Expectations' own models, columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import DefinitionError
from headway.pipeline import Pipeline
from headway.plan.analysis import Analysis, record_schema
from headway.quality import suite as suites
from headway.quality.faults import SuiteError, refuse
from headway.result import Result
from headway.run.gate import Gate, refuse_early

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

__all__ = ["Vetted", "notes", "vet"]

Vetted = dict[str | None, Gate]
"""Gates by the parameter name of their source; the result's has None."""


def vet(
    spark: SparkSession, pipeline: Pipeline, analysis: Analysis, *, zone: str, telemetry: bool = False
) -> tuple[Vetted, list[DefinitionError]]:
    """Load, validate and compile every suite of a pipeline; no job is started.

    Called by `headway check`. The first suite of a process takes seconds, for Great Expectations is imported.

    Args:
        spark: The session.
        pipeline: Whose suites are seen through.
        analysis: What is known of its result.
        zone: Whose midnights bound units of a day.
        telemetry: Whether Great Expectations may send telemetry.

    Returns:
        The gates of the suites that are sound, and what is wrong with the others.
    """
    gates: Vetted = {}
    errors = []
    for subject, name, schema, result in _subjects(pipeline, analysis):
        try:
            compiled = partial(Gate, spark, schema=schema, result=result, zone=zone)
            gate = _gate(pipeline.suite_file(name), compiled, telemetry)
            refuse_early(pipeline, gate)
        except DefinitionError as error:
            errors.append(error)
        else:
            gates[subject] = gate
    return gates, errors


def notes(pipeline: Pipeline, gates: Vetted) -> list[str]:
    """Say what suites cost beyond counting in the pass that writes."""
    found = []
    for subject, gate in gates.items():
        suite = gate.suite
        if gate.checks.native:
            ids = ", ".join(rule.id for rule in gate.checks.native)
            are = "is" if len(gate.checks.native) == 1 else "are"
            found.append(
                f"suite {suite.name}: {ids} {are} not compiled: Great Expectations' own engine runs over each unit "
                f"of {suite.per}, with several jobs for each rule, each of which reads the unit"
            )
        if subject is not None and gate.judges:
            found.append(
                f"suite {suite.name} judges units of {pipeline.sources[subject].name}, whose records are read "
                "once more for that"
            )
    return found


def _subjects(pipeline: Pipeline, analysis: Analysis) -> Iterator[tuple[str | None, str, StructType, Result]]:
    """Return what has a suite: parameter name, the suite's name, columns, and what places a row."""
    if pipeline.quality is not None:
        result = Result(output_time=pipeline.output_time, is_window=analysis.is_window, keys=())
        yield None, pipeline.quality, analysis.schema, result
    for name, source in pipeline.sources.items():
        if source.quality is not None:
            placed_by = Result(output_time=source.event_time, is_window=False, keys=())
            yield name, source.quality, record_schema(source), placed_by


def _gate(file: Path, compiled: Callable[[suites.Suite], Gate], telemetry: bool) -> Gate:
    """Compile a suite.

    Raises:
        DefinitionError: Names what is wrong with any of its rules, whoever finds it.
    """
    suite, faults = suites.examine(file, telemetry=telemetry)
    told = {fault.rule for fault in faults}
    sound = replace(suite, rules=tuple(rule for rule in suite.rules if rule.id not in told))
    try:
        gate = compiled(sound)
    except SuiteError as error:
        faults += error.faults
    refuse(file, sorted(faults, key=lambda fault: fault.line or 0))
    return gate
