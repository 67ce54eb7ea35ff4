"""Which version of a lookup a record sees depends on the record, in every mode and on every rerun."""

from __future__ import annotations

import time
import uuid

import pytest

from headway import instant
from headway.catalog import java_table
from headway.errors import UnavailableError
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow

PIPELINE = """
from headway import Lookup, pipeline, sinks, sources

@pipeline(
    inputs={{
        "s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="30 days", clock="log"),
        "names": Lookup("{table}", refresh="1 second", settle="0 seconds"),
    }},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s, names):
    return s.join(names, "k", "left").select("at", "k", "name")
"""


WINDOWED = """
from pyspark.sql import functions as F
from headway import Lookup, pipeline, sinks, sources

@pipeline(
    inputs={{
        "s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour", clock="log"),
        "names": Lookup("{table}", refresh="1 second", settle="0 seconds"),
    }},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s, names):
    return s.join(names, "k", "left").groupBy("name", F.window("at", "1 hour")).count()
"""


@pytest.fixture
def names(spark):
    """A lookup of two versions: its name, and an instant at which the first one counts."""
    table = f"lake.dim.names_{uuid.uuid4().hex[:8]}"
    spark.sql(f"CREATE TABLE {table} (k string, name string) USING iceberg")
    spark.sql(f"INSERT INTO {table} VALUES ('a', 'old')")
    first = time.time_ns() // 1_000
    time.sleep(2.2)  # the versions have to be more than one refresh apart
    spark.sql(f"INSERT OVERWRITE {table} VALUES ('a', 'new')")
    return table, first


def test_a_stream_with_state_passes_on_to_a_successor_at_a_new_version(harness, define, names, mode):
    table, first = names
    hour = instant.duration("1 hour")
    log = MemoryLog("s", partitions=2)
    for number in range(-4, 6):
        at = first + number * hour
        log.append({"k": "a", "at": instant.iso(at)}, arrival=at, partition=number % 2)
    placed = harness.place(define(WINDOWED.format(table=table)))
    harness.run_again(placed, {"s": log}, mode, complete=True, max_records_per_batch=2)
    rows = [(r["window"]["end"], r["name"], r["count"]) for r in harness.table(placed).collect()]
    log.close()
    boundary = instant.to_datetime(first).replace(tzinfo=None)
    assert len(rows) == 10
    assert all(name == ("old" if end <= boundary else "new") and n == 1 for end, name, n in rows)
    assert {name for _, name, _ in rows} == {"old", "new"}


def test_records_before_and_after_a_new_version_see_their_own(spark, harness, define, names, mode):
    table, first = names
    log = MemoryLog("s", partitions=1)
    hour = instant.duration("1 hour")
    for at in (first - hour, first, first + 10 * hour):
        log.append({"k": "a", "at": instant.iso(at // 1_000 * 1_000)}, arrival=at)
    rows = harness.run(define(PIPELINE.format(table=table)), {"s": log}, mode).collect()
    assert [r["name"] for r in sorted(rows, key=lambda r: r["at"])] == ["old", "old", "new"]
    tags = {r["name"] for r in spark.table(f"{table}.refs").collect() if r["type"] == "TAG"}
    assert len(tags) == 2
    log.close()


def test_a_stream_that_catches_up_beyond_a_new_version_passes_on(harness, define, names):
    """What the mode before it shows reaches further than the lookup's version that it began with."""
    table, first = names
    text = WINDOWED.format(table=table).replace(
        'lateness="1 hour"', 'lateness="10 hours", disorder="0 seconds"'
    )
    text = text.replace('output_time="window",', 'output_time="window", emit="early",')
    text = text.replace('"lake.n.t")', '"lake.n.t", keys=["name", "window"])')
    placed = harness.place(define(text))
    log = MemoryLog("s", partitions=1)
    for number in range(-4, 16):
        at = first + number * instant.duration("1 hour")
        log.append({"k": "a", "at": instant.iso(at)}, arrival=at)
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    before = harness.table(placed).count()
    harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True, max_records_per_batch=2)
    rows = [(r["window"]["end"], r["name"], r["count"]) for r in harness.table(placed).collect()]
    log.close()
    boundary = instant.to_datetime(first).replace(tzinfo=None)
    assert before == len(rows) == 20
    assert all(name == ("old" if end <= boundary else "new") and n == 1 for end, name, n in rows)


@pytest.mark.parametrize("kind", ["hourly", "continuous"])
def test_a_lookup_that_was_never_loaded_is_waited_for(spark, harness, define, kind):
    table = f"lake.dim.names_{uuid.uuid4().hex[:8]}"
    spark.sql(f"CREATE TABLE {table} (k string, name string) USING iceberg")
    log = MemoryLog("s")
    log.append({"k": "a", "at": "2013-02-01T01:10:00Z"}, arrival=instant.parse("2013-02-01T01:10:00Z"))
    with pytest.raises(UnavailableError, match="has never been loaded"):
        harness.run(define(PIPELINE.format(table=table)), {"s": log}, MODES[kind])
    log.close()


def test_a_version_that_was_used_is_found_behind_an_unused_one_that_has_expired(spark, harness, define):
    table = f"lake.dim.names_{uuid.uuid4().hex[:8]}"
    spark.sql(f"CREATE TABLE {table} (k string, name string) USING iceberg")
    spark.sql(f"INSERT INTO {table} VALUES ('a', 'first')")
    at = time.time_ns() // 1_000 // 1_000 * 1_000
    log = MemoryLog("s")
    log.append({"k": "a", "at": instant.iso(at)}, arrival=at)
    harness.run(define(PIPELINE.format(table=table)), {"s": log}, MODES["hourly"])
    for name in ("unused", "newest"):
        time.sleep(1.2)  # the versions have to be more than one refresh apart
        spark.sql(f"INSERT OVERWRITE {table} VALUES ('a', '{name}')")
    unused = spark.sql(f"SELECT snapshot_id FROM {table}.snapshots ORDER BY committed_at").collect()[1][0]
    java_table(spark, table).expireSnapshots().expireSnapshotId(unused).commit()
    rows = harness.run(define(PIPELINE.format(table=table)), {"s": log}, MODES["daily"]).collect()
    log.close()
    assert [r["name"] for r in rows] == ["first"]


def test_a_stream_goes_on_after_a_lookup_was_loaded_anew(spark, harness, define):
    table = f"lake.dim.names_{uuid.uuid4().hex[:8]}"
    spark.sql(f"CREATE TABLE {table} (k string, name string) USING iceberg")
    spark.sql(f"INSERT INTO {table} VALUES ('a', 'old')")
    first = time.time_ns() // 1_000
    placed = harness.place(define(PIPELINE.format(table=table)))
    log = MemoryLog("s")
    log.append({"k": "a", "at": instant.iso(first // 1_000 * 1_000)}, arrival=first)
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    time.sleep(2.2)  # the versions have to be more than one refresh apart
    spark.sql(f"INSERT OVERWRITE {table} VALUES ('a', 'new')")
    later = first + instant.duration("10 hours")
    log.append({"k": "a", "at": instant.iso(later // 1_000 * 1_000)}, arrival=later)
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    rows = sorted((r["at"], r["name"]) for r in harness.table(placed).collect())
    log.close()
    assert [name for _, name in rows] == ["old", "new"]
