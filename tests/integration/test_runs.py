"""What runs leave behind: summaries, replaced intervals, corrections, modes that follow each other."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from headway import instant
from headway.catalog import java_table
from headway.errors import CallError, LeaseHeldError, LostDataError, NotYetClosedError, ResultError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.ownership import Ownership
from headway.run import bounded, continuous
from headway.run.batches import Batches
from headway.run.job import Report
from headway.sinks.iceberg_table import IcebergTable
from headway.testing import MODES, Clock, MemoryLog

pytestmark = pytest.mark.slow
DAY = instant.parse("2013-02-01T00:00:00Z")
HOUR = instant.duration("1 hour")

WINDOWS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                              disorder="0 seconds", {facts})}},
    output_time="window",
    emit="{emit}",
    outputs=[sinks.Iceberg("lake.n.t", keys=["k", "window"])],
)
def counts(s):
    return s.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=2, clock=Clock("2013-02-01T06:00:00Z"))
    yield made
    made.close()


def put(log, *times, day="2013-02-01", late="00:00"):
    for time in times:
        at = instant.parse(f"{day}T{time}:00Z")
        log.append({"k": "a", "at": instant.iso(at)}, arrival=at + instant.parse(f"1970-01-01T{late}:00Z"))


def shown(harness, placed):
    return {r["window"]["start"].strftime("%H"): r["n"] for r in harness.table(placed).collect()}


@pytest.fixture
def placed(harness, define):
    return harness.place(define(WINDOWS.format(facts='clock="log"', emit="final")))


def test_only_closed_intervals_are_published_and_the_rest_when_it_closes(harness, log, placed):
    put(log, "01:10", "02:10", "03:30")
    first = harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == {"01": 1}
    assert first.closed_through == DAY + 2 * HOUR
    put(log, "05:00")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == {"01": 1, "02": 1}


def test_a_second_run_with_nothing_new_changes_nothing(harness, log, placed, spark):
    put(log, "01:10", "04:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    before = spark.table(f"{placed.sink.table}.snapshots").count()
    again = harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert again.intervals == []
    assert spark.table(f"{placed.sink.table}.snapshots").count() == before


def test_named_intervals_are_skipped_while_their_inputs_are_the_same(harness, log, placed):
    put(log, "01:10", "04:30")
    wanted = Interval(DAY + HOUR, DAY + 2 * HOUR)
    assert len(harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted).intervals) == 1
    assert harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted).unchanged == [wanted]


def test_an_open_interval_and_one_off_the_grid_are_refused(harness, log, placed):
    put(log, "01:10", "04:30")
    with pytest.raises(NotYetClosedError, match="is not closed"):
        harness.run_again(
            placed, {"s": log}, MODES["hourly"], wanted=Interval(DAY + 3 * HOUR, DAY + 4 * HOUR)
        )
    with pytest.raises(CallError, match="does not lie on the intervals"):
        harness.run_again(placed, {"s": log}, MODES["daily"], wanted=Interval(DAY, DAY + HOUR))


@pytest.mark.parametrize("first", ["hourly", "continuous"])
def test_a_straggler_replaces_the_closed_interval_that_it_belongs_to(harness, log, placed, first, spark):
    put(log, "01:10", "02:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES[first])
    assert shown(harness, placed) == {"01": 1, "02": 1}
    put(log, "01:20")  # admitted by its own times, and hours behind what its partition had reached
    report = harness.run_again(placed, {"s": log}, MODES[first])
    assert shown(harness, placed) == {"01": 2, "02": 1}
    assert [r for _, r in report.intervals] == [2]
    with harness.job(placed, {"s": log}, MODES["hourly"]) as job:
        assert [r["fate"] for r in spark.table(job.books.name("corrections")).collect()] == ["straggler"]
        assert job.target.ownership().pending == ()


@pytest.mark.parametrize("kind", ["hourly", "continuous"])
def test_early_shows_open_intervals_and_revises_them(harness, log, define, kind):
    placed = harness.place(define(WINDOWS.format(facts='clock="log"', emit="early")))
    put(log, "01:10", "02:10")
    harness.run_again(placed, {"s": log}, MODES[kind])
    assert shown(harness, placed) == {"01": 1, "02": 1}
    put(log, "02:20", "02:30")
    harness.run_again(placed, {"s": log}, MODES[kind])
    assert shown(harness, placed) == {"01": 1, "02": 3}


@pytest.mark.parametrize("order", [("hourly", "continuous", "daily"), ("continuous", "hourly", "continuous")])
def test_modes_may_follow_each_other_without_a_hole_or_a_double(harness, log, placed, order):
    for number, name in enumerate(order):
        put(log, *[f"{hour:02}:15" for hour in range(1 + 5 * number, 6 + 5 * number)])
        harness.run_again(placed, {"s": log}, MODES[name])
    put(log, "23:59")
    harness.run_again(placed, {"s": log}, MODES[order[-1]], complete=True)
    assert shown(harness, placed) == {f"{hour:02}": 1 for hour in range(1, 16)} | {"23": 1}


def test_the_wall_clock_closes_a_quiet_night(harness, log, define):
    placed = harness.place(define(WINDOWS.format(facts='clock="wall", skew="1 minute"', emit="final")))
    put(log, "01:10")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == {"01": 1}  # it is 06:00 and nothing has come since
    ownership = ownership_of(harness, placed, log)
    assert ownership.closed_through == DAY + 4 * HOUR
    log.clock.move("2 hours")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert ownership_of(harness, placed, log).closed_through == DAY + 6 * HOUR


def ownership_of(harness, placed, log) -> Ownership:
    with harness.job(placed, {"s": log}, MODES["hourly"]) as job:
        return job.target.ownership()


def test_each_snapshot_says_what_it_is(harness, log, placed, spark):
    put(log, "01:10", "04:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "06:30")
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    rows = spark.sql(
        f"SELECT summary['headway.key'] AS key, summary['headway.fingerprint'] AS fingerprint, summary['headway.mode'] AS mode, "
        f"summary['headway.interval'] AS interval, summary['headway.offsets'] AS offsets FROM {placed.sink.table}.snapshots "
        "WHERE summary['headway.key'] IS NOT NULL ORDER BY committed_at"
    ).collect()
    assert rows[0]["mode"] == "hourly"
    assert rows[0]["interval"].endswith("/2013-02-01T03:00:00Z")
    assert json.loads(rows[0]["offsets"])["s"]["to"] == {"0": 2, "1": 0}
    assert len({r["key"] for r in rows}) == len({(r["key"], r["fingerprint"]) for r in rows})
    assert rows[-1]["mode"] == "continuous"


def test_a_second_run_is_told_who_holds_the_lease(harness, log, placed):
    put(log, "01:10")
    with (
        harness.job(placed, {"s": log}, MODES["hourly"]),
        pytest.raises(LeaseHeldError, match="hourly run of") as caught,
    ):
        harness.run_again(placed, {"s": log}, MODES["daily"])
    assert caught.value.exit_status == 3


def test_pyiceberg_reads_the_table_from_the_same_catalog(harness, log, placed, project):
    from pyiceberg.catalog.sql import SqlCatalog

    put(log, "01:10", "04:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    home = project.home.resolve()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse"))
    table = catalog.load_table(placed.sink.table.partition(".")[2])
    assert table.scan().to_arrow().column("n").to_pylist() == [1]
    summary = table.current_snapshot().summary
    assert summary["headway.mode"] == "hourly"


def test_a_definition_that_changed_is_published_again(harness, log, define):
    first = define(WINDOWS.format(facts='clock="log"', emit="final"))
    placed = harness.place(first)
    put(log, "01:10", "04:30")
    wanted = Interval(DAY + HOUR, DAY + 2 * HOUR)
    harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted)
    changed = define(
        WINDOWS.format(facts='clock="log"', emit="final").replace('F.count("*")', '(F.count("*") * 10)')
    )
    again = replace(changed, name=placed.name, outputs=placed.outputs)
    report = harness.run_again(again, {"s": log}, MODES["hourly"], wanted=wanted)
    assert [r for _, r in report.intervals] == [2]
    assert shown(harness, placed) == {"01": 10}


@pytest.mark.parametrize("mode_name", ["hourly", "continuous"])
def test_a_recreated_topic_is_told_from_the_one_that_was_read(harness, log, placed, mode_name):
    put(log, "01:10", "04:30")
    harness.run_again(placed, {"s": log}, MODES[mode_name])
    recreated = MemoryLog("s", partitions=2)
    put(recreated, "01:10", "02:20", "04:30", "05:30")
    with pytest.raises(LostDataError, match=r"recreated or cut off .*") as caught:
        harness.run_again(placed, {"s": recreated}, MODES[mode_name])
    assert "drop lake.headway_test" in str(caught.value)
    recreated.close()


def test_intervals_before_a_named_one_are_published_by_the_next_run(harness, log, placed):
    put(log, "01:10", "02:10", "03:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=Interval(DAY + 3 * HOUR, DAY + 4 * HOUR))
    assert shown(harness, placed) == {"03": 1}
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == {"01": 1, "02": 1, "03": 1}


SESSIONS = """
import headway
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                               disorder="0 seconds", clock="log")},
    output_time="session",
    emit="early",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def visits(s):
    return s.groupBy(*headway.session("at", gap="30 minutes", max_length="1 day"), "k").agg(F.count("*").alias("n"))
"""


@pytest.mark.parametrize("kind", ["hourly", "continuous"])
def test_early_sessions_are_recomputed_so_that_no_ghost_stays_when_they_merge(harness, log, define, kind):
    placed = harness.place(define(SESSIONS))
    put(log, "01:10", "02:00")
    harness.run_again(placed, {"s": log}, MODES[kind])
    assert sorted(r["n"] for r in harness.table(placed).collect()) == [1, 1]
    put(log, "01:35", "02:10")
    harness.run_again(placed, {"s": log}, MODES[kind])
    assert [r["n"] for r in harness.table(placed).collect()] == [4]
    put(log, "09:00")
    harness.run_again(placed, {"s": log}, MODES[kind], complete=True)
    assert sorted(r["n"] for r in harness.table(placed).collect()) == [1, 4]


def test_a_stream_takes_over_open_rows_without_a_hole(harness, log, define, monkeypatch):
    """Readers see what hourly has shown until the stream has read everything that hourly had."""
    placed = harness.place(define(WINDOWS.format(facts='clock="log"', emit="early")))
    put(log, "01:10", "02:10", "02:20", "02:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    before = shown(harness, placed)
    put(log, "02:40")
    seen = []
    publish = IcebergTable.publish

    def watched(table, staged):
        snapshot = publish(table, staged)
        seen.append(shown(harness, placed))
        return snapshot

    monkeypatch.setattr(IcebergTable, "publish", watched)
    harness.run_again(placed, {"s": log}, MODES["continuous"], max_records_per_batch=1)
    assert before == {"01": 1, "02": 3}
    assert all(rows["02"] >= 3 for rows in seen), seen
    assert seen[-1] == {"01": 1, "02": 4}


def test_a_stream_has_stragglers_corrected_from_before_it_began(harness, log, placed):
    put(log, "01:10", "02:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "01:20", "05:40", "08:00")
    report = harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    assert shown(harness, placed) == {"01": 2, "02": 1, "05": 2, "08": 1}
    assert [r for _, r in report.intervals] == [2]


ROWS = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                               clock="log")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t", keys=["k", "at"])],
)
def rows(s):
    return s.select("k", "at")
"""


@pytest.mark.parametrize("kind", ["hourly", "continuous"])
def test_rows_with_equal_keys_are_refused_and_nothing_is_published(harness, log, define, kind):
    placed = harness.place(define(ROWS))
    put(log, "01:10", "01:10")
    with pytest.raises(ResultError, match="2 rows of one commit"):
        harness.run_again(placed, {"s": log}, MODES[kind], complete=True)
    assert harness.table(placed).count() == 0


def test_a_new_column_is_added_to_the_table_and_a_lost_one_stops_the_run(harness, log, define, spark):
    first = define(WINDOWS.format(facts='clock="log"', emit="final"))
    placed = harness.place(first)
    put(log, "01:10", "04:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])

    def with_columns(columns):
        body = WINDOWS.format(facts='clock="log"', emit="final").replace('F.count("*").alias("n")', columns)
        return replace(define(body), name=placed.name, outputs=placed.outputs)

    wider = with_columns('F.count("*").alias("n"), F.max("at").alias("last")')
    put(log, "06:30")
    harness.run_again(wider, {"s": log}, MODES["hourly"])
    shown_now = {(r["n"], r["last"] is None) for r in harness.table(placed).collect()}
    assert shown_now == {(1, True), (1, False)}
    before = spark.table(f"{placed.sink.table}.snapshots").count()
    with pytest.raises(ResultError, match=r"n \(bigint\) is not in the result"):
        harness.run_again(with_columns('F.max("at").alias("last")'), {"s": log}, MODES["hourly"])
    with pytest.raises(ResultError, match="n is double in the result and bigint in the table"):
        harness.run_again(
            with_columns('F.count("*").cast("double").alias("n"), F.max("at").alias("last")'),
            {"s": log},
            MODES["hourly"],
        )
    assert spark.table(f"{placed.sink.table}.snapshots").count() == before


def test_a_late_record_of_an_open_hour_is_counted_by_the_stream_that_takes_over(harness, log, define):
    placed = harness.place(define(WINDOWS.format(facts='clock="log", late="correct"', emit="final")))
    put(log, "10:05", late="01:15")
    put(log, "11:25")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == {}
    put(log, "13:00")
    harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    assert shown(harness, placed) == {"10": 1, "11": 1, "13": 1}


def test_a_stream_refuses_to_go_on_after_a_gap(harness, log, placed):
    put(log, "01:10", "02:10", "03:10", "04:10", "09:00")
    for first, last in ((0, 2), (4, 5)):
        wanted = Interval(DAY + first * HOUR, DAY + last * HOUR)
        harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted)
    with pytest.raises(CallError, match="T02:00:00Z/2013-02-01T04:00:00Z is not published"):
        harness.run_again(placed, {"s": log}, MODES["continuous"])


PAIRS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

FACTS = {"event_time": "at", "lateness": "1 hour", "disorder": "0 seconds", "clock": "log"}

@pipeline(
    inputs={"a": sources.Kafka("a", schema="k string, at timestamp", **FACTS),
            "b": sources.Kafka("b", schema="k string, at timestamp", **FACTS)},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def pairs(a, b):
    near = F.expr("a.k = b.k AND b.at BETWEEN a.at - INTERVAL 10 MINUTES AND a.at")
    return a.alias("a").join(b.alias("b"), near, "left").select("a.at", F.col("b.at").alias("seen"))
"""


def test_a_stream_of_two_logs_goes_on_where_only_one_of_them_has_moved(harness, define):
    placed = harness.place(define(PAIRS))
    logs = {name: MemoryLog(name, clock=Clock("2013-02-01T06:00:00Z")) for name in "ab"}
    put(logs["a"], "01:10", "03:00")
    put(logs["b"], "01:05", "09:00")
    harness.run_again(placed, logs, MODES["continuous"])
    assert harness.table(placed).count() == 1
    put(logs["a"], "04:00", "07:00")  # and b's frontier stays where it was before the stream began again
    harness.run_again(placed, logs, MODES["continuous"])
    seen = sorted((r["at"].hour, r["seen"] is not None) for r in harness.table(placed).collect())
    for log in logs.values():
        log.close()
    assert seen == [(1, True), (3, False), (4, False)]


def test_a_stream_refuses_to_begin_after_a_named_interval_that_nothing_precedes(harness, log, placed):
    put(log, "01:10", "02:10", "03:10", "09:00")
    wanted = Interval(DAY + 3 * HOUR, DAY + 4 * HOUR)
    harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted)
    with pytest.raises(CallError, match=r"/2013-02-01T03:00:00Z is not published"):
        harness.run_again(placed, {"s": log}, MODES["continuous"])


def test_a_stream_does_not_begin_from_a_log_that_retention_has_cut(harness, log, placed, monkeypatch):
    put(log, "01:10", "02:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    monkeypatch.setattr(MemoryLog, "begins", lambda _: Offsets({0: 3, 1: 0}))
    monkeypatch.setattr(MemoryLog, "earliest_arrivals", lambda _: {0: DAY + 6 * HOUR})
    with pytest.raises(LostDataError, match="a stream would go on from 2013-02-01T04:00:00Z, and retention"):
        harness.run_again(placed, {"s": log}, MODES["continuous"])


def test_a_stream_that_begins_at_a_named_instant_leaves_nothing_to_corrections(harness, log, placed, spark):
    """Else `verify` would compare the warm-up's range with what the bounded strategy makes of it."""
    put(log, "01:10", "02:10", "02:40", "03:10")
    with harness.job(placed, {"s": log}, MODES["continuous"]) as job:
        request = continuous.Request(
            mode=MODES["continuous"],
            grid=MODES["hourly"].grid("UTC"),
            until=job.cut(),
            complete=True,
            begin=DAY + 2 * HOUR,
            max_records_per_batch=1,
        )
        report = continuous.run(job, request, threading.Event())
        assert spark.table(job.books.name("corrections")).count() == 0
    assert report.intervals == []
    assert shown(harness, placed) == {"02": 2, "03": 1}


def test_a_stream_looks_at_what_named_intervals_have_passed_over(harness, log, placed):
    put(log, "01:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "01:20", "04:10", "06:10", "12:00")  # the first one is a straggler
    wanted = Interval(DAY + 4 * HOUR, DAY + 10 * HOUR)
    harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted)
    report = harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    assert shown(harness, placed) == {"01": 2, "04": 1, "05": 1, "06": 1, "12": 1}
    assert report.accounts.read == 4


def test_maintenance_and_expiry_leave_the_map_where_it_is(harness, log, placed, spark):
    put(log, "01:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    table = java_table(spark, placed.sink.table)
    for _ in range(2):  # as compaction commits, without a map
        table.newFastAppend().commit()
    own = table.currentSnapshot().parentId()
    table.expireSnapshots().expireSnapshotId(own).commit()
    put(log, "06:10", "09:00")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == {"01": 1, "05": 1, "06": 1}


def test_a_branch_of_somebody_else_is_left_alone(harness, log, placed, spark):
    put(log, "01:10", "05:30")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    table = java_table(spark, placed.sink.table)
    table.manageSnapshots().createBranch("headway_audit", table.currentSnapshot().snapshotId()).commit()
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert "headway_audit" in set(java_table(spark, placed.sink.table).refs().keySet())


def test_a_stream_goes_on_where_its_checkpoint_stands(harness, log, placed):
    """A correction moves the sink's position ahead of what the stream has read."""
    put(log, "01:10", "02:10", "03:10")
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    put(log, "01:20", "04:10", "05:10", "06:10")
    with harness.job(placed, {"s": log}, MODES["hourly"]) as job:
        grid = MODES["hourly"].grid("UTC")
        asked = bounded.Request(mode=MODES["hourly"], grid=grid, cut=job.cut(), beside_stream=True)
        bounded._look_at_the_rest(job, asked, Report(pipeline="p", mode="hourly", lineage="bounded"))
    put(log, "12:00")
    report = harness.run_again(
        placed, {"s": log}, MODES["continuous"], complete=True, max_records_per_batch=1
    )
    assert shown(harness, placed) == {"01": 2, "02": 1, "03": 1, "04": 1, "05": 1, "06": 1, "12": 1}
    assert report.accounts.read == 1  # the others were counted when the correction was looked for


def test_a_micro_batch_closes_what_the_one_before_it_has_proved(harness, log, placed, spark):
    put(log, "01:10", "03:10", "05:10", "07:10")
    harness.run_again(placed, {"s": log}, MODES["continuous"], max_records_per_batch=1)
    rows = spark.sql(
        f"SELECT summary['headway.closed-through'] AS closed, summary['headway.offsets'] AS offsets "
        f"FROM {placed.sink.table}.snapshots WHERE summary['headway.batch-id'] IS NOT NULL ORDER BY committed_at"
    ).collect()
    read = [sum(json.loads(r["offsets"])["s"]["to"].values()) for r in rows]
    closed = {n: r["closed"][11:16] for n, r in zip(read, rows, strict=True)}
    # An hour of lateness, and a millisecond, behind the record before; the stream begins at the first one's.
    assert closed == {1: "00:10", 2: "00:10", 3: "02:09", 4: "06:09"}


def test_a_stream_that_is_stopped_declares_final_what_it_has_published_and_no_more(
    harness, log, placed, monkeypatch
):
    put(log, "01:10", "02:10", "03:10", "05:10", "07:10", "09:10")
    stop, publish, published = threading.Event(), Batches.publish, []

    def publish_and_stop(self, *batch):
        publish(self, *batch)
        published.append(batch)
        if len(published) == 4:
            stop.set()

    with monkeypatch.context() as patched:
        patched.setattr(Batches, "publish", publish_and_stop)
        with harness.job(placed, {"s": log}, MODES["continuous"]) as job:
            request = continuous.Request(
                mode=MODES["continuous"],
                grid=MODES["hourly"].grid("UTC"),
                until=job.cut(),
                max_records_per_batch=1,
            )
            continuous.run(job, request, stop)
    assert "02" not in shown(harness, placed)  # it is in the state, though the frontier has passed it
    harness.run_again(placed, {"s": log}, MODES["continuous"], complete=True)
    assert shown(harness, placed) == dict.fromkeys(("01", "02", "03", "05", "07", "09"), 1)


def test_published_rows_are_not_replaced_from_a_log_that_retention_has_cut(harness, log, define, monkeypatch):
    placed = harness.place(define(WINDOWS.format(facts='clock="log"', emit="final")))
    put(log, "01:10", "01:20", "04:30")
    wanted = Interval(DAY + HOUR, DAY + 2 * HOUR)
    harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=wanted)
    text = WINDOWS.format(facts='clock="log"', emit="final").replace('F.count("*")', '(F.count("*") * 10)')
    changed = replace(define(text), name=placed.name, outputs=placed.outputs)
    monkeypatch.setattr(MemoryLog, "begins", lambda _: Offsets({0: 1, 1: 0}))
    with pytest.raises(LostDataError, match="retention may have eaten"):
        harness.run_again(changed, {"s": log}, MODES["hourly"], wanted=wanted)
    assert shown(harness, placed) == {"01": 2}
