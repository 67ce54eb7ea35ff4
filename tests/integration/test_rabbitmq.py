"""A real RabbitMQ queue: landed once, in order, and the same rows in every mode."""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal

import pika
import pytest
from pydantic import SecretStr

from headway import instant
from headway.catalog import java_table
from headway.errors import ConfigError, DefinitionError, UnavailableError
from headway.run import continuous, landing
from headway.sources import RabbitMQ
from headway.sources.landing_table import LandingTable, Message
from headway.sources.rabbitmq_log import RabbitMQLog
from headway.sources.rabbitmq_queue import Queue
from headway.testing import MODES

pytestmark = [pytest.mark.servers, pytest.mark.slow]
NAMES = [f"m{number}" for number in range(12)]

COUNTS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"orders": sources.RabbitMQ("{queue}", landing="{table}", schema="k string, at timestamp", event_time="at",
                                        lateness="20000 days", max_rejects=1.0)}},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.orders", keys=["k", "window"])],
)
def orders(orders):
    return orders.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""


@pytest.fixture
def queue():
    return f"orders-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def table(queue):
    return f"lake.landing.t_{queue.rpartition('-')[2]}"


@pytest.fixture
def open_log(spark, rabbitmq, queue, table):
    made = []

    def open_(url=None, **facts):
        source = RabbitMQ(queue, landing=table, schema="k string, at timestamp", event_time="at", **facts)
        log = RabbitMQLog(spark, source, {"url": SecretStr(url or rabbitmq.url)})
        made.append(log)
        return log

    yield open_
    for log in made:
        log.close()


def body(time_="01:10", k="a"):
    return json.dumps({"k": k, "at": f"2013-02-01T{time_}:00Z"}).encode()


def put(rabbitmq, queue, names, times=("01:10",)):
    bodies = [body(times[number % len(times)]) for number in range(len(names))]
    rabbitmq.publish(queue, bodies, ids=names)


def landed(spark, table):
    rows = spark.table(table).orderBy("offset").select("offset", "message_id").collect()
    assert [row["offset"] for row in rows] == list(range(len(rows)))
    return [row["message_id"] for row in rows]


def test_every_mode_reads_what_has_landed(harness, define, rabbitmq, queue, table, open_log, mode, spark):
    placed = harness.place(define(COUNTS.format(queue=queue, table=table)))
    rabbitmq.publish(queue, [b"no json"], ids=["broken"])
    put(rabbitmq, queue, NAMES, ("01:10", "02:10", "02:20"))
    report = harness.run_again(placed, {"orders": open_log()}, mode, complete=True)
    assert {r["window"]["start"].strftime("%H"): r["n"] for r in harness.table(placed).collect()} == {
        "01": 4,
        "02": 8,
    }
    assert (report.accounts.read, report.accounts.dead) == (13, 1)
    assert rabbitmq.waiting(queue) == 0
    put(rabbitmq, queue, ["later"], ("03:10",))
    again = harness.run_again(placed, {"orders": open_log()}, mode, complete=True)
    assert again.accounts.read == 1


def test_a_record_says_where_it_comes_from(rabbitmq, queue, open_log, spark):
    put(rabbitmq, queue, ["one"])
    log = open_log()
    before = time.time_ns() // 1_000
    assert log.land() == 1
    row = log.read(spark, log.begins(), log.ends().offsets).first()
    assert (bytes(row["key"]).decode(), row["topic"], row["partition"], row["offset"]) == (queue, queue, 0, 0)
    assert bytes(row["value"]) == body()
    arrival = log.latest_arrivals(log.ends().offsets)[0]
    assert before <= arrival <= time.time_ns() // 1_000
    assert log.earliest_arrivals() == {0: arrival}
    assert log.offsets_at(arrival, log.ends().offsets)[0] == 0
    assert log.offsets_at(arrival + 1, log.ends().offsets)[0] == 1


def test_what_comes_again_after_a_crash_is_not_landed_again(
    rabbitmq, queue, table, open_log, spark, monkeypatch
):
    put(rabbitmq, queue, NAMES)
    with monkeypatch.context() as patched:
        patched.setattr(Queue, "acknowledge", _dies)
        with pytest.raises(ZeroDivisionError):
            open_log().land()
    assert len(landed(spark, table)) == len(NAMES)
    put(rabbitmq, queue, ["new"])
    assert open_log().land() == 1
    assert landed(spark, table) == [*NAMES, "new"]
    assert rabbitmq.waiting(queue) == 0


def test_what_was_not_landed_before_a_crash_comes_again(rabbitmq, queue, table, open_log, spark, monkeypatch):
    put(rabbitmq, queue, NAMES)
    with monkeypatch.context() as patched:
        patched.setattr(LandingTable, "land", _dies)
        with pytest.raises(ZeroDivisionError):
            open_log().land()
    assert landed(spark, table) == []
    assert open_log().land() == len(NAMES)
    assert sorted(landed(spark, table)) == sorted(NAMES)


def test_a_publisher_that_repeats_an_id_is_heard_once_and_one_without_ids_each_time(
    rabbitmq, queue, table, open_log, spark
):
    put(rabbitmq, queue, ["twice", "twice"])
    rabbitmq.publish(queue, [body(), body()])
    assert open_log().land() == 3
    put(rabbitmq, queue, ["twice"])
    assert open_log().land() == 0
    assert landed(spark, table) == ["twice", None, None]


def test_landers_beside_each_other_number_no_two_messages_alike(spark, table):
    def message(name):
        return Message(b"k", b"v", [], name)

    one, other = (LandingTable(spark, table, "q") for _ in range(2))
    with ThreadPoolExecutor(2) as pool:
        for n in range(3):
            both = [
                pool.submit(lander.land, [message(f"{label}{n}-{i}") for i in range(5)])
                for label, lander in (("a", one), ("b", other))
            ]
            assert [future.result() for future in both] == [5, 5]
    assert len(set(landed(spark, table))) == 30
    one.close()
    other.close()


def test_a_lander_that_was_taken_for_dead_finds_its_messages_landed(spark, table):
    messages = [Message(b"k", b"v", [], name) for name in NAMES]
    zombie, heir = (LandingTable(spark, table, "q") for _ in range(2))
    assert zombie.land(messages[:1]) == 1
    assert heir.land(messages) == len(messages) - 1  # the broker has delivered them again
    assert zombie.land(messages[1:]) == 0
    assert landed(spark, table) == NAMES
    zombie.close()
    heir.close()


def test_a_stream_lands_and_transforms_in_one_process_and_ends_where_the_broker_dies(
    harness, define, rabbitmq, queue, table, open_log, spark, await_
):
    placed = harness.place(
        define(
            COUNTS.format(queue=queue, table=table)
            .replace(
                'groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))', 'select("k", "at")'
            )
            .replace('"window"', '"at"')
            .replace('keys=["k", "at"]', "")
        )
    )
    put(rabbitmq, queue, NAMES[:3])
    log = open_log()
    stop = threading.Event()

    def stream():
        with harness.job(placed, {"orders": log}, MODES["continuous"]) as job, landing.beside(job, stop):
            request = continuous.Request(mode=MODES["continuous"], grid=MODES["hourly"].grid("UTC"))
            continuous.run(job, request, stop)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream)
        try:
            await_(lambda: spark.catalog.tableExists(placed.sink.table), running)
            await_(lambda: harness.table(placed).count() == 3, running)
            put(rabbitmq, queue, NAMES[3:6])
            await_(lambda: harness.table(placed).count() == 6, running)
            rabbitmq.kill()
            with pytest.raises(UnavailableError) as caught:
                running.result(timeout=60)
        finally:
            stop.set()
        assert caught.value.exit_status == 3
    rabbitmq.start()
    put(rabbitmq, queue, NAMES[6:])
    harness.run_again(placed, {"orders": open_log()}, MODES["continuous"])
    assert harness.table(placed).count() == len(NAMES)
    assert sorted(landed(spark, table)) == sorted(NAMES)


def test_an_empty_id_is_none_and_odd_bytes_are_landed(rabbitmq, queue, table, open_log, spark):
    put(rabbitmq, queue, ["", ""])
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        odd = pika.BasicProperties(message_id="x", headers={"n": 7, "raw": b"\xff", "none": None})
        connection.channel().basic_publish("", queue, b"\xff\x00", odd)
    assert open_log().land() == 3
    assert landed(spark, table) == [None, None, "x"]
    headers = spark.table(table).orderBy("offset").collect()[-1]["headers"]
    assert {h["key"]: bytes(h["value"]) for h in headers} == {"n": b"7", "raw": b"\xff", "none": b"None"}


def test_a_header_that_pika_cannot_read_does_not_block_the_queue(
    rabbitmq, queue, table, open_log, spark, monkeypatch
):
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        connection.channel().queue_declare(queue, durable=True)
        told = {
            "later": datetime(2013, 2, 1),
            "list": [True, {"a": Decimal("1.5")}],
            "text": "ż",
            "none": None,
        }
        odd = pika.BasicProperties("text/plain", headers=told, message_id="x", delivery_mode=2)
        with monkeypatch.context() as patched:
            patched.setattr(
                "calendar.timegm", lambda _: 253_402_300_800
            )  # the first second of the year 10000
            connection.channel().basic_publish("", queue, body(), odd)
    put(rabbitmq, queue, ["y"])
    assert open_log().land() == 2
    assert landed(spark, table) == ["x", "y"]
    headers = spark.table(table).orderBy("offset").first()["headers"]
    assert {h["key"]: bytes(h["value"]).decode() for h in headers} == {
        "later": "253402300800",
        "list": "[True, {'a': Decimal('1.5')}]",
        "text": "ż",
        "none": "None",
    }
    assert rabbitmq.waiting(queue) == 0


def test_large_messages_land_in_parts(rabbitmq, queue, table, open_log, spark):
    rabbitmq.publish(queue, [b"x" * 9_000_000] * 8)
    assert open_log().land() == 8
    assert landed(spark, table) == [None] * 8
    assert spark.sql(f"SELECT * FROM {table}.snapshots").count() >= 3  # the first one is empty


def test_a_queue_that_is_deleted_under_a_stream_ends_it(rabbitmq, queue, open_log, await_):
    put(rabbitmq, queue, ["one"])
    log = open_log()
    with ThreadPoolExecutor(1) as pool:
        ended = threading.Event()
        running = pool.submit(log.land_until, ended)
        await_(lambda: log.ends().offsets[0] == 1, running)
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
            connection.channel().queue_delete(queue)
        try:
            with pytest.raises(UnavailableError, match="no longer delivers"):
                running.result(timeout=30)
        finally:
            ended.set()


def test_a_landing_table_belongs_to_one_queue(rabbitmq, queue, table, open_log, spark):
    open_log()
    with pytest.raises(DefinitionError, match=f"belongs to the queue '{queue}'"):
        LandingTable(spark, table, "another")


def test_a_stream_goes_on_after_expiry_has_taken_what_it_began_with(
    harness, define, rabbitmq, queue, table, open_log, spark
):
    placed = harness.place(define(COUNTS.format(queue=queue, table=table)))
    put(rabbitmq, queue, NAMES[:4], ("01:10", "02:10"))
    harness.run_again(placed, {"orders": open_log()}, MODES["continuous"])
    put(rabbitmq, queue, NAMES[4:6], ("01:10",))
    log = open_log()
    log.land()
    current = java_table(spark, table).currentSnapshot()
    spark.sql(
        f"CALL lake.system.expire_snapshots(table => '{table}', retain_last => 2, "
        f"older_than => TIMESTAMP '{instant.iso(current.timestampMillis() * 1_000)}')"
    )
    put(rabbitmq, queue, NAMES[6:], ("05:10",))
    harness.run_again(placed, {"orders": open_log()}, MODES["continuous"], complete=True)
    assert {r["window"]["start"].strftime("%H"): r["n"] for r in harness.table(placed).collect()} == {
        "01": 4,
        "02": 2,
        "05": 6,
    }


def test_numbers_go_on_where_they_were_after_old_messages_were_deleted_and_expired(
    rabbitmq, queue, table, open_log, spark
):
    put(rabbitmq, queue, NAMES[:4])
    open_log().land()
    spark.sql(f"DELETE FROM {table}")
    later = java_table(spark, table).currentSnapshot().timestampMillis() + 1
    java_table(spark, table).expireSnapshots().expireOlderThan(later).retainLast(1).commit()
    assert open_log().ends().offsets[0] == 4
    put(rabbitmq, queue, NAMES[4:6])
    assert open_log().land() == 2
    assert [row["offset"] for row in spark.table(table).orderBy("offset").collect()] == [4, 5]
    assert open_log().begins()[0] == 4


def test_a_queue_or_a_user_that_is_not_there_is_named_without_the_password(rabbitmq, queue, open_log):
    with pytest.raises(UnavailableError, match=f"no queue '{queue}'"):
        open_log().land()
    wrong = rabbitmq.url.replace("guest:guest", "guest:hunter2")
    with pytest.raises(ConfigError, match="refuses this user") as caught:
        open_log(url=wrong).land()
    assert "hunter2" not in str(caught.value)
    for wrong in ("amqp://guest:hun#ter2@127.0.0.1:1/x", "http://guest:hunter2@127.0.0.1/"):
        with pytest.raises(ConfigError, match="no AMQP URL") as caught:
            open_log(url=wrong).land()
        assert "hun" not in str(caught.value)
    with pytest.raises(UnavailableError, match="no RabbitMQ broker answers"):
        open_log(url="amqp://guest:hunter2@127.0.0.1:1/%2F").land()


def _dies(*_):
    raise ZeroDivisionError
