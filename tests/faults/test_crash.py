"""One run with all four sinks is killed at each named point: after the same command each holds each row once.

With a suite that rejects rows, and without one: rejected rows are kept once, too.

`make crash SEEDS=5` runs every point in both kinds of modes with five seeds; `make test` a sample.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition

from headway.embedded.postgres import Postgres

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SEEDS = int(os.environ.get("HEADWAY_CRASH_SEEDS", "0"))
POINTS = (
    "before-offsets", "after-offsets", "mid-write", "staged", "iceberg", "mid-postgres", "postgres", "slice", "kafka", "delta",
    "before-spark", "set-aside",
)  # fmt: skip
SAMPLE = [("hourly", "slice", 1), ("continuous", "kafka", 1), ("continuous", "set-aside", 1)]
CASES = [
    (mode, point, seed)
    for point in POINTS
    for mode in ("hourly", "continuous")
    for seed in range(1, SEEDS + 1)
]
DRIVER = Path(__file__).parent / "crash_driver.py"
PIPELINE = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{
        "flights": sources.Kafka(
            "flights",
            schema="carrier string, flight int, origin string, scheduled_at timestamp",
            event_time="scheduled_at",
            lateness="6 hours",
            clock="log",
        )
    }},
    output_time="window",
    emit="{emit}",
    quality={quality},
    outputs=[
        sinks.Iceberg("lake.crash.flights_{name}", keys=["origin", "carrier", "window"]),
        sinks.Postgres("flights_{name}", keys=["origin", "carrier", "window"]),
        sinks.Kafka("flights_{name}", slices=3),
        sinks.Delta("flights_{name}"),
    ],
)
def everywhere(flights):
    return flights.groupBy("origin", "carrier", F.window("scheduled_at", "1 hour")).agg(F.count("*").alias("flights"))
"""


MOST = 5
SUITE = {
    "name": "small",
    "meta": {"gate": "mark"},
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "flights", "max_value": MOST},
            "meta": {"rule": "few"},
        }
    ],
}


@pytest.fixture(scope="module")
def folder(flights_project, dsn):
    local = flights_project / "conf" / "local.yaml"
    local.write_text(local.read_text() + f"\ndatabases: {{main: {{dsn: '{dsn}'}}}}\n")
    for file in (flights_project / "pipelines").glob("*.py"):
        file.unlink()
    (flights_project / "quality" / "small.json").write_text(json.dumps(SUITE))
    return flights_project


@pytest.fixture(scope="module")
def dsn(tmp_path_factory):
    server = Postgres(tmp_path_factory.mktemp("crash_pg") / "data")
    yield server.start()
    server.stop()


def place(folder, emit, *, is_split=False):
    name = uuid.uuid4().hex[:8]
    shutil.rmtree(folder / ".headway", ignore_errors=True)
    quality = '"small"' if is_split else None
    (folder / "pipelines" / "everywhere.py").write_text(
        PIPELINE.format(emit=emit, name=name, quality=quality)
    )
    return f"flights_{name}"


def call(folder, mode, *crash):
    start = [str(DRIVER), *crash] if crash else ["-m", "headway"]
    run = f"--project {folder} --json run everywhere --mode {mode} --complete".split()
    stream = ["--until-caught-up"] if mode == "continuous" else []
    return subprocess.run(
        [sys.executable, *start, *run, *stream],
        capture_output=True, text=True, check=False, timeout=300, start_new_session=True,
    )  # fmt: skip


def rows_of(folder, table):
    from pyiceberg.catalog.sql import SqlCatalog

    home = (folder / ".headway").resolve()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse"))
    return catalog.load_table(table).scan().to_arrow().to_pylist()


def in_iceberg(folder, name):
    return sorted(
        (r["origin"], r["carrier"], r["window"]["start"].strftime("%dT%H"), r["flights"])
        for r in rows_of(folder, f"crash.{name}")
    )


def set_aside(folder):
    rows = [json.loads(r["row"]) for r in rows_of(folder, "headway.everywhere_rejected")]
    return sorted((r["origin"], r["carrier"], r["window"]["start"][8:13], r["flights"]) for r in rows)


def in_postgres(dsn, name):
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        rows = connection.execute(f"SELECT origin, carrier, window_start, flights FROM {name}").fetchall()
    return sorted((o, c, at.strftime("%dT%H"), n) for o, c, at, n in rows)


def in_delta(spark, folder, name):
    at = "date_format(window.start, \"dd'T'HH\")"
    frame = spark.read.format("delta").load(str(folder / ".headway" / "delta" / name))
    return sorted(tuple(r) for r in frame.selectExpr("origin", "carrier", at, "flights").collect())


def in_kafka(servers, name):
    """Return the last row of each key; no record may be the same as the one before it."""
    reader = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
    )
    places = [TopicPartition(name, p) for p in reader.partitions_for_topic(name)]
    reader.assign(places)
    reader.seek_to_beginning()
    ends, state = reader.end_offsets(places), {}
    while any(reader.position(p) < ends[p] for p in places):
        for batch in reader.poll(1000).values():
            for record in batch:
                assert state.get(record.key) != record.value, f"sent twice: {record.value!r}"
                state[record.key] = record.value
    reader.close()
    rows = [json.loads(value) for value in state.values() if value is not None]
    return sorted((r["origin"], r["carrier"], r["window"]["start"][8:13], r["flights"]) for r in rows)


@pytest.fixture(scope="module")
def expected(folder):
    name = place(folder, "final")
    done = call(folder, "daily")
    assert done.returncode == 0, done.stderr[-2000:]
    found = in_iceberg(folder, name)
    assert len(found) > 300
    return found


@pytest.mark.parametrize(("mode", "point", "seed"), CASES or SAMPLE)
def test_each_sink_holds_each_row_once_after_a_crash(spark, broker, folder, dsn, expected, mode, point, seed):
    rng = random.Random(f"{mode}/{point}/{seed}")
    emit, nth, pause = rng.choice(["final", "early"]), rng.choice([1, 2, 3]), rng.uniform(0, 1)
    is_split = point == "set-aside" or rng.random() < 0.3
    while True:
        name = place(folder, emit, is_split=is_split)
        crashed = call(folder, mode, point, str(nth), str(pause))
        if crashed.returncode == -9:
            break
        assert crashed.returncode == 0, crashed.stderr[-2000:]
        assert nth > 1, "the run never came by the point"
        nth -= 1
    print(
        f"crash: {mode}, {emit}, time {nth} at {point}, pause {pause:.2f} s, seed {seed}"
        + (", with a suite" if is_split else "")
    )
    done = call(folder, mode)
    assert done.returncode == 0, done.stderr[-2000:]
    if is_split:
        assert set_aside(folder) == [row for row in expected if row[3] > MOST]
        expected = [row for row in expected if row[3] <= MOST]
    assert in_iceberg(folder, name) == expected
    assert in_postgres(dsn, name) == expected
    assert in_delta(spark, folder, name) == expected
    assert in_kafka(broker.servers, name) == expected
