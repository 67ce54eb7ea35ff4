"""A real standalone cluster, a master and two workers on loopback: the rows of the local run, also when a worker is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from headway.embedded import jars
from headway.process import Process, free_port

pytestmark = [pytest.mark.servers, pytest.mark.slow]

DEFINITION = '''
"""Departures by size of delay, which Python functions of this file name."""

from dataclasses import dataclass

from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from headway import pipeline, sinks, sources

NAMES = {False: "on time", True: "late"}

@dataclass(frozen=True)
class Delay:
    minutes: int

def named(delay):
    return NAMES[delay.minutes > 15]

@F.udf(StringType())
def label(minutes):
    return named(Delay(minutes or 0))

@pipeline(
    inputs={"flights": sources.Kafka(
        "flights", schema="origin string, scheduled_at timestamp, dep_delay int", event_time="scheduled_at",
        lateness="6 hours", late="drop", clock="log", max_records_per_batch=200)},
    output_time="window",
    outputs=[sinks.Iceberg("lake.flights.labelled", keys=["origin", "label", "window"])],
)
def labelled(flights):
    named = flights.withColumn("label", label("dep_delay"))
    return named.groupBy("origin", "label", F.window("scheduled_at", "1 hour")).agg(F.count("*").alias("flights"))
'''
SPARK = """
  conf:
    spark.driver.host: 127.0.0.1
    spark.driver.bindAddress: 127.0.0.1
    spark.executor.memory: 640m
    spark.sql.shuffle.partitions: "2"
"""


@pytest.fixture
def cluster(tmp_path):
    """A master and two workers of one core each: its URL, its page and the workers' processes."""
    spark_class = str(jars.pyspark_jars().parent / "bin" / "spark-class")
    port, page = free_port(), free_port()
    environment = {
        "SPARK_HOME": str(jars.pyspark_jars().parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
    }

    def start(kind, name, *words):
        command = [spark_class, f"org.apache.spark.deploy.{kind}", "--host", "127.0.0.1", *map(str, words)]
        return Process.start(command, log=tmp_path / f"{name}.log", environment=environment)

    def alive():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/") as answer:
                return json.load(answer)["aliveworkers"]
        except OSError:
            return 0

    master = start("master.Master", "master", "--port", port, "--webui-port", page)
    url = f"spark://127.0.0.1:{port}"
    workers = [
        start(
            *("worker.Worker", f"worker{n}", "--port", free_port(), "--webui-port", free_port()),
            *("--cores", 1, "--memory", "1g", "--work-dir", tmp_path / f"work{n}", url),
        )
        for n in range(2)
    ]
    try:
        master.wait_until(lambda: alive() == 2, name="the cluster", log=tmp_path / "master.log")
        yield url, alive, workers
    finally:
        for process in (*workers, master):
            process.stop()


@pytest.fixture(scope="module")
def labelled(flights_project):
    (flights_project / "pipelines" / "labelled.py").write_text(DEFINITION)
    local = flights_project / "conf" / "local.yaml"
    local.write_text(local.read_text().rstrip() + SPARK)
    return flights_project


def headway(folder, *words):
    return [sys.executable, "-m", "headway", "--project", str(folder), "--json", *words]


def rows(folder):
    from pyiceberg.catalog.sql import SqlCatalog

    home = (folder / ".headway").resolve()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse"))
    found = catalog.load_table("flights.labelled").scan().to_arrow().to_pylist()
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in found)


def batches(folder):
    """Count the batches that are committed; looked up without pyiceberg, which makes the catalog's tables."""
    catalog = folder / ".headway" / "catalog.db"
    if not catalog.exists():
        return 0
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'iceberg_tables'").fetchall():
            return 0
        query = "SELECT metadata_location FROM iceberg_tables WHERE table_name = 'labelled'"
        found = database.execute(query).fetchall()
    snapshots = json.loads(Path(found[0][0]).read_text()).get("snapshots", []) if found else []
    return sum("headway.batch-id" in s["summary"] for s in snapshots)


def children(pid):
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in found for child in each.read_text().split()]


def test_a_stream_on_a_cluster_that_loses_a_worker_gives_the_rows_of_the_local_run(
    labelled, cluster, tmp_path
):
    url, alive, workers = cluster
    elsewhere = tmp_path / "project"
    shutil.copytree(labelled, elsewhere, ignore=shutil.ignore_patterns(".headway", "__pycache__"))
    subprocess.run(
        headway(labelled, "run", "labelled", "--mode", "hourly", "--complete"),
        check=True,
        capture_output=True,
    )
    words = headway(
        elsewhere,
        *("submit", "labelled", "--mode", "continuous", "--until-caught-up", "--complete", "--master", url),
    )
    with (tmp_path / "submit.log").open("w+") as said:
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            deadline = time.monotonic() + 180
            while batches(elsewhere) < 1:
                said.flush()
                assert running.poll() is None, Path(said.name).read_text()[-3000:]
                assert time.monotonic() < deadline, Path(said.name).read_text()[-3000:]
                time.sleep(0.1)
            lost = workers[0].pid
            executors = children(lost)
            assert executors
            for pid in (lost, *executors):
                os.kill(pid, signal.SIGKILL)
            print(f"killed worker {lost} and its {executors} after {batches(elsewhere)} batches")
            assert running.poll() is None
            out, _ = running.communicate(timeout=300)
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait(60)
    assert running.returncode == 0, (tmp_path / "submit.log").read_text()[-3000:]
    assert out.startswith("{"), out[:500]
    assert json.loads(out)["rows"]["read"] > 500
    assert batches(elsewhere) > 2
    assert alive() == 1
    assert rows(elsewhere) == rows(labelled)
