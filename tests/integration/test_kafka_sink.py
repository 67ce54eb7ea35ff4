"""A topic holds what the table of record holds, each change once, after every commit and every crash."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest
from kafka import KafkaConsumer, TopicPartition

from headway.errors import DefinitionError, ResultError, UnavailableError
from headway.sinks import Kafka, kafka_topic
from headway.testing import MODES, Harness, MemoryLog
from headway.testing.sink_suite import CrashedError, SinkSuite, counts

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def records(servers, topic):
    """Return every committed record: partition, key, value, headers."""
    reader = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
    )
    try:
        places = [TopicPartition(topic, p) for p in reader.partitions_for_topic(topic) or ()]
        reader.assign(places)
        reader.seek_to_beginning()
        ends = reader.end_offsets(places)
        found = []
        while any(reader.position(p) < ends[p] for p in places):
            for place, batch in reader.poll(1000).items():
                found += [
                    (place.partition, json.loads(r.key), r.value and json.loads(r.value), dict(r.headers))
                    for r in batch
                ]
        return found
    finally:
        reader.close()


def latest(servers, topic):
    """Return the last value of each key."""
    state = {}
    for _, key, value, _ in records(servers, topic):
        state[json.dumps(key)] = value
    return [v for v in state.values() if v is not None]


class TestKafka(SinkSuite):
    @pytest.fixture
    def sink(self):
        return Kafka(f"counts-{uuid.uuid4().hex[:8]}", slices=2)

    @pytest.fixture
    def settings(self, broker):
        return {"kafka": {"bootstrap_servers": broker.start()}}

    def held(self, spark, sink, settings):
        rows = latest(settings["kafka"]["bootstrap_servers"], sink.table)
        return [(r["k"], datetime.fromisoformat(r["window"]["start"]), r["n"]) for r in rows]


@pytest.fixture
def topics(spark, broker):
    made = Harness(spark, settings={"kafka": {"bootstrap_servers": broker.start()}})
    yield made
    made.close()


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=2)
    yield made
    made.close()


def put(log, *times, key="a"):
    for time in times:
        at = f"2013-02-01T{time}:00Z"
        log.append({"k": key, "at": at}, arrival=at)


def place(harness, **options):
    alone = harness.place(counts("final"))
    return replace(alone, outputs=(alone.sink, Kafka(f"t-{uuid.uuid4().hex[:8]}", **options)))


def crash_in_slices(patched, after):
    """Have the process die when some slices are committed and others are not."""
    advances, done = kafka_topic.Slice.advance, []

    def advance(self, *change):
        if len(done) == after:
            raise CrashedError("crashed on purpose")
        done.append(1)
        advances(self, *change)

    patched.setattr(kafka_topic.Slice, "advance", advance)
    patched.setattr(kafka_topic, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))


@pytest.mark.parametrize(("kind", "slices_done"), [("hourly", 1), ("hourly", 2), ("continuous", 1)])
def test_a_crash_between_slices_sends_no_row_twice(topics, broker, log, monkeypatch, kind, slices_done):
    placed = place(topics, slices=3)
    for key in "abcdefgh":
        put(log, "01:10", "02:10", key=key)
    put(log, "05:30")
    topics.run_again(placed, {"s": log}, MODES[kind])
    for key in "abcdefgh":
        put(log, "06:10", key=key)
    put(log, "09:30")
    with monkeypatch.context() as patched:
        crash_in_slices(patched, slices_done)
        with pytest.raises(CrashedError):
            topics.run_again(placed, {"s": log}, MODES[kind])
    put(log, "10:30", "14:30")
    topics.run_again(placed, {"s": log}, MODES[kind])
    found = Counter(
        (k["k"], k["window"]["start"]) for _, k, _, _ in records(broker.start(), placed.outputs[1].table)
    )
    assert set(found.values()) == {1}
    assert len(found) == topics.table(placed).count() == 8 * 3 + 3


def test_an_open_transaction_of_a_dead_run_is_ended_by_the_next(topics, broker, log, monkeypatch):
    placed = place(topics, slices=1)
    put(log, "01:10", "05:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "06:10", "09:30")

    def dies(_):
        raise CrashedError("crashed on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(kafka_topic.Slice, "_commit", dies)
        with pytest.raises(CrashedError):
            topics.run_again(placed, {"s": log}, MODES["hourly"])
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    found = Counter(k["window"]["start"] for _, k, _, _ in records(broker.start(), placed.outputs[1].table))
    assert set(found.values()) == {1}
    assert len(found) == topics.table(placed).count()


def test_a_writer_that_was_fenced_off_commits_nothing(broker, topics, log):
    from headway.sink import Applied
    from headway.sinks.kafka_slice import Slice, SliceMovedError

    placed = place(topics, slices=1)
    put(log, "01:10", "05:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    topic = placed.outputs[1].table
    client = {"bootstrap.servers": broker.start(), "log_level": 0}
    with topics.job(placed, {"s": log}, MODES["hourly"]) as job:
        (follower,) = job.followers
        since = follower.applied()
    to = Applied(snapshot=1, sequence=since.sequence + 1, closed_through=since.closed_through)
    before = records(broker.start(), topic)
    zombie = Slice(client, topic, f"{topic}.headway", 0)
    successor = Slice(client, topic, f"{topic}.headway", 0)
    with pytest.raises(SliceMovedError):
        zombie.advance(since, to, [(b'"k"', b'"zombie"', None, [])])
    successor.advance(since, to, [(b'"k"', b'"successor"', None, [])])
    assert [v for _, _, v, _ in records(broker.start(), topic) if isinstance(v, str)] == ["successor"]
    assert len(records(broker.start(), topic)) == len(before) + 1


def test_a_correction_sends_only_what_has_changed(topics, broker, log):
    placed = place(topics)
    for key in "abc":
        put(log, "01:10", key=key)
    put(log, "05:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    log.append({"k": "b", "at": "2013-02-01T01:20:00Z"}, arrival="2013-02-01T05:00:00Z")
    put(log, "06:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    sent = [
        (k["k"], v["n"])
        for _, k, v, _ in records(broker.start(), placed.outputs[1].table)
        if v["window"]["start"].startswith("2013-02-01T01")
    ]
    assert sorted(sent) == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]


def test_headers_and_partitions_are_chosen_by_columns(topics, broker, log, monkeypatch):
    placed = place(topics, headers=["k", "n"], partition_by=["k"])
    for key in "abcdef":
        put(log, "01:10", "02:10", "03:10", key=key)
    put(log, "05:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    found = records(broker.start(), placed.outputs[1].table)
    assert all(headers == {"k": k["k"].encode(), "n": b"1"} for _, k, _, headers in found)
    assert len({(k["k"], partition) for partition, k, _, _ in found}) == 6


def test_what_executors_send_is_what_the_driver_sends(topics, broker, log, monkeypatch):
    monkeypatch.setattr(kafka_topic, "_SMALL", 0)
    placed = place(topics)
    for key in "abcdef":
        put(log, "01:10", key=key)
    put(log, "05:30")
    topics.run_again(placed, {"s": log}, MODES["continuous"])
    found = Counter(
        (k["k"], k["window"]["start"]) for _, k, _, _ in records(broker.start(), placed.outputs[1].table)
    )
    assert set(found.values()) == {1}
    assert len(found) == topics.table(placed).count() == 6


def test_without_transactions_a_crash_repeats_records_under_the_same_id(topics, broker, log, monkeypatch):
    placed = place(topics, delivery="at_least_once")
    put(log, "01:10", "02:10", "05:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "06:10", "09:30")
    writes = kafka_topic.KafkaTopic._write_notes

    def dies(self, note):
        if note.begun is None:
            raise CrashedError("crashed on purpose")
        writes(self, note)

    with monkeypatch.context() as patched:
        patched.setattr(kafka_topic.KafkaTopic, "_write_notes", dies)
        with pytest.raises(CrashedError):
            topics.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "10:30", "14:30")
    topics.run_again(placed, {"s": log}, MODES["hourly"])
    found = records(broker.start(), placed.outputs[1].table)
    ids = Counter(headers["headway-id"] for *_, headers in found)
    assert set(ids.values()) == {1, 2}
    assert len(ids) == topics.table(placed).count() == len({json.dumps(key) for _, key, _, _ in found})


def test_brokers_that_are_away_are_worth_trying_again(spark, log):
    away = Harness(spark, settings={"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    with pytest.raises(UnavailableError, match="cannot be used") as caught:
        away.run_again(place(away), {"s": log}, MODES["hourly"])
    away.close()
    assert caught.value.exit_status == 3


def test_a_header_that_is_no_column_stops_the_run(topics, log):
    with pytest.raises(ResultError, match="'colour'"):
        topics.run_again(place(topics, headers=["colour"]), {"s": log}, MODES["hourly"])


def test_keys_are_needed(define):
    text = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="at timestamp", event_time="at")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t"), sinks.Kafka("t")],
)
def p(s):
    return s.select("at")
"""
    with pytest.raises(DefinitionError, match="needs keys on the Iceberg table"):
        define(text)
    with pytest.raises(DefinitionError, match="partitioned by 'colour', which is none of the keys"):
        define(
            text.replace('"lake.n.t"', '"lake.n.t", keys=["at"]').replace(
                'sinks.Kafka("t"', 'sinks.Kafka("t", partition_by=["colour"]'
            )
        )
