"""A Delta table holds what the table of record holds, after every commit and every crash."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from delta.tables import DeltaTable

from headway.errors import DefinitionError, ResultError
from headway.sinks import Delta
from headway.telemetry.events import Followed
from headway.telemetry.telemetry import Telemetry
from headway.testing import MODES, Harness, MemoryLog
from headway.testing.sink_suite import SinkSuite, counts

pytestmark = pytest.mark.slow


class TestDelta(SinkSuite):
    @pytest.fixture
    def sink(self):
        return Delta("reporting/counts")

    @pytest.fixture
    def settings(self, tmp_path):
        return {"delta": {"root": str(tmp_path)}}

    def held(self, spark, sink, settings):
        rows = spark.read.format("delta").load(f"{settings['delta']['root']}/{sink.table}")
        # Python's times of rows are local and without a zone.
        return [
            (r["k"], r["at"].astimezone(), r["n"])
            for r in rows.selectExpr("k", "window.start AS at", "n").collect()
        ]


class Heard(list):
    def take(self, event):
        self.append(event)

    @property
    def lags(self):
        return [e.behind for e in self if isinstance(e, Followed)]


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def folder(spark, tmp_path, heard):
    telemetry = Telemetry([heard], is_measured=True)
    made = Harness(spark, settings={"delta": {"root": str(tmp_path)}}, telemetry=telemetry)
    yield made
    made.close()


@pytest.fixture
def log():
    made = MemoryLog("s")
    for hour in ("01", "05"):
        at = f"2013-02-01T{hour}:10:00Z"
        made.append({"k": "a", "at": at}, arrival=at)
    yield made
    made.close()


@pytest.fixture
def placed(folder):
    alone = folder.place(counts("final"))
    return replace(alone, outputs=(alone.sink, Delta("t")))


def test_a_table_of_other_columns_stops_the_run_before_anything_is_published(
    spark, folder, placed, log, tmp_path
):
    spark.createDataFrame([], "k string, n int, more string").write.format("delta").save(str(tmp_path / "t"))
    with pytest.raises(
        ResultError,
        match=r"more \(string\) is not in the result; n is bigint in the result and int in the table",
    ):
        folder.run_again(placed, {"s": log}, MODES["hourly"])
    assert folder.table(placed).count() == 0


def test_a_new_column_is_added(spark, folder, placed, log, tmp_path, heard):
    old = "k string, n bigint"
    spark.createDataFrame([], old).write.format("delta").save(str(tmp_path / "t"))
    folder.run_again(placed, {"s": log}, MODES["hourly"])
    rows = spark.read.format("delta").load(str(tmp_path / "t")).collect()
    assert [(r["k"], r["n"], r["window"] is None) for r in rows] == [("a", 1, False)]
    assert heard.lags[:3] == [0, 1, 0]
    assert heard.lags[-1] == 0


def test_the_note_is_found_below_the_commits_of_others(spark, folder, placed, log, tmp_path):
    folder.run_again(placed, {"s": log}, MODES["hourly"])
    for _ in range(2):
        DeltaTable.forPath(spark, str(tmp_path / "t")).update(set={"k": "k"})
    with folder.job(placed, {"s": log}, MODES["hourly"]) as job:
        (follower,) = job.followers
        assert follower.applied() == job.target.history.at(job.target.history.visible())


def test_what_delta_refuses_is_told(spark, folder, placed, log, tmp_path, heard):
    columns = "k string, window struct<start: timestamp, end: timestamp>, n bigint"
    few = spark.createDataFrame([], columns).write.format("delta").option("delta.constraints.few", "n < 2")
    few.save(str(tmp_path / "t"))
    for minute in ("10", "20"):
        log.append({"k": "a", "at": f"2013-02-01T06:{minute}:00Z"}, arrival=f"2013-02-01T06:{minute}:00Z")
    with pytest.raises(ResultError, match=r"Delta refuses what is to go into t: .*few"):
        folder.run_again(placed, {"s": log}, MODES["hourly"], complete=True)
    assert heard.lags == [0, 1]  # what it lacks when the run ends


def test_a_commit_says_which_snapshot_it_follows(spark, folder, placed, log, tmp_path):
    folder.run_again(placed, {"s": log}, MODES["hourly"])
    newest = spark.sql(f"DESCRIBE HISTORY delta.`{tmp_path}/t` LIMIT 1").first()
    with folder.job(placed, {"s": log}, MODES["hourly"]) as job:
        assert json.loads(newest["userMetadata"])["headway"]["snapshot"] == job.target.history.visible()


@pytest.mark.parametrize("path", ["", "/", "a/../../b"])
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(DefinitionError, match="no path of a Delta table"):
        Delta(path)
