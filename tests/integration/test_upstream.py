"""Pipelines that read each other's tables: a chain of three, corrections, and tables that others change."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from headway import instant
from headway.catalog import java_table
from headway.errors import DefinitionError, LostDataError, UnavailableError
from headway.interval import Interval
from headway.run import bounded, continuous
from headway.run.verify import verify
from headway.testing import MODES, Clock, MemoryLog

pytestmark = pytest.mark.slow
DAY = instant.parse("2013-02-01T00:00:00Z")
HOUR = instant.duration("1 hour")

COUNTS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                              late="correct", too_late="30 hours", disorder="0 seconds", clock="log")}},
    output_time="window",
    emit="{emit}",
    outputs=[sinks.Iceberg("lake.n.counts", keys=["k", "window"])],
)
def counts(s):
    return s.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""
TOTALS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"counts": sources.Iceberg("{table}", event_time="window",
             schema="k string, window struct<start: timestamp, end: timestamp>, n {kind}")}},
    output_time="window",
    emit="{emit}",
    outputs=[sinks.Iceberg("lake.n.totals", keys=["window"])],
)
def totals(counts):
    return counts.groupBy(F.window("event_time", "4 hours")).agg(F.sum("n").alias("n"))
"""
BUSY = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"totals": sources.Iceberg("{table}", event_time="window",
             schema="window struct<start: timestamp, end: timestamp>, n bigint")}},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.busy", keys=["window"])],
)
def busy(totals):
    return totals.filter("n > 1")
"""


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=2, clock=Clock("2013-02-03T00:00:00Z"))
    yield made
    made.close()


@pytest.fixture
def chain(harness, define):
    return make(harness, define)


def make(harness, define, emit="final", kind="bigint"):
    counts = harness.place(define(COUNTS.format(emit=emit)))
    totals = harness.place(define(TOTALS.format(table=counts.sink.table, emit=emit, kind=kind)))
    busy = harness.place(define(BUSY.format(table=totals.sink.table)))
    return counts, totals, busy


def put(log, *times, late="00:00"):
    for number, time_ in enumerate(times):
        at = instant.parse(f"2013-02-01T{time_}:00Z")
        delay = instant.parse(f"1970-01-01T{late}:00Z")
        log.append({"k": "ab"[number % 2], "at": instant.iso(at)}, arrival=at + delay)


def run(harness, log, chain, mode="hourly", *, complete=False):
    counts, totals, busy = chain
    return [
        harness.run_again(p, {"s": log} if p is counts else {}, MODES[mode], complete=complete)
        for p in (counts, totals, busy)
    ]


def shown(harness, placed):
    return {r["window"]["start"].strftime("%H"): r["n"] for r in harness.table(placed).collect()}


def test_a_chain_gives_the_same_rows_in_every_mode(harness, log, chain, mode):
    put(log, "00:10", "01:10", "01:20", "05:30", "09:10", "09:40", "11:59")
    reports = run(harness, log, chain, mode.name, complete=True)
    assert shown(harness, chain[1]) == {"00": 3, "04": 1, "08": 3}
    assert shown(harness, chain[2]) == {"00": 3, "08": 3}
    assert reports[1].accounts.read == reports[1].accounts.admitted == harness.table(chain[0]).count()


def test_nothing_is_published_beyond_what_the_upstream_has_closed(harness, log, chain):
    put(log, "00:10", "03:10", "05:10")
    reports = run(harness, log, chain)
    assert [r.closed_through for r in reports] == [DAY + 4 * HOUR] * 3
    assert shown(harness, chain[1]) == {"00": 2}
    put(log, "08:30", "09:30")
    run(harness, log, chain)
    assert shown(harness, chain[1]) == {"00": 2, "04": 1}
    again = run(harness, log, chain)
    assert [r.intervals for r in again] == [[], [], []]


def test_a_correction_of_the_first_goes_through_the_chain_and_touches_nothing_else(harness, log, chain):
    put(log, "00:10", "01:10", "05:10", "09:10", "13:10", "14:30")
    run(harness, log, chain)
    assert shown(harness, chain[1]) == {"00": 2, "04": 1, "08": 1}
    put(log, "05:40", late="10:00")
    _, totals, busy = run(harness, log, chain)
    touched = Interval(DAY + 4 * HOUR, DAY + 8 * HOUR)
    for report in (totals, busy):
        revised = [i for i, revision in report.intervals if revision > 1]
        assert revised
        assert all(touched.contains(i) for i in revised)
    assert shown(harness, chain[1]) == {"00": 2, "04": 2, "08": 1}
    assert shown(harness, chain[2]) == {"00": 2, "04": 2}


def test_the_modes_agree_for_each_of_a_chain_that_was_corrected(harness, log, chain, spark):
    put(log, "00:10", "01:10", "05:10", "09:10", "09:50", "13:10")
    run(harness, log, chain)
    put(log, "05:40", late="08:00")
    run(harness, log, chain, complete=True)
    for placed in chain:
        logs = {"s": log} if placed is chain[0] else {}
        verdict = verify(spark, placed, logs, MODES, Interval(DAY, DAY + 12 * HOUR), zone="UTC")
        assert verdict.agree, verdict.rows
        assert [m["name"] for m in verdict.modes] == list(MODES)
        assert all(m["rows"] for m in verdict.modes)


def test_named_intervals_are_computed_again_where_the_upstream_has_changed(harness, log, chain):
    put(log, "00:10", "01:10", "05:10", "09:10", "10:30")
    run(harness, log, chain)
    put(log, "01:40", late="12:00")
    harness.run_again(chain[0], {"s": log}, MODES["hourly"])
    named = Interval(DAY, DAY + 4 * HOUR)
    report = harness.run_again(chain[1], {}, MODES["hourly"], wanted=named)
    assert shown(harness, chain[1])["00"] == 3
    assert [i for i, _ in report.intervals] == [Interval(DAY + 3 * HOUR, DAY + 4 * HOUR)]


def test_an_upstream_that_has_closed_nothing_or_holds_no_row_is_waited_for(harness, log, chain):
    for placed in chain:
        harness.run_again(placed, {"s": log} if placed is chain[0] else {}, MODES["daily"])
    put(log, "00:10")
    run(harness, log, chain, "daily")
    assert shown(harness, chain[1]) == {}
    put(log, "05:10", "09:10")
    run(harness, log, chain)
    assert shown(harness, chain[2]) == {}
    assert shown(harness, chain[1]) == {"00": 1, "04": 1}


def test_what_is_open_upstream_is_shown_early(harness, log, define):
    chain = make(harness, define, emit="early")
    put(log, "00:10", "01:10", "02:10")
    run(harness, log, chain)
    assert shown(harness, chain[1]) == {"00": 3}
    put(log, "03:10", "05:10")
    reports = run(harness, log, chain)
    assert shown(harness, chain[1]) == {"00": 4, "04": 1}
    assert reports[1].closed_through == DAY + 4 * HOUR


def test_rows_that_somebody_deletes_upstream_are_followed_and_files_written_anew_are_not(
    harness, log, chain, spark
):
    put(log, "00:10", "01:10", "05:10", "05:20", "09:10", "10:30")
    run(harness, log, chain)
    assert shown(harness, chain[1]) == {"00": 2, "04": 2}
    table = chain[0].sink.table
    spark.sql(
        f"CALL lake.system.rewrite_data_files(table => '{table}', options => map('min-input-files', '1', 'rewrite-all', 'true'))"
    )
    _, totals, _ = run(harness, log, chain)
    assert totals.intervals == []
    spark.sql(f"DELETE FROM {table} WHERE k = 'b' AND window.start >= TIMESTAMP '2013-02-01T05:00:00Z'")
    run(harness, log, chain)
    assert shown(harness, chain[1]) == {"00": 2, "04": 1}
    assert shown(harness, chain[2]) == {"00": 2}


def test_a_history_that_expiry_has_cut_is_recomputed_whole(harness, log, chain, spark):
    put(log, "00:10", "01:10", "05:10", "05:20", "09:10", "10:30")
    run(harness, log, chain)
    put(log, "01:40", late="12:00")
    counts = chain[0]
    harness.run_again(counts, {"s": log}, MODES["hourly"])
    table = java_table(spark, counts.sink.table)
    table.expireSnapshots().expireOlderThan(instant.END // 1_000_000).retainLast(1).commit()
    run(harness, log, chain)
    assert shown(harness, chain[1])["00"] == 3


def test_a_table_that_was_made_anew_is_not_taken_for_the_old_one(harness, log, chain, spark):
    put(log, "00:10", "01:10", "05:10")
    run(harness, log, chain)
    spark.sql(f"DROP TABLE {chain[0].sink.table} PURGE")
    harness.run_again(chain[0], {"s": log}, MODES["hourly"])
    with pytest.raises(LostDataError, match="recreated or cut off"):
        harness.run_again(chain[1], {}, MODES["hourly"])


def test_an_upstream_that_has_not_run_or_has_other_columns_is_named(harness, log, chain, define):
    with pytest.raises(UnavailableError, match="is not there"):
        harness.run_again(chain[1], {}, MODES["hourly"])
    other = make(harness, define, kind="string")
    put(log, "00:10", "05:10")
    harness.run_again(other[0], {"s": log}, MODES["hourly"])
    with pytest.raises(DefinitionError, match="n is string here and bigint there"):
        harness.run_again(other[1], {}, MODES["hourly"])


def test_a_stream_takes_up_what_is_published_while_it_runs(harness, log, chain, spark, await_):
    put(log, "00:10", "01:10", "05:10")
    counts, totals, _ = chain
    harness.run_again(counts, {"s": log}, MODES["hourly"])
    stop = threading.Event()

    def stream():
        with harness.job(totals, {}, MODES["continuous"]) as job:
            request = continuous.Request(mode=MODES["continuous"], grid=MODES["hourly"].grid("UTC"))
            continuous.run(job, request, stop)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream)
        try:
            await_(lambda: spark.catalog.tableExists(totals.sink.table), running)
            await_(lambda: shown(harness, totals) == {"00": 2}, running)
            put(log, "01:30", late="04:00")
            put(log, "09:10")
            harness.run_again(counts, {"s": log}, MODES["hourly"])
            await_(lambda: shown(harness, totals) == {"00": 3, "04": 1}, running)
        finally:
            stop.set()
        running.result()


def test_a_run_that_dies_before_it_publishes_looks_at_the_same_commits_again(
    harness, log, chain, monkeypatch
):
    put(log, "00:10", "01:10", "05:10", "09:10", "10:30")
    run(harness, log, chain)
    put(log, "01:40", late="12:00")
    harness.run_again(chain[0], {"s": log}, MODES["hourly"])
    with monkeypatch.context() as patched:
        patched.setattr(bounded, "settle_corrections", _dies)
        with pytest.raises(ZeroDivisionError):
            harness.run_again(chain[1], {}, MODES["hourly"])
    harness.run_again(chain[1], {}, MODES["hourly"])
    assert shown(harness, chain[1])["00"] == 3


def _dies(*_, **__):
    raise ZeroDivisionError
