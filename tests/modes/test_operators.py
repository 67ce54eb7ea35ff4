"""Operators whose rows Spark's stream shows at other moments than one would think: the same rows in every mode."""

from __future__ import annotations

import pytest

from headway import instant
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow
DAY = instant.parse("2013-02-01T00:00:00Z")
MINUTE = instant.duration("1 minute")

TEXT = """
import headway
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

FACTS = {{"schema": "k string, at timestamp, n int", "event_time": "at", "disorder": "0 seconds", "clock": "log",
         "late": "quarantine", "max_rejects": 1.0}}

@pipeline(
    inputs={{name: sources.Kafka(name, **FACTS) for name in {names}}},
    output_time="o",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p({parameters}):
    return {body}
"""
JOINED = 'a.alias("a").join(b.alias("b"), F.expr("a.k = b.k AND b.at >= a.at - {low} AND b.at <= a.at + {high}"), "{kind}")'

SESSIONS = 'a.groupBy(*headway.session("at", gap="10 minutes", max_length="3 hours"), "k").count()'
SHAPES = {
    "a window placed by its start": (
        "a",
        'a.groupBy(F.window("at", "1 hour"), "k").count().select(F.col("window.start").alias("o"), "k", "count")',
    ),
    "a window placed by its end": (
        "a",
        'a.groupBy(F.window("at", "1 hour"), "k").count().select(F.col("window.end").alias("o"), "k", "count")',
    ),
    "a session placed by its start": (
        "a",
        SESSIONS + '.select(F.col("session.start").alias("o"), "k", "count")',
    ),
    "a window above an inner join": (
        "ab",
        JOINED.format(low="INTERVAL 20 MINUTES", high="INTERVAL 0 MINUTES", kind="inner")
        + '.groupBy(F.window("a.at", "1 hour").alias("o")).agg(F.count("*").alias("pairs"))',
    ),
    "a window above a join that looks both ways": (
        "ab",
        JOINED.format(low="INTERVAL 30 MINUTES", high="INTERVAL 30 MINUTES", kind="inner")
        + '.groupBy(F.window("a.at", "30 minutes").alias("o")).agg(F.count("*").alias("pairs"))',
    ),
    "an inner join with a log that falls silent": (
        "ab",
        JOINED.format(low="INTERVAL 20 MINUTES", high="INTERVAL 0 MINUTES", kind="inner")
        + '.select(F.greatest("a.at", "b.at").alias("o"), F.col("b.at").alias("partner"))',
    ),
    "a left join of stamps finer than a millisecond": (
        "ab",
        JOINED.format(low="INTERVAL 5 MINUTES", high="INTERVAL 0 MINUTES", kind="left")
        + '.select(F.col("a.at").alias("o"), F.col("b.at").alias("partner"))',
    ),
}


def filled(name, *, step, end=4 * 60):
    log = MemoryLog(name, partitions=1)
    for minute in range(0, end, step):
        at = DAY + minute * MINUTE - (500 if minute % 60 == 0 else 0)
        log.append({"k": "k", "at": instant.iso(at), "n": minute}, arrival=at)
    return log


@pytest.mark.parametrize("shape", SHAPES)
def test_every_mode_shows_the_same_rows(harness, define, shape):
    names, body = SHAPES[shape]
    pipeline = define(TEXT.format(names=list(names), parameters=", ".join(names), body=body))
    logs = {name: filled(name, step=step) for name, step in zip(names, (20, 15), strict=False)}
    found = {
        name: sorted(map(str, harness.run(pipeline, logs, mode, max_records_per_batch=2).collect()))
        for name, mode in MODES.items()
    }
    for log in logs.values():
        log.close()
    assert found["hourly"] == found["daily"] == found["continuous"] != []


def test_an_early_record_dated_far_ahead_closes_nothing(harness, define, mode):
    text = TEXT.format(
        names=["a"],
        parameters="a",
        body='a.groupBy(F.window("at", "1 hour").alias("o"), "k").agg(F.count("*").alias("n"))',
    )
    log = MemoryLog("a", partitions=1)
    for hour in range(1, 9):
        log.append(
            {"k": "k", "at": instant.iso(DAY + hour * 60 * MINUTE), "n": 1}, arrival=DAY + hour * 60 * MINUTE
        )
        if hour == 3:
            log.append({"k": "k", "at": "2099-12-31T00:00:00Z", "n": 1}, arrival=DAY + hour * 60 * MINUTE)
    placed = harness.place(define(text))
    report = harness.run_again(placed, {"a": log}, mode, max_records_per_batch=1)
    assert report.closed_through <= DAY + 8 * 60 * MINUTE
    rest = harness.run_again(placed, {"a": log}, mode, complete=True)
    assert report.accounts.plus(rest.accounts).early == 1
    assert sorted(r["o"]["start"].hour for r in harness.table(placed).collect()) == list(range(1, 9))
    log.close()
