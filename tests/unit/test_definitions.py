"""Defining runs nothing, and a wrong definition says what and where."""

import subprocess
import sys

import pytest

from headway import Lookup, pipeline, sinks, sources
from headway.errors import CallError, DefinitionError

FLIGHTS = sources.Kafka("flights", schema="at timestamp", event_time="at")
TABLE = sinks.Iceberg("lake.n.t")


def test_importing_the_facade_loads_no_spark_and_no_driver():
    code = (
        "import sys, headway; print([m for m in ('pyspark', 'kafka', 'py4j', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameters_and_inputs_have_to_be_the_same_names():
    with pytest.raises(
        DefinitionError, match=r"test_definitions.py:\d+: pipeline 'f': the parameters \(fligths\)"
    ):

        @pipeline(inputs={"flights": FLIGHTS}, output_time="at", outputs=[TABLE])
        def f(fligths):
            return fligths


def test_all_faults_of_a_definition_are_told_at_once():
    with pytest.raises(
        DefinitionError,
        match=r"no source among the inputs; emit='often'.*2 of the outputs are Iceberg tables.*two outputs are the same table or topic",
    ):

        @pipeline(inputs={"a": Lookup("lake.n.a")}, output_time="at", outputs=[TABLE, TABLE], emit="often")
        def f(a):
            return a


def test_late_takes_three_values_only():
    with pytest.raises(DefinitionError, match="late='ignore'"):
        sources.Kafka("t", schema="at timestamp", event_time="at", late="ignore")


def test_too_late_cannot_be_sooner_than_late():
    with pytest.raises(DefinitionError, match="too_late is less than lateness"):
        sources.Kafka(
            "t", schema="at timestamp", event_time="at", lateness="2 hours", late="correct", too_late="1 hour"
        )


def test_a_table_needs_catalog_and_namespace():
    with pytest.raises(DefinitionError, match="names no catalog"):
        sinks.Iceberg("punctuality")


def test_an_unknown_mode_comes_with_a_suggestion(project):
    with pytest.raises(CallError, match="Did you mean 'hourly'"):
        project.mode("hourli")


def test_the_shipped_pipelines_and_modes_are_found(project):
    assert set(project.modes) == {"daily", "hourly", "every_15_minutes", "continuous"}
    assert len(project.pipelines) == 6


def test_a_file_that_fails_to_load_is_told_with_its_line(tmp_path):
    from headway.project import Project

    for folder in ("pipelines", "modes", "quality", "conf"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pipelines" / "x.py").write_text("a = 1\nb = a.missing\n")
    with pytest.raises(DefinitionError, match=r"x.py:2: AttributeError"):
        _ = Project(tmp_path, "local").pipelines
