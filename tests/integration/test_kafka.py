"""A real broker: offsets, arrivals, and each thing that can be wrong with a topic."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from headway import instant, sources
from headway.errors import CallError, LostDataError, UnavailableError
from headway.offsets import Offsets
from headway.project import Project
from headway.run import erasing

pytestmark = pytest.mark.servers
START = instant.parse("2013-02-01T00:00:00Z")


@pytest.fixture
def topic(broker, request):
    name = f"t{time.time_ns()}"
    admin = KafkaAdminClient(bootstrap_servers=broker.servers)
    admin.create_topics([NewTopic(name, 3, 1, topic_configs={"retention.ms": "-1"})])
    admin.wait_for_topics([name])
    yield name
    admin.delete_topics([name])
    admin.close()


@pytest.fixture
def send(broker, topic):
    producer = KafkaProducer(bootstrap_servers=broker.servers, max_request_size=16_000_000)

    def go(value, minute, partition=0, headers=()):
        data = json.dumps(value).encode() if isinstance(value, dict) else value
        at = START // 1_000 + minute * 60_000
        producer.send(
            topic, value=data, key=b"k", partition=partition, timestamp_ms=at, headers=list(headers)
        )
        producer.flush()

    yield go
    producer.close()


def opened(broker, topic):
    return sources.Kafka(topic, schema="at timestamp", event_time="at").open(
        {"bootstrap_servers": broker.servers}, lambda: None
    )


def test_offsets_and_arrivals_are_the_brokers(broker, topic, send):
    for minute in range(5):
        send({"n": minute}, minute)
    send({"n": 9}, 2, partition=1)
    log = opened(broker, topic)
    ends = log.ends()
    assert ends.offsets == Offsets({0: 5, 1: 1, 2: 0})
    assert ends.settled == {0, 1, 2}
    assert log.begins() == Offsets({0: 0, 1: 0, 2: 0})
    assert log.offsets_at(START + 120 * instant.SECOND, ends.offsets) == Offsets({0: 2, 1: 0, 2: 0})
    assert log.offsets_at(START + 9_999 * instant.SECOND, ends.offsets) == ends.offsets
    assert log.latest_arrivals(ends.offsets) == {
        0: START + 240 * instant.SECOND,
        1: START + 120 * instant.SECOND,
    }
    assert log.earliest_arrivals()[0] == START
    log.close()


def test_arrivals_below_an_end_that_lies_before_the_logs_own(broker, topic, send):
    """What lies behind the end that a run has resolved must not hide what lies before it."""
    for minute in range(5):
        send({"n": minute}, minute)
    log = opened(broker, topic)
    cut = Offsets({0: 3, 1: 0, 2: 0})
    assert log.latest_arrivals(cut) == {0: START + 120 * instant.SECOND}
    log.close()


def test_a_stream_ends_at_a_cut_with_everything_before_it_published(
    broker, topic, send, spark, define, harness
):
    """`verify` cuts the log where later records cannot matter; the rest of it goes on behind the cut."""
    from headway.interval import Interval
    from headway.run.verify import verify
    from headway.testing import MODES

    for minute in range(0, 12 * 60, 10):
        send(
            {"n": 1, "at": instant.iso(START + minute * 60 * instant.SECOND)},
            minute,
            partition=minute // 10 % 2,
        )
    log = opened(broker, topic)
    pipeline = define(PIPELINE.format(topic=topic, kind="timestamp"))
    span = Interval(START + 3_600_000_000, START + 4 * 3_600_000_000)
    verdict = verify(
        spark, pipeline, {"s": log}, {m: MODES[m] for m in ("hourly", "continuous")}, span, zone="UTC"
    )
    assert verdict.agree
    assert [m["rows"] for m in verdict.modes] == [3, 3]
    log.close()


def test_a_record_of_a_topic_comes_in_by_decision(broker, topic, send, spark, define, harness):
    from headway.run.books import Books
    from headway.testing import MODES

    placed = harness.place(define(PIPELINE.format(topic=topic, kind="timestamp")))
    log = opened(broker, topic)
    for minute, arrived in ((10, 10), (20, 300), (240, 301), (500, 501)):
        send({"n": 1, "at": instant.iso(START + minute * 60 * instant.SECOND)}, arrived)

    def counts():
        harness.run_again(placed, {"s": log}, MODES["hourly"], complete=True)
        return {r["window"]["start"].hour: r["n"] for r in harness.table(placed).collect()}

    assert counts() == {0: 1, 8: 1}
    books = Books(spark, placed.name, placed.sink.table)
    held = spark.table(books.name("quarantine")).select("source", "log", "topic", "partition", "offset")
    assert books.decide(held, decision="replay", by="a test") == (1, 2)
    assert counts() == {0: 2, 4: 1, 8: 1}
    log.close()


def test_a_range_is_read_with_bytes_headers_and_place(broker, topic, send, spark):
    send({"n": 1}, 0)
    send(b"\xff\x00", 1, headers=[("h", b"x")])
    send(None, 2)
    log = opened(broker, topic)
    rows = log.read(spark, Offsets({0: 1, 1: 0, 2: 0}), Offsets({0: 3, 1: 0, 2: 0})).collect()
    assert [(r["offset"], r["value"]) for r in sorted(rows, key=lambda r: r["offset"])] == [
        (1, b"\xff\x00"),
        (2, None),
    ]
    assert rows[0]["headers"][0]["key"] == "h"
    log.close()


def test_an_open_transaction_is_not_settled(broker, topic, send):
    send({"n": 1}, 0)
    producer = KafkaProducer(bootstrap_servers=broker.servers, transactional_id=f"x{time.time_ns()}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, value=b"{}", partition=0).get(timeout=30)
    log = opened(broker, topic)
    during = log.ends()
    producer.commit_transaction()
    producer.close()
    assert during.offsets[0] == 1
    assert 0 not in during.settled
    log.close()


def test_a_missing_topic_is_named_with_those_that_exist(broker, topic):
    with pytest.raises(UnavailableError, match=f"no topic '{topic}x'") as caught:
        opened(broker, topic + "x")
    assert topic in str(caught.value)


def test_a_broker_that_is_away_is_named():
    class Away:
        servers = "127.0.0.1:1"

    with pytest.raises(UnavailableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        opened(Away, "t")


def test_records_that_retention_has_eaten_are_never_skipped_silently(broker, topic, send, spark):
    from kafka import TopicPartition

    for minute in range(4):
        send({"n": minute}, minute)
    admin = KafkaAdminClient(bootstrap_servers=broker.servers)
    admin.delete_records({TopicPartition(topic, 0): 3})
    admin.close()
    log = opened(broker, topic)
    with pytest.raises(
        LostDataError, match=r"retention has eaten .* \(partition 0: 1 wanted, 3 is the first left"
    ):
        log.read(spark, Offsets({0: 1, 1: 0, 2: 0}), Offsets({0: 4, 1: 0, 2: 0}))
    log.close()


def test_a_partition_that_retention_has_emptied_is_intact_since_the_retention_time(broker, topic, send):
    """Else an idle partition would keep a stream from starting for ever."""
    import time

    from kafka import TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType

    for minute in range(4):
        send({"n": minute}, minute)
    log = opened(broker, topic)
    assert log.intact_since() == {}
    admin = KafkaAdminClient(bootstrap_servers=broker.servers)
    admin.delete_records({TopicPartition(topic, 0): 2})
    assert log.intact_since() == {0: log.earliest_arrivals()[0]}
    admin.delete_records({TopicPartition(topic, 0): 4})
    week = {"retention.ms": str(7 * 86_400_000), "retention.bytes": "-1"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=week)])
    admin.close()
    since = log.intact_since()[0]
    log.close()
    assert abs(time.time() - 7 * 86_400 - since / 1_000_000) < 60


PIPELINE = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("{topic}", schema="n int, at {kind}", event_time="at", lateness="30 minutes",
                              late="quarantine", clock="log", disorder="0 seconds")}},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.{topic}", keys=["window"])],
)
def p(s):
    return s.groupBy(F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""


@pytest.mark.parametrize("mode_name", ["hourly", "continuous"])
def test_bad_records_are_counted_dead_letters_and_nothing_is_lost(
    broker, topic, send, spark, harness, define, mode_name
):
    from headway.testing import MODES

    for minute in (10, 20, 30):
        send({"n": 1, "at": START // 1_000 + minute * 60_000}, minute)
    bad = [
        b'{"n": 1, "at"',
        b'{"n": 1, "at": null}',
        b'{"n": 1}',
        b'{"n": 1, "at": 9223372036854775807}',
        b'{"n": 1, "at": -9223372036854775808}',
        b'{"n": "x", "at": 1359676800000}',
        b"\xff\xfe",
        b"[]",
        b"x" * 5_000_000,
    ]
    for value in bad:
        send(value, 31)
    send(None, 32)
    send({"n": 1, "at": START // 1_000}, 59)
    send({"n": 1, "at": START // 1_000 + 300 * 60_000}, 60)
    send({"n": 1, "at": START // 1_000 + 180 * 60_000}, 180)
    placed = harness.place(define(PIPELINE.format(topic=topic, kind="bigint")))
    log = opened(broker, topic)
    report = harness.run_again(placed, {"s": log}, MODES[mode_name], max_records_per_batch=4)
    accounts = report.accounts
    assert accounts.balance() == 0
    assert (accounts.read, accounts.admitted, accounts.dead) == (16, 4, len(bad))
    assert (accounts.tombstones, accounts.late, accounts.early) == (1, 1, 1)
    assert accounts.quarantined == len(bad) + 2
    with harness.job(placed, {"s": log}, MODES["hourly"]) as job:
        kept = spark.table(job.books.name("quarantine")).collect()
    assert len(kept) == accounts.quarantined
    assert max(len(r["value"]) for r in kept) == 5_000_000
    assert [r["n"] for r in harness.table(placed).collect()] == [3]
    log.close()


def test_too_many_dead_letters_stop_the_run_before_anything_is_published(
    broker, topic, send, harness, define
):
    from headway.errors import RejectedDataError
    from headway.testing import MODES

    for minute in range(20):
        send(b"broken", minute)
    send({"n": 1, "at": "2013-02-01T00:10:00Z"}, 10)
    send({"n": 1, "at": "2013-02-01T05:10:00Z"}, 310)
    log = opened(broker, topic)
    for mode in (MODES["hourly"], MODES["continuous"]):
        placed = harness.place(define(PIPELINE.format(topic=topic, kind="timestamp")))
        with pytest.raises(RejectedDataError, match=r"20 of the 21 records .* nothing was published"):
            harness.run_again(placed, {"s": log}, mode)
        assert harness.table(placed).count() == 0
    log.close()


ORDERS = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"orders": sources.Kafka("TOPIC", schema="n int, at timestamp", event_time="at", archive="lake.archive.TABLE")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.orders")],
)
def orders(orders):
    return orders.select("n", "at")
"""


def test_records_of_a_key_are_erased_from_the_archive_of_a_topic(
    spark, project_copy, broker, topic, tmp_path
):
    for name in ("modes", "conf"):
        shutil.copytree(project_copy / name, tmp_path / name)
    local = tmp_path / "conf" / "local.yaml"
    local.write_text(
        local.read_text().replace("bootstrap_servers: embedded", f"bootstrap_servers: {broker.servers}")
    )
    (tmp_path / "pipelines").mkdir()
    text = ORDERS.replace("TOPIC", topic).replace("TABLE", topic)
    (tmp_path / "pipelines" / "orders.py").write_text(text)
    producer = KafkaProducer(bootstrap_servers=broker.servers)
    for n, key in enumerate((b"a", b"b", b"b", None)):
        value = json.dumps({"n": n, "at": instant.iso(START)}).encode()
        producer.send(topic, value=value, key=key, timestamp_ms=START // 1_000)
    producer.close()
    owner, archive, said = Project(tmp_path, "local"), f"lake.archive.{topic}", []
    report = erasing.erase(spark, owner, archive, b"b", say=said.append)
    assert report.to_json() == {
        "archive": archive,
        "records": 2,
        "quarantined": 0,
        "hours": [{"start": "2013-02-01T00:00:00Z", "end": "2013-02-01T01:00:00Z"}],
        "pipelines": ["orders"],
    }
    assert said == ["4 new records are taken in"]
    left = [r["key"] for r in spark.table(archive).collect()]
    assert {key and bytes(key) for key in left} == {None, b"a"}
    assert len(left) == 2
    assert erasing.erase(spark, owner, archive, b"b", say=said.append).records == 0
    with pytest.raises(CallError, match="no source"):
        erasing.erase(spark, owner, "lake.archive.other", b"b", say=said.append)
