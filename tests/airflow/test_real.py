"""The shipped DAGs on a project with a broker: a real interval into Iceberg, and a stream that is seen to.

`tests/integration/test_airflow.py` makes the project.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

PROJECT = os.environ.get("HEADWAY_AIRFLOW_PROJECT")
pytestmark = pytest.mark.skipif(PROJECT is None, reason="HEADWAY_AIRFLOW_PROJECT names no project")


def headway(*words):
    command = [os.environ["HEADWAY_EXECUTABLE"], "--project", PROJECT, "--json", *words]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_airflow_dags_test_publishes_a_real_interval(tmp_path):
    airflow = str(Path(os.sys.executable).with_name("airflow"))
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": f"{PROJECT}/airflow_dags",
    }
    for words in (["db", "migrate"], ["dags", "test", "punctuality_hourly", "2013-02-01T15:00:00"]):
        subprocess.run([airflow, *words], env=environment, capture_output=True, text=True, check=True)
    with sqlite3.connect(tmp_path / "airflow.db") as database:
        (found,) = database.execute("SELECT value FROM xcom WHERE key = 'return_value'").fetchall()
        events = database.execute(
            "SELECT a.name FROM asset_event e JOIN asset a ON a.id = e.asset_id"
        ).fetchall()
    done = json.loads(found[0])
    hour = {"start": "2013-02-01T14:00:00Z", "end": "2013-02-01T15:00:00Z", "revision": 1}
    assert done["intervals"] == [hour]
    assert done["rows"]["published"] > 10
    assert events == [("lake.flights.punctuality",)]
    (status,) = headway("status", "punctuality")["pipelines"]
    assert [(r["start"], r["end"], r["mode"]) for r in status["ranges"]] == [
        ("2013-02-01T14:00:00Z", "2013-02-01T15:00:00Z", "hourly")
    ]


def test_the_supervisor_starts_a_stream_that_does_not_run_and_no_second_one(tested):

    def check(moment):
        _, tasks = tested(
            Path(PROJECT, "airflow_dags", "congestion.py")
            .read_text()
            .replace("Path(__file__).parents[1]", f"Path({PROJECT!r})"),
            "congestion_continuous",
            moment,
        )
        assert tasks["supervise"].state == "success"
        (run,) = tasks["supervise"].xcom_pull(task_ids="supervise")["runs"]
        return run["process"]

    first = check("2013-02-01T08:00:00")
    try:
        assert check("2013-02-01T08:05:00") == first
        os.kill(first, signal.SIGKILL)
        second = check("2013-02-01T08:10:00")
        assert second != first
    finally:
        headway("stop", "congestion")
