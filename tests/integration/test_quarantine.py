"""Decisions: what was left out goes through the definition as it is now, in any mode, and stays in."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from headway import instant
from headway.run.books import Books
from headway.testing import MODES, Clock, MemoryLog

pytestmark = pytest.mark.slow
COUNTS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="k string, v int, at timestamp", event_time="at", lateness="1 hour",
                              disorder="0 seconds", clock="log", late="quarantine", {facts})}},
    output_time="window",
    {more}
    outputs=[sinks.Iceberg("lake.n.t", keys=["window"])],
)
def counts(s):
    return s.groupBy(F.window("at", "1 hour")).agg(F.count("*").alias("n"), F.max("v").alias("most"))
"""
SMALL = ("expect_column_values_to_be_between", {"column": "v", "max_value": 9}, {"rule": "v fits"})
LARGE = ("expect_column_values_to_be_between", {"column": "v", "max_value": 99}, {"rule": "v fits"})
FEW = ("expect_column_values_to_be_between", {"column": "n", "max_value": 1}, {"rule": "few"})


@pytest.fixture
def log():
    made = MemoryLog("s", clock=Clock("2013-02-09T00:00:00Z"))
    yield made
    made.close()


def put(log, time, v=1, after="0 seconds"):
    at = instant.parse(f"2013-02-01T{time}:00Z")
    log.append({"k": "a", "v": v, "at": instant.iso(at)}, arrival=at + instant.duration(after))


def shown(harness, placed):
    return {r["window"]["start"].strftime("%H"): r["n"] for r in harness.table(placed).collect()}


def books(spark, placed):
    return Books(spark, placed.name, placed.sink.table)


def decide(spark, placed, condition="true"):
    held = spark.table(books(spark, placed).name("quarantine")).filter(condition)
    return books(spark, placed).decide(
        held.select("source", "log", "topic", "partition", "offset").distinct(),
        decision="replay",
        by="a test",
    )


def test_a_late_record_comes_in_by_decision_and_stays_in(harness, define, log, mode, spark):
    placed = harness.place(define(COUNTS.format(facts="", more="")))
    put(log, "01:10"), put(log, "05:00"), put(log, "01:20", after="5 hours"), put(log, "08:00")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed)["01"] == 1
    assert decide(spark, placed) == (1, 1)
    put(log, "09:30")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed)["01"] == 2
    put(log, "01:40", after="9 hours")  # late: nothing changes
    harness.run_again(placed, {"s": log}, MODES["daily"], complete=True, wanted=_day())
    assert shown(harness, placed)["01"] == 2


def test_a_record_that_broke_a_rule_comes_in_once_the_suite_is_mended(
    harness, define, suite, log, mode, spark
):
    suite("input", SMALL)
    placed = harness.place(define(COUNTS.format(facts='quality="input"', more="")))
    put(log, "01:10"), put(log, "01:20", v=50), put(log, "05:00")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed)["01"] == 1
    decide(spark, placed)
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed)["01"] == 1  # the rule stands as it was
    attempts = spark.table(books(spark, placed).name("quarantine")).agg(F.max("attempt")).first()[0]
    assert attempts == 1
    suite("input", LARGE)
    decide(spark, placed)
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed)["01"] == 2
    assert spark.table(books(spark, placed).name("quarantine")).count() == 2


def test_rejected_rows_are_computed_again_by_decision(harness, define, suite, log, mode, spark):
    suite("rules", FEW)
    placed = harness.place(define(COUNTS.format(facts="", more='quality="rules",')))
    put(log, "01:10"), put(log, "02:10"), put(log, "02:20"), put(log, "05:00")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed) == {"01": 1, "05": 1}
    suite("rules", (FEW[0], {"column": "n", "max_value": 5}, FEW[2]))
    rejected = spark.table(books(spark, placed).name("rejected"))
    ranges = rejected.select(
        F.col("output_time").alias("interval_start"),
        (F.col("output_time") + F.expr("INTERVAL 1 MINUTE")).alias("interval_end"),
    )
    books(spark, placed).decide(ranges, decision="replay", by="a test")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed) == {"01": 1, "02": 2, "05": 1}
    assert spark.table(books(spark, placed).name("rejected")).count() == 0


def _day():
    from headway.interval import Interval

    return Interval(instant.parse("2013-02-01T00:00:00Z"), instant.parse("2013-02-02T00:00:00Z"))
