"""Lookups whose rows are valid for a time: the row of the event, and corrections where it is changed later."""

from __future__ import annotations

import uuid

import pytest

from headway import instant
from headway.errors import DefinitionError
from headway.interval import Interval
from headway.run.verify import verify
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow
DAY = instant.parse("2013-02-01T00:00:00Z")
HOUR = instant.duration("1 hour")

PIPELINE = """
from pyspark.sql import functions as F
from headway import Lookup, pipeline, sinks, sources

@pipeline(
    inputs={{
        "s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                           disorder="0 seconds", clock="log"),
        "prices": Lookup("{table}", as_of="event_time"{columns}),
    }},
    output_time="{time}",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s, prices):
    valid = prices["valid_from"].isNull() | (s["at"] >= prices["valid_from"])
    valid &= prices["valid_to"].isNull() | (s["at"] < prices["valid_to"])
    priced = s.join(prices, (s["k"] == prices["k"]) & valid, "left").select(s["at"], s["k"], "price")
    return {result}
"""
ROWS = "priced"
SUMS = 'priced.groupBy("k", F.window("at", "1 hour")).agg(F.sum("price").alias("price"))'


@pytest.fixture
def prices(spark):
    """A price until 02:00, and another one from then on."""
    table = f"lake.dim.prices_{uuid.uuid4().hex[:8]}"
    spark.sql(
        f"CREATE TABLE {table} (k string, price int, valid_from timestamp, valid_to timestamp) USING iceberg"
    )
    spark.sql(
        f"INSERT INTO {table} VALUES ('a', 1, NULL, TIMESTAMP '2013-02-01T02:00:00Z'), "
        "('a', 2, TIMESTAMP '2013-02-01T02:00:00Z', NULL)"
    )
    return table


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=1)
    yield made
    made.close()


@pytest.fixture
def rows(harness, define, prices):
    return place(harness, define, prices)


@pytest.fixture(params=["row by row", "windows"])
def placed(request, harness, define, prices):
    return place(harness, define, prices, is_rows=request.param == "row by row")


def place(harness, define, table, *, is_rows=True, columns=""):
    time, result = ("at", ROWS) if is_rows else ("window", SUMS)
    return harness.place(define(PIPELINE.format(table=table, time=time, result=result, columns=columns)))


def put(log, *times):
    for time in times:
        at = instant.parse(f"2013-02-01T{time}:00Z")
        log.append({"k": "a", "at": instant.iso(at)}, arrival=at)


def shown(harness, placed):
    start = "at" if "at" in harness.table(placed).columns else "window.start"
    found = harness.table(placed).selectExpr(f"date_format({start}, 'HH') AS hour", "price").collect()
    return {row["hour"]: row["price"] for row in found}


def split(spark, prices):
    """From 01:00 to 02:00 the price was another one, it turns out."""
    spark.sql(f"UPDATE {prices} SET valid_to = TIMESTAMP '2013-02-01T01:00:00Z' WHERE price = 1")
    spark.sql(
        f"INSERT INTO {prices} VALUES ('a', 7, TIMESTAMP '2013-02-01T01:00:00Z', TIMESTAMP '2013-02-01T02:00:00Z')"
    )


def test_a_record_sees_the_row_that_is_valid_at_its_event_time(harness, log, placed, mode):
    put(log, "00:10", "01:10", "02:00", "03:10")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed) == {"00": 1, "01": 1, "02": 2, "03": 2}


@pytest.mark.parametrize("name", ["hourly", "continuous"])
def test_a_row_that_is_changed_later_is_a_correction_of_its_time(harness, log, placed, prices, spark, name):
    mode = MODES[name]
    put(log, "00:10", "01:10", "02:10", "03:10", "05:10")
    harness.run_again(placed, {"s": log}, mode)
    before = {hour: n for hour, n in shown(harness, placed).items() if hour < "04"}
    assert before == {"00": 1, "01": 1, "02": 2, "03": 2}
    split(spark, prices)
    put(log, "06:10", "09:10")
    report = harness.run_again(placed, {"s": log}, mode, complete=True)
    assert shown(harness, placed) == {"00": 1, "01": 7, "02": 2, "03": 2, "05": 2, "06": 2, "09": 2}
    revised = [i for i, revision in report.intervals if revision > 1]
    assert revised == [Interval(DAY + HOUR, DAY + 2 * HOUR)]


def test_a_row_for_the_future_corrects_nothing(harness, log, rows, prices, spark):
    put(log, "00:10", "01:10", "05:10")
    harness.run_again(rows, {"s": log}, MODES["hourly"])
    spark.sql(f"INSERT INTO {prices} VALUES ('b', 9, TIMESTAMP '2013-02-01T12:00:00Z', NULL)")
    put(log, "06:10")
    report = harness.run_again(rows, {"s": log}, MODES["hourly"])
    assert all(revision == 1 for _, revision in report.intervals)


def test_a_run_without_anything_due_does_not_look_on_behalf_of_a_stream(harness, log, placed, prices, spark):
    """The stream stands still, and has shown or kept a record of the open hour with the price as it was."""
    put(log, "00:10", "01:10", "02:10", "02:40")
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    spark.sql(f"UPDATE {prices} SET valid_from = TIMESTAMP '2013-02-01T02:30:00Z' WHERE price = 2")
    spark.sql(f"UPDATE {prices} SET valid_to = TIMESTAMP '2013-02-01T02:30:00Z' WHERE price = 1")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "06:10")
    harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    held = harness.table(placed)
    if "at" in held.columns:
        found = held.selectExpr("date_format(at, 'HH:mm') AS at", "price").collect()
        assert {r["at"]: r["price"] for r in found} == {
            "00:10": 1,
            "01:10": 1,
            "02:10": 1,
            "02:40": 2,
            "06:10": 2,
        }
    else:
        assert shown(harness, placed) == {"00": 1, "01": 1, "02": 3, "06": 2}


def test_a_table_that_was_made_anew_is_looked_at_from_its_beginning(harness, log, rows, prices, spark):
    put(log, "00:10", "01:10", "05:10")
    harness.run_again(rows, {"s": log}, MODES["hourly"])
    spark.sql(f"DROP TABLE {prices}")
    spark.sql(
        f"CREATE TABLE {prices} (k string, price int, valid_from timestamp, valid_to timestamp) USING iceberg"
    )
    spark.sql(f"INSERT INTO {prices} VALUES ('a', 5, NULL, NULL)")
    harness.run_again(rows, {"s": log}, MODES["hourly"])
    assert shown(harness, rows)["01"] == 5


def test_what_was_published_by_name_is_corrected_too(harness, log, rows, prices, spark):
    put(log, "00:10", "01:10", "05:10")
    named = Interval(DAY + HOUR, DAY + 2 * HOUR)
    harness.run_again(rows, {"s": log}, MODES["hourly"], wanted=named)
    assert shown(harness, rows) == {"01": 1}
    split(spark, prices)
    harness.run_again(rows, {"s": log}, MODES["hourly"])
    assert shown(harness, rows)["01"] == 7


def test_a_stream_and_a_batch_that_follow_each_other_agree(harness, log, placed, prices, spark):
    put(log, "00:10", "01:10", "02:10", "03:10")
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    split(spark, prices)
    put(log, "05:10")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "07:10")
    harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    assert shown(harness, placed) == {"00": 1, "01": 7, "02": 2, "03": 2, "05": 2, "07": 2}


def test_the_modes_agree(harness, log, placed, spark):
    put(log, "00:10", "01:10", "02:10", "03:10", "03:20")
    verdict = verify(spark, placed, {"s": log}, MODES, Interval(DAY, DAY + 24 * HOUR), zone="UTC")
    assert verdict.agree, verdict.rows


def test_a_column_that_is_missing_is_named(harness, log, define, prices):
    placed = place(harness, define, prices, columns=', valid_from="since"')
    put(log, "00:10")
    with pytest.raises(DefinitionError, match="no column 'since'"):
        harness.run_again(placed, {"s": log}, MODES["hourly"])
