"""`verify` sees through a definition that is wrong on purpose, and leaves nothing behind."""

from __future__ import annotations

import pytest

from headway import instant
from headway.interval import Interval
from headway.run.agreement import compare
from headway.run.verify import verify
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow
START = instant.parse("2013-02-01T00:00:00Z")

HONEST = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp, x double", event_time="at", clock="log")},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.honest")],
)
def honest(s):
    return s.groupBy("k", F.window("at", "2 hours", "1 hour")).agg(F.count("*").alias("n"), F.sum("x").alias("x"))
"""
WRONG = """
import datetime
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampType
from headway import pipeline, sinks, sources

@F.udf(TimestampType())
def end_of_six_hours(at):
    return at.replace(hour=at.hour // 6 * 6 + 5, minute=59, second=0, microsecond=0)

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", clock="log")},
    output_time="until",
    history="0 seconds",
    ahead="0 seconds",
    outputs=[sinks.Iceberg("lake.n.wrong")],
)
def wrong(s):
    return s.groupBy("k", end_of_six_hours("at").alias("until")).agg(F.count("*").alias("n"))
"""


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=2)
    for minute in range(0, 24 * 60, 25):
        at = START + minute * 60 * instant.SECOND
        made.append(
            {"k": "ab"[minute % 2], "at": instant.iso(at), "x": minute / 7},
            arrival=at,
            partition=minute // 25 % 2,
        )
    yield made
    made.close()


def tables(spark):
    return (
        spark.sql("SHOW TABLES IN lake.headway_verify").count()
        + spark.sql("SHOW TABLES IN lake.headway").count()
    )


def test_an_honest_pipeline_agrees_in_all_modes_and_nothing_stays(spark, harness, define, log):
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.headway_verify")
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.headway")
    before = tables(spark)
    verdict = verify(
        spark,
        define(HONEST),
        {"s": log},
        MODES,
        Interval(START + 3_600_000_000, START + 5 * 3_600_000_000),
        zone="UTC",
    )
    assert verdict.to_json()["agree"] is True
    assert {m["name"]: m["rows"] for m in verdict.modes} == {"daily": 8, "hourly": 8, "continuous": 8}
    assert next(m for m in verdict.modes if m["name"] == "continuous")["batches"] > 3
    assert tables(spark) == before


def test_a_history_of_zero_through_a_function_that_hides_it_is_found_out(spark, harness, define, log):
    verdict = verify(
        spark, define(WRONG), {"s": log}, MODES, Interval(START, START + 12 * 3_600_000_000), zone="UTC"
    )
    data = verdict.to_json()
    assert data["agree"] is False
    assert data["differences"] > 0
    assert {m["name"] for m in data["modes"]} == {"daily", "hourly"}  # the plan hides the time, so no stream
    assert "history=0 seconds" in data["reason"]
    assert {row["only_in"] for row in data["rows"]} == {"daily", "hourly"}


def test_doubles_that_differ_in_the_last_bits_are_inexact_and_not_different(spark):
    left = spark.createDataFrame([("a", 0.1 + 0.2), ("b", 1.0)], "k string, x double")
    right = spark.createDataFrame([("a", 0.3), ("b", 1.0)], "k string, x double")
    found = compare(left, right, "left", "right")
    assert (found.differences, found.inexact) == (0, 1)


def test_a_row_that_is_twice_in_one_and_once_in_the_other_is_a_difference(spark):
    left = spark.createDataFrame([("a", None), ("a", None)], "k string, x double")
    right = spark.createDataFrame([("a", None)], "k string, x double")
    assert compare(left, right, "left", "right").differences == 1


def test_other_numbers_are_a_difference(spark):
    left = spark.createDataFrame([("a", 1.0)], "k string, x double")
    right = spark.createDataFrame([("a", 1.001)], "k string, x double")
    assert compare(left, right, "left", "right").differences == 1
