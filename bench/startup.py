"""From the command to the first commit of an hourly run, beside spark-submit with packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog

from bench.figure import Figure
from bench.ground import ROOT, WORK, servers
from headway import instant
from headway.demo import flights, replay
from headway.embedded import archive, jars

BAR = 0.55
RUNS = 5
START = instant.parse("2013-02-01T05:00:00Z")
RIVAL = ROOT / "bench" / "rival_startup.py"
PACKAGES = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.3,org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0,org.xerial:sqlite-jdbc:3.50.3.0"
TOKEN_PROVIDER = "org.apache.spark:spark-token-provider-kafka-0-10_2.13"


def run():
    where = servers()
    replay.new_topics(where, ["flights"])
    replay.send(where, {"flights": flights.flights(START, START + instant.duration("1 day"))}, seconds=0)
    (WORK / "year.sent").unlink(missing_ok=True)
    deadline = time.monotonic() + 120
    archive.make_in_background()
    while not archive.file().exists() and time.monotonic() < deadline:
        time.sleep(1)
    own, rival = [], []
    for number in range(RUNS + 1):
        mine, theirs = by_headway(), by_hand(where)
        if number:  # the first one fills caches of both
            own.append(mine)
            rival.append(theirs)
            print(f"  {number}: {mine:.1f} s against {theirs:.1f} s", flush=True)
    yield Figure.of(
        "start to first commit, ratio",
        [a / b for a, b in zip(own, rival, strict=True)],
        unit="times spark-submit",
        bar=BAR,
    )
    yield Figure.of("start to first commit, headway", own, unit="seconds")
    yield Figure.of("start to first commit, spark-submit --packages", rival, unit="seconds")


def by_headway() -> float:
    """`headway run` of an hourly pipeline on a fresh table, up to the moment that its commit carries."""
    home = WORK / ".headway"
    drop("flights.punctuality")
    for folder in ("warehouse/flights/punctuality", "state"):
        shutil.rmtree(home / folder, ignore_errors=True)
    began = datetime.now(UTC)
    done = subprocess.run(
        [sys.executable, "-m", "headway", "--project", str(WORK), "run", "punctuality", "--mode", "hourly"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return first_commit("flights.punctuality", "headway.key") - began.timestamp()


def by_hand(where: str) -> float:
    drop("flights.rival")
    shutil.rmtree(WORK / ".headway" / "warehouse/flights/rival", ignore_errors=True)
    began = datetime.now(UTC)
    token = next(iter(jars.class_path("spark").glob("spark-token-provider-*.jar")))
    home = WORK / ".headway"
    submit = Path(sys.executable).parent / "spark-submit"
    done = subprocess.run(
        [
            str(submit), "--master", "local[*]", "--packages", PACKAGES, "--exclude-packages", TOKEN_PROVIDER,
            "--jars", str(token), "--conf", "spark.ui.enabled=false", str(RIVAL), where, str(home.resolve()),
        ],
        capture_output=True, text=True, check=False, env={**os.environ, "PYSPARK_PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return first_commit("flights.rival", None) - began.timestamp()


def catalog() -> SqlCatalog:
    home = (WORK / ".headway").resolve()
    return SqlCatalog("lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse"))


def drop(name: str) -> None:
    if (WORK / ".headway" / "catalog.db").exists() and catalog().table_exists(name):
        catalog().drop_table(name)


def first_commit(name: str, key: str | None) -> float:
    snapshots = catalog().load_table(name).snapshots()
    of_rows = [
        s for s in snapshots if s.summary and int(s.summary.additional_properties.get("added-records", 0)) > 0
    ]
    assert of_rows
    assert key is None or key in of_rows[0].summary.additional_properties
    return of_rows[0].timestamp_ms / 1_000
