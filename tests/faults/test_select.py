"""`run --select` runs pipelines that read each other's tables one after the other, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.servers, pytest.mark.slow]

DAYS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"hours": sources.Iceberg(
        "lake.flights.punctuality",
        schema="origin string, window struct<start: timestamp, end: timestamp>, departures bigint",
        event_time="window",
    )},
    output_time="window",
    outputs=[sinks.Iceberg("lake.flights.days", keys=["origin", "window"])],
)
def days(hours):
    return hours.groupBy("origin", F.window("event_time", "6 hours")).agg(F.sum("departures").alias("departures"))
"""


@pytest.fixture(scope="module")
def folder(flights_project):
    (flights_project / "pipelines" / "days.py").write_text(DAYS)
    return flights_project


def headway(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "headway", "--project", str(folder), "--json", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_one_that_is_run_before_what_it_reads_is_told_what_to_do(folder):
    done = headway(folder, "run", "days", "--mode", "hourly")
    assert done.returncode == 3
    assert "lake.flights.punctuality is not there" in done.stderr
    assert "--select '+NAME'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipeline_runs_after_all_that_it_reads(folder):
    done = headway(folder, "run", "--select", "+days", "--mode", "daily", "--complete")
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = json.loads(done.stdout)["runs"]
    assert (first["pipeline"], second["pipeline"]) == ("punctuality", "days")
    assert second["rows"]["read"] == second["rows"]["admitted"] == first["rows"]["published"]
    assert second["rows"]["published"] > 0
    assert 0 < second["cpu_seconds"] < first["cpu_seconds"]
    plan = json.loads(headway(folder, "plan", "days", "--mode", "hourly").stdout)
    assert (plan["upstream"], plan["downstream"]) == (["punctuality"], [])
    assert plan["new_records"] == {"hours": 0}


def test_where_one_fails_those_after_it_are_not_run(folder):
    broken = DAYS.replace("departures bigint", "departures int")
    (folder / "pipelines" / "days.py").write_text(broken)
    after = DAYS.replace("lake.flights.punctuality", "lake.flights.days").replace(
        'lake.flights.days", keys', 'lake.flights.weeks", keys'
    )
    (folder / "pipelines" / "weeks.py").write_text(after.replace("def days", "def weeks"))
    done = headway(folder, "run", "--select", "punctuality+", "--mode", "daily", "--complete")
    assert done.returncode == 2
    assert [r["pipeline"] for r in json.loads(done.stdout)["runs"]] == ["punctuality"]
    assert "days failed; not run: weeks" in done.stderr
    assert "departures is int here and bigint there" in done.stderr
