"""DAGs made from definitions: read without Spark, quickly, with the intervals of the mode."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from headway import instant
from headway.errors import CallError, ConfigError
from headway.interval import Grid

COST = """
import time
from airflow.sdk import (DAG, Asset, AssetAlias, AssetAny, AssetOrTimeSchedule, BaseOperator,
                         CronDataIntervalTimetable, CronTriggerTimetable)
import airflow.sdk.exceptions, importlib.util, sys
for name in sys.argv[2:]:  # what a DAG costs whoever makes it
    DAG("other_" + name, schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"))
began = time.process_time()
from pathlib import Path
from headway.airflow import Deployment
project = Deployment(Path(sys.argv[1]))
for name in sys.argv[2:]:
    project.dag(name, mode="hourly")
spent = time.process_time() - began
print(spent, [m for m in ("pyspark", "py4j", "great_expectations", "kafka") if m in sys.modules])
"""


def test_headway_adds_less_than_a_fifth_of_a_second_to_the_import_of_a_dag_and_no_spark(project, headway):
    found = []
    for _ in range(3):  # the first one reads the definitions
        words = [sys.executable, "-c", COST, str(project), "punctuality"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        seconds, heavy = done.stdout.split(" ", 1)
        assert heavy.strip() == "[]"
        found.append(float(seconds))
    print(f"processor seconds that headway adds to a DAG's import: {found}")
    assert min(found) < 0.2


@pytest.fixture
def headway(project, monkeypatch):
    """The real `headway`, of the environment that the tests were started from."""
    from os import environ

    own = Path(__file__).parents[2] / ".venv" / "bin" / "headway"
    monkeypatch.setenv("HEADWAY_EXECUTABLE", environ.get("HEADWAY_EXECUTABLE", str(own)))


def listed(script, *, every="1 hour", zone="UTC", schedule=None, **pipeline):
    p = {
        "name": "p",
        "table": "lake.p",
        "reads": [],
        "has_sources": True,
        "closes_after": "6 hours",
    } | pipeline
    mode = {"name": "m", "every": every, "trigger": None, "schedule": schedule}
    answer = {"zone": zone, "pipelines": [p], "modes": [mode]}
    return script(f"echo called >> $(dirname $0)/calls; echo '{json.dumps(answer)}'")


@pytest.mark.parametrize(
    ("every", "zone", "start", "end"),
    [
        ("1 day", "America/New_York", "2013-03-08T05:00:00Z", "2013-03-13T04:00:00Z"),
        ("1 day", "Europe/Berlin", "2013-10-25T22:00:00Z", "2013-10-29T23:00:00Z"),
        ("1 hour", "America/New_York", "2013-03-10T05:00:00Z", "2013-03-10T09:00:00Z"),
        ("15 minutes", "UTC", "2013-02-01T00:00:00Z", "2013-02-01T02:00:00Z"),
        ("6 hours", "Europe/Berlin", "2013-03-30T00:00:00Z", "2013-04-01T00:00:00Z"),
    ],
)
def test_data_intervals_are_those_of_the_modes_grid(script, tmp_path, every, zone, start, end):
    from airflow.sdk import timezone
    from airflow.serialization.encoders import coerce_to_core_timetable

    from headway.airflow import Deployment

    deployment = Deployment(tmp_path, executable=str(listed(script, every=every, zone=zone)))
    timetable = coerce_to_core_timetable(deployment.dag("p", mode="m").timetable)
    expected = list(Grid(instant.duration(every), zone).intervals(instant.parse(start), instant.parse(end)))
    found = [
        timetable.infer_manual_data_interval(run_after=timezone.parse(instant.iso(i.end))) for i in expected
    ]
    assert [(at(f.start), at(f.end)) for f in found] == [(i.start, i.end) for i in expected]


def at(moment: datetime) -> int:
    return int(moment.timestamp()) * instant.SECOND


def test_a_mode_whose_intervals_cron_cannot_say_is_refused(script, tmp_path):
    from headway.airflow import Deployment

    deployment = Deployment(tmp_path, executable=str(listed(script, every="7 minutes")))
    with pytest.raises(CallError, match="no schedule for the intervals of mode 'm', 7 minutes each"):
        deployment.dag("p", mode="m")


def test_definitions_are_read_once_for_each_content_of_the_project(script, tmp_path):
    from headway.airflow import Deployment

    executable = str(listed(script))
    for folder, text in (("pipelines", "a"), ("pipelines", "b"), ("conf", "c")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"x.{'yaml' if folder == 'conf' else 'py'}").write_text(text)
        for _ in range(2):
            Deployment(tmp_path, executable=executable).dag("p", mode="m")
    assert (tmp_path / "calls").read_text().splitlines() == ["called"] * 3


def test_definitions_that_cannot_be_read_say_why(script, tmp_path):
    from headway.airflow import Deployment

    broken = Deployment(tmp_path, executable=str(script("echo 'headway: a.py:3: no such thing' >&2; exit 2")))
    with pytest.raises(ConfigError, match=r"a\.py:3: no such thing"):
        broken.dag("p", mode="m")
    with pytest.raises(CallError, match="HEADWAY_EXECUTABLE"):
        Deployment(tmp_path, executable=str(tmp_path / "nowhere")).dag("p", mode="m")


CHAIN = """
from headway import pipeline, sinks, sources
hours = sources.Iceberg("lake.a.hours", schema="at timestamp", event_time="at")
log = sources.Kafka("t", schema="at timestamp", event_time="at", lateness="1 hour")
@pipeline(inputs={"log": log}, output_time="at", outputs=[sinks.Iceberg("lake.a.hours")])
def hours_(log): return log
@pipeline(inputs={"hours": hours}, output_time="at", outputs=[sinks.Iceberg("lake.a.shares")])
def shares(hours): return hours
@pipeline(inputs={"hours": hours, "log": log}, output_time="at", outputs=[sinks.Iceberg("lake.a.both")])
def both(hours, log): return hours
"""


def test_a_pipeline_that_reads_anothers_table_is_scheduled_by_it(project, headway, tmp_path):
    import shutil

    from airflow.sdk import Asset, AssetAny, AssetOrTimeSchedule

    from headway.airflow import Deployment

    for folder in ("modes", "conf"):
        shutil.copytree(project / folder, tmp_path / folder)
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "chain.py").write_text(CHAIN)
    deployment = Deployment(tmp_path)
    shares, both = (deployment.dag(name, mode="hourly") for name in ("shares", "both"))
    assert shares.timetable.asset_condition == AssetAny(Asset("lake.a.hours"))
    assert list(shares.task_dict) == ["due"]
    assert isinstance(both.timetable, AssetOrTimeSchedule)
    first = deployment.dag("hours_", mode="hourly")
    assert [t.task_id for t in first.topological_sort()] == ["publish", "due"]
    assert first.task_dict["publish"].outlets[0].name == "lake.a.hours"
    assert deployment.definitions.pipeline("hours_").closes_after == instant.duration(
        "1 hour 1 minute 10 seconds"
    )
