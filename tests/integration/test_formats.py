"""Values that are Avro or plain bytes: the same admission, dead letters and rows in every mode."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import to_avro

from headway.errors import DefinitionError
from headway.plan.analysis import analyse
from headway.testing import MemoryLog

pytestmark = pytest.mark.slow

AVRO = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

SCHEMA = '''{"type": "record", "name": "reading", "fields": [
    {"name": "k", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "n", "type": ["null", "int"]}]}'''

@pipeline(
    inputs={"s": sources.Kafka("s", schema=SCHEMA, format="avro", event_time="at", lateness="1 hour", clock="log",
                               max_rejects=1.0)},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s):
    return s.groupBy(F.window("at", "1 hour"), "k").agg(F.sum("n").alias("n"))
"""
BYTES = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="payload binary, arrived_at timestamp", format="bytes",
                               event_time="arrived_at", clock="log")},
    output_time="arrived_at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s):
    return s.select("arrived_at", F.length("payload").alias("size"))
"""


def encoded(spark, rows):
    """The Avro datum of each (k, at, n)."""
    frame = spark.createDataFrame(rows, "k string, at string, n int")
    record = F.struct("k", F.col("at").cast("timestamp").alias("at"), "n")
    schema = AVRO.partition("SCHEMA = '''")[2].partition("'''")[0]
    return [bytes(r["v"]) for r in frame.select(to_avro(record, schema).alias("v")).collect()]


def test_avro_is_read_and_what_is_none_is_a_dead_letter(spark, harness, define, mode):
    log = MemoryLog("s", partitions=2)
    values = encoded(
        spark, [("a", "2013-02-01T01:10:00Z", 1), ("a", "2013-02-01T01:20:00Z", 2), ("b", "2013-02-01T02:00:00Z", None)]
    )  # fmt: skip
    for number, value in enumerate(values):
        log.append(value, arrival=f"2013-02-01T0{1 + number // 2}:30:00Z", partition=number % 2)
    log.append(b"\xff\xff\xff", arrival="2013-02-01T02:30:00Z")
    log.append(None, arrival="2013-02-01T02:30:00Z")
    placed = harness.place(define(AVRO))
    accounts = harness.run_again(placed, {"s": log}, mode, complete=True).accounts
    rows = {(r["k"], r["window"]["start"].hour): r["n"] for r in harness.table(placed).collect()}
    log.close()
    assert rows == {("a", 1): 3, ("b", 2): None}
    assert (accounts.read, accounts.admitted, accounts.dead, accounts.tombstones) == (5, 3, 1, 1)


def test_bytes_are_left_alone_and_their_arrival_is_their_event_time(harness, define, mode):
    log = MemoryLog("s")
    log.append(b"\x00\x01", arrival="2013-02-01T01:30:00Z")
    log.append(b"not json", arrival="2013-02-01T02:30:00Z")
    rows = harness.run(define(BYTES), {"s": log}, mode).collect()
    log.close()
    assert sorted((r["arrived_at"].hour, r["size"]) for r in rows) == [(1, 2), (2, 8)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AVRO.replace('"type": "record"', '"type": "recrod"'), "the schema is not an Avro record"),
        (BYTES.replace("payload binary, ", "payload binary, n int, "), "takes one BINARY column"),
        (BYTES.replace('format="bytes"', 'format="csv"'), "Use one of json, avro, bytes"),
    ],
)
def test_a_schema_that_does_not_fit_its_format_is_refused(spark, define, text, said):
    with pytest.raises(DefinitionError, match=said):
        analyse(spark, define(text))
