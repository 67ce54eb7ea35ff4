"""Kafka and Postgres are killed under a stream: it ends with status 3, and the next run completes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer

from headway import instant
from headway.demo import replay
from headway.embedded.broker import Broker
from headway.embedded.postgres import Postgres as Server
from headway.errors import Error
from headway.run import continuous
from headway.sinks import Postgres
from headway.testing import MODES, Harness

pytestmark = [pytest.mark.servers, pytest.mark.slow]
DAY = instant.parse("2013-02-01T00:00:00Z")
HOUR = instant.duration("1 hour")
COUNTS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("TOPIC", schema="n bigint, at timestamp", event_time="at", lateness="1 hour", clock="log")},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.t", keys=["window"])],
)
def counts(s):
    return s.groupBy(F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""


@pytest.fixture
def kafka(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outage")
    server = Broker(folder)
    server.pid = lambda: json.loads((folder / "process.json").read_text())["pid"]
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outage") / "data"
    server = Server(folder)
    server.pid = lambda: int((folder / "postmaster.pid").read_text().split()[0])
    server.start()
    yield server
    server.stop()


@pytest.fixture
def topic():
    return f"outage-{uuid.uuid4().hex[:8]}"


def put(servers, topic, hours):
    producer = KafkaProducer(bootstrap_servers=servers)
    for hour in hours:
        at = DAY + hour * HOUR
        value = json.dumps({"n": hour, "at": instant.iso(at)}).encode()
        producer.send(topic, value=value, timestamp_ms=at // 1_000, partition=0)
    producer.close()


def opened(placed, servers):
    return placed.sources["s"].open({"bootstrap_servers": servers}, lambda: None)


@contextmanager
def streaming(harness, placed, servers):
    stop = threading.Event()

    def stream():
        log = opened(placed, servers)
        try:
            with harness.job(placed, {"s": log}, MODES["continuous"]) as job:
                request = continuous.Request(mode=MODES["continuous"], grid=MODES["hourly"].grid("UTC"))
                continuous.run(job, request, stop)
        finally:
            log.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream)
        try:
            yield running
        finally:
            stop.set()


def complete(harness, placed, servers):
    log = opened(placed, servers)
    harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    log.close()


def end(pid, how):
    """End a server at once, and wait until those that it has started have noticed."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    os.kill(pid, how)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{one}/exe").exists() for one in family):
        assert time.monotonic() < deadline, "its processes go on"
        time.sleep(0.1)


def hours(rows):
    return {row["window"]["start"].hour: row["n"] for row in rows.collect()}


def shows(spark, placed):
    name = placed.sink.table
    return spark.table(name).count() if spark.catalog.tableExists(name) else 0


def test_a_broker_that_is_killed_under_a_stream(spark, harness, define, kafka, topic, await_):
    replay.new_topics(kafka.servers, [topic], partitions=1)
    put(kafka.servers, topic, range(6))
    placed = harness.place(define(COUNTS.replace("TOPIC", topic)))
    with streaming(harness, placed, kafka.servers) as running:
        await_(lambda: shows(spark, placed) >= 3, running)
        end(kafka.pid(), signal.SIGKILL)
        with pytest.raises(Error) as caught:
            running.result(timeout=120)
        assert caught.value.exit_status == 3, caught.value
        assert "Kafka" in str(caught.value)
    servers = kafka.start()
    put(servers, topic, range(6, 10))
    complete(harness, placed, servers)
    assert hours(harness.table(placed)) == dict.fromkeys(range(10), 1)


def test_a_postgres_that_is_killed_under_a_stream(spark, define, broker, postgres, topic, await_):
    replay.new_topics(broker.servers, [topic], partitions=1)
    put(broker.servers, topic, range(6))
    harness = Harness(spark, settings={"databases": {"main": postgres.dsn}})
    alone = harness.place(define(COUNTS.replace("TOPIC", topic)))
    placed = replace(alone, outputs=(alone.sink, Postgres("counts", keys=["window"])))

    def in_postgres():
        with psycopg.connect(postgres.dsn) as connection:
            found = connection.execute(
                "SELECT extract(hour FROM window_start AT TIME ZONE 'UTC')::int, n FROM counts"
            )
            return dict(found.fetchall())

    with streaming(harness, placed, broker.servers) as running:
        await_(lambda: shows(spark, placed) >= 3, running)
        await_(lambda: in_postgres() == hours(spark.table(placed.sink.table)), running)
        end(postgres.pid(), signal.SIGQUIT)  # as a crash does: nothing is written, every connection is cut
        put(broker.servers, topic, range(6, 10))
        with pytest.raises(Error) as caught:
            running.result(timeout=120)
        assert caught.value.exit_status == 3, caught.value
        assert "database" in str(caught.value)
    postgres.start()
    complete(harness, placed, broker.servers)
    assert hours(harness.table(placed)) == dict.fromkeys(range(10), 1)
    assert in_postgres() == dict.fromkeys(range(10), 1)
    harness.close()
