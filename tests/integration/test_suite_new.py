"""A first suite proposed from real rows: it holds for them, guesses only warn, and tells nothing of masked columns."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import nullcontext
from datetime import date, datetime
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from headway import instant
from headway.cli import suites as commands
from headway.cli.context import Context
from headway.errors import CallError
from headway.interval import Grid
from headway.quality import suite as suites
from headway.quality.checks import Checks
from headway.quality.profile import profile
from headway.quality.proposal import propose, written
from headway.quality.units import key_of
from headway.run.sample import newest
from headway.sources import Kafka
from headway.testing import Clock, MemoryLog

pytestmark = pytest.mark.slow
SCHEMA = (
    "id int, at timestamp, origin string, tail string, note string, fixed string, price double, exact decimal(9,2), "
    "big bigint, zero int, day date, `a.b` int, is_new boolean, tags array<string>, never string, "
    "leg struct<code: string, inner: struct<minutes: int>>"
)
DAYS = Grid(instant.duration("1 day"), "America/New_York")
MOMENT = "unix_micros(at)"


@pytest.fixture(scope="module")
def rows(spark):
    def row(n):
        return (
            n,
            datetime(2013, 2, 1 + n % 6, 5 + n % 19, 30),
            ("EWR", "JFK", "LGA")[n % 3],
            None if n % 7 == 0 else f"N{100 + n}",
            ("", "grüß dich", "?\n", "x" * 40)[n % 4] + str(n % 50),
            f"{n:03}/{n % 7}",
            (math.nan, None, n / 7)[n % 3],
            Decimal(n) / 4,
            10**15 + n,
            0,
            date(2013, 1, 1 + n % 28),
            -n,
            n % 2 == 0,
            ["t"] if n % 2 else None,
            None,
            (("AA", "UA")[n % 2], (n,)),
        )

    return spark.createDataFrame([row(n) for n in range(240)], SCHEMA).cache()


@pytest.fixture(scope="module")
def seen(rows):
    return profile(rows, MOMENT, DAYS)


def by_column(proposed):
    found = {}
    for each in proposed:
        columns = each.kwargs.get("column") or tuple(each.kwargs.get("column_list", ()))
        short = each.type.removeprefix("expect_column_values_to_").removeprefix("expect_")
        found[columns, short] = each
    return found


def test_a_proposed_suite_holds_in_each_unit_of_the_rows_that_it_was_proposed_from(rows, seen, tmp_path):
    file = tmp_path / "s.json"
    proposed = propose(seen, keys=("id", "origin"), output_time="at")
    text = written("s", proposed, per="1 day", notes="seen")
    file.write_text(text)
    suite = suites.load(file)
    assert (suite.per, suite.gate, len(suite.rules)) == ("1 day", "mark", len(proposed))
    assert all(rule.is_compiled for rule in suite.rules)
    checks = Checks(suite, rows.schema)
    key = key_of(F.expr(MOMENT), DAYS)
    scans = checks.scan(rows, key)
    counted = checks.marked(rows).groupBy(key.alias("unit")).agg(*checks.counts()).collect()
    assert len(counted) == 6
    for unit in counted:
        facts = unit.asDict()
        verdict = checks.verdict(facts, scans[facts.pop("unit")])
        assert verdict.failed == ()
    assert (text, json.loads(text)["id"]) == (
        written(
            "s",
            propose(profile(rows, MOMENT, DAYS), keys=("id", "origin"), output_time="at"),
            per="1 day",
            notes="seen",
        ),
        None,
    )


def test_each_kind_of_column_has_the_rules_that_its_values_ask_for(seen):
    found = by_column(propose(seen, keys=("id", "origin"), output_time="at"))
    assert found["origin", "be_in_set"].kwargs["value_set"] == ["EWR", "JFK", "LGA"]
    assert found["leg.code", "be_in_set"].kwargs["value_set"] == ["AA", "UA"]
    assert found["tail", "match_regex"].kwargs["regex"] == "^[A-Z0-9]{4}$"
    assert 0.5 < found["tail", "not_be_null"].kwargs["mostly"] < 6 / 7
    assert found["fixed", "column_value_lengths_to_equal"].kwargs["value"] == 5
    assert found["note", "column_value_lengths_to_be_between"].kwargs["max_value"] == 84
    assert found["id", "be_between"].kwargs == {"column": "id", "min_value": 0, "max_value": 270}
    assert found["`a.b`", "be_between"].kwargs["max_value"] == 30
    assert found["price", "be_between"].kwargs == {"column": "price", "min_value": 0.25}
    assert found["day", "be_between"].kwargs == {"column": "day", "min_value": "2013-01-01"}
    assert found["leg.inner.minutes", "not_be_null"].note == "Seen: none of 240 rows is null."
    assert not any(column in ("never", "at") and rule != "not_be_null" for column, rule in found)
    assert ("never", "not_be_null") not in found
    counted = found[(), "table_row_count_to_be_between"]
    assert counted.kwargs == {"min_value": 20, "max_value": 80}
    assert {each.severity for each in found.values()} == {"warning", "critical"}
    assert {about for about, each in found.items() if each.severity == "critical"} == {
        (("id", "origin"), "compound_columns_to_be_unique"),
        ("id", "not_be_null"),
        ("origin", "not_be_null"),
    }


def test_of_a_masked_column_nothing_is_told_but_whether_it_is_there(rows):
    seen = profile(rows, MOMENT, DAYS, mask=["origin", "code", "price", "id"])
    text = written("s", propose(seen, output_time="at"), per="1 day", notes="seen")
    assert "JFK" not in text
    assert "UA" not in text
    rules = {rule for column, rule in by_column(propose(seen)) if column in ("origin", "leg.code", "id")}
    assert rules == {"not_be_null"}


def test_of_no_rows_nothing_is_guessed(rows):
    assert propose(profile(rows.limit(0), MOMENT, DAYS)) == []


PIPELINE = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, v int, at timestamp", event_time="at", lateness="1 hour",
                               clock="log")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.suite_new.t", keys=["k"])],
)
def rows(s):
    return s.select("k", "v", "at")
"""


def test_the_command_proposes_from_visible_rows_or_from_admitted_records(
    spark, project_copy, tmp_path, monkeypatch, capsys
):
    shutil.copytree(project_copy / "conf", tmp_path / "conf")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "rows.py").write_text(PIPELINE)
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.suite_new")
    visible = spark.sql(
        "SELECT 'a' k, 7 v, TIMESTAMP '2013-02-01 12:00:00' at UNION ALL SELECT 'b', 9, TIMESTAMP '2013-02-03 12:00:00'"
    )
    visible.writeTo("lake.suite_new.t").using("iceberg").createOrReplace()
    log = MemoryLog("s")
    for v, arrival in ((1, "12:10"), (3, "12:20"), (999, "23:00")):
        record = {"k": None, "v": v, "at": "2013-02-01T12:00:00Z"}
        log.append(record, arrival=f"2013-02-01T{arrival}:00Z")
    monkeypatch.setattr(commands, "spark_for", lambda _: nullcontext(spark))
    monkeypatch.setattr(commands, "working", lambda *_: nullcontext((spark, {"s": log})))
    context = Context(tmp_path, "local", as_json=True, verbose=False)
    commands.new(context, "rows", None, None, "1 day")
    commands.new(context, "rows", "s", None, "1 hour")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["suite"].rpartition("/")[2], each["rows"], each["units"]) for each in said] == [
        ("rows.json", 2, 3),
        ("s.json", 2, 1),
    ]
    of_rows, of_records = (suites.load(tmp_path / "quality" / name) for name in ("rows.json", "s.json"))
    assert [r.id for r in of_rows.rules if r.on_fail == "fail"] == ["column_values_to_be_unique(k)"]
    assert of_records.per == "1 hour"
    [bounds] = [
        r.kwargs for r in of_records.rules if r.kwargs.get("column") == "v" and "min_value" in r.kwargs
    ]
    assert bounds["max_value"] < 10
    with pytest.raises(CallError, match="is there already"):
        commands.new(context, "rows", "s", None, "1 hour")
    log.close()


def test_a_key_that_is_a_window_is_told_apart_and_not_null(spark, tmp_path):
    rows = spark.range(3).select(
        F.window(F.timestamp_seconds(F.col("id") * 3600), "1 hour").alias("window"), F.lit("a").alias("k")
    )
    proposed = propose(profile(rows, "unix_micros(window.end) - 1", DAYS), keys=("k", "window"))
    assert sum(each.severity == "critical" for each in proposed) == 4
    (tmp_path / "s.json").write_text(written("s", proposed, per="1 day", notes="seen"))
    checks = Checks(suites.load(tmp_path / "s.json"), rows.schema)
    (counted,) = checks.marked(rows).agg(*checks.counts()).collect()
    assert checks.verdict(counted.asDict(), checks.scan(rows)[None]).failed == ()


def test_of_a_source_the_newest_admitted_records_are_looked_at(harness, spark):
    source = Kafka("s", schema="v int, at timestamp", event_time="at", lateness="1 hour", clock="log")
    log = MemoryLog("s", partitions=2, clock=Clock("2013-02-09T00:00:00Z"))
    at = "2013-02-01T09:00:00Z"
    for n in range(10):
        arrival = "2013-02-01T12:00:00Z" if n == 9 else at
        log.append({"v": n, "at": at}, arrival=arrival, partition=n % 2)
    log.append(b"no record", arrival=at)
    assert sorted(row.v for row in newest(spark, source, log, 6).collect()) == [5, 6, 7, 8]
    everything = newest(spark, source, log, 100)
    assert (everything.count(), everything.columns) == (9, ["v", "at"])
    log.close()
