"""How the command line tells of runs, as conf/ says; nothing here starts Spark."""

from __future__ import annotations

import json
import shutil

import pytest

from headway.cli.context import Context
from headway.cli.telling import commanded, told
from headway.errors import ConfigError, UnavailableError
from headway.telemetry import spark_log
from headway.testing import MODES


@pytest.fixture
def context(project_copy, tmp_path):
    def write(conf, *, verbose=False):
        folder = tmp_path / "project"
        shutil.copytree(project_copy, folder, ignore=shutil.ignore_patterns(".headway", "spark-warehouse"))
        (folder / "conf" / "local.yaml").write_text(conf)
        return Context(folder, "local", as_json=False, verbose=verbose)

    return write


def fail(context, error, mode="hourly"):
    pipeline = context.project.pipeline("punctuality")
    with commanded(context), told(context, pipeline, MODES[mode], ends=MODES[mode].is_bounded) as telemetry:
        telemetry.say("hello")
        raise error


def test_an_error_is_one_more_object_and_keeps_its_exit_status(context, capsys):
    run = context("logs: {format: json}\n")
    with pytest.raises(SystemExit) as ended:
        fail(run, UnavailableError("the broker is away", hint="Start it."))
    assert ended.value.code == 3
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["run_started", "said", "run_ended", "error"]
    assert {line["run"] for line in lines} == {run.run}
    assert lines[2]["outcome"] == "again"
    assert lines[3]["message"] == "the broker is away\nHint: Start it."
    assert "stack" not in lines[3]


def test_an_error_of_nobody_s_has_a_stack_trace_if_asked(context, capsys):
    with pytest.raises(SystemExit) as ended:
        fail(context("logs: {format: json}\n", verbose=True), ZeroDivisionError("oh"))
    assert ended.value.code == 1
    error = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert error["message"] == "ZeroDivisionError: oh"
    assert error["stack"].startswith("Traceback")


def test_in_text_the_command_itself_says_what_went_wrong(context, capsys):
    with pytest.raises(UnavailableError):
        fail(context(""), UnavailableError("the broker is away"))
    said = [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["punctuality: a run in mode hourly begins", "hello"]


def test_an_alert_for_a_pipeline_that_there_is_not_is_refused(context):
    with pytest.raises(ConfigError, match="Did you mean 'punctuality'"):
        fail(context("alerts: {freshness: {punctualty: 1 hour}}\n"), ValueError())


def test_a_run_that_fails_before_it_begins_is_counted(context):
    run = context("metrics: {textfile: metrics}\n")
    with pytest.raises(UnavailableError):
        fail(run, UnavailableError("the broker is away"))
    text = (run.root / "metrics" / "headway_punctuality_hourly.prom").read_text()
    assert 'headway_runs_total{mode="hourly",outcome="again",pipeline="punctuality"} 1.0' in text


@pytest.mark.parametrize(
    ("conf", "mode", "says"),
    [
        (
            "metrics: {textfile: conf/local.yaml}\n",
            "hourly",
            "the metrics were not written to conf/local.yaml",
        ),
        ("metrics: {listen: '192.0.2.1:0'}\n", "continuous", "nobody can read the metrics: 192.0.2.1:0"),
    ],
)
def test_metrics_that_cannot_be_given_are_a_warning(context, capsys, conf, mode, says):
    with pytest.raises(KeyError):
        fail(context(conf), KeyError("of the run"), mode)
    assert f"warning: {says}" in capsys.readouterr().err


def test_spark_is_quiet_unless_asked():
    quiet = spark_log.options(level="error", format="text", is_verbose=False)
    assert "-Dheadway.spark.level=error" in quiet
    assert not any("stack" in option for option in quiet)
    loud = spark_log.options(level="error", format="json", is_verbose=True)
    assert loud[0].endswith("log4j2-json.properties")
    assert loud[1:] == ["-Dheadway.spark.level=warn", "-Dheadway.spark.stack=full"]
    assert "-Dheadway.spark.level=info" in spark_log.options(level="info", format="text", is_verbose=True)
