"""Archives: taken in once, read by pruning, kept beyond retention; erasures that the intervals follow."""

from __future__ import annotations

import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from headway import instant
from headway.catalog import java_table
from headway.errors import DefinitionError, LostDataError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.run import continuous, landing
from headway.run.archive import Archive
from headway.run.archived_log import ArchivedLog
from headway.run.inputs import Reading, result
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow
WINDOWS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="{schema}", event_time="at", lateness="1 hour", disorder="0 seconds",
                              clock="log", late="quarantine", archive={archive!r})}},
    output_time="window",
    emit="{emit}",
    outputs=[sinks.Iceberg("lake.n.t", keys=["k", "window"])],
)
def counts(s):
    return s.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""
SCHEMA = "k string, at timestamp"


class Forgetful(MemoryLog):
    """A log whose retention has eaten the first records of its partition 0."""

    first = 0

    def begins(self):
        return Offsets({**super().begins(), 0: self.first})

    def offsets_at(self, moment, ends):
        return super().offsets_at(moment, ends).greatest(Offsets({0: min(self.first, ends[0])}))

    def earliest_arrivals(self):
        left = {0: instant.parse("2013-02-01T09:15:00Z")} if self.first else {}
        return super().earliest_arrivals() | left

    def intact_since(self):
        return {0: instant.parse("2013-02-01T09:00:00Z")} if self.first else {}

    def read(self, spark, start, end):
        if start.get(0, 0) < self.first and start.get(0, 0) < end.get(0, 0):
            raise LostDataError("retention has eaten it")
        return super().read(spark, start, end)


@pytest.fixture
def log():
    made = Forgetful("s", partitions=2)
    yield made
    made.close()


@pytest.fixture
def placed(harness, define, request):
    harness_table = f"lake.archive.t_{abs(hash(request.node.nodeid)) % 10**9}"
    return harness.place(define(WINDOWS.format(schema=SCHEMA, archive=harness_table, emit="final")))


@pytest.fixture
def archived(spark, log, placed):
    return ArchivedLog(log, placed.sources["s"], spark)


def put(log, *times, k="a", late="00:05"):
    for time in times:
        at = instant.parse(f"2013-02-01T{time}:00Z")
        arrival = at + instant.parse(f"1970-01-01T{late}:00Z")
        log.append({"k": k, "at": instant.iso(at)}, key=k.encode(), arrival=arrival, partition=0)


def shown(harness, placed):
    rows = harness.table(placed).collect()
    return {(r["k"], r["window"]["start"].strftime("%H")): r["n"] for r in rows}


def test_records_are_taken_in_once_raw_and_parsed(harness, log, archived, placed, spark):
    put(log, "01:10", "02:10")
    log.append(b"{broken", arrival="2013-02-01T02:20:00Z", partition=1)
    log.append(None, arrival="2013-02-01T02:30:00Z", partition=1)
    assert archived.land() == 4
    put(log, "04:10")
    assert archived.land() == 1
    assert archived.land() == 0
    table = spark.table(placed.sources["s"].archive)
    rows = table.orderBy("partition", "offset").collect()
    assert [(r["partition"], r["offset"]) for r in rows] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    parsed = next(c for c in table.columns if c.startswith("parsed_") and c != "parsed_by")
    assert [r[parsed]["k"] for r in rows[:3]] == ["a", "a", "a"]
    assert bytes(rows[3]["value"]) == b"{broken"
    assert [(r["is_broken"], r["is_empty"]) for r in rows] == [(False, False)] * 3 + [
        (True, False),
        (False, True),
    ]
    report = harness.run_again(placed, {"s": archived}, MODES["hourly"], complete=True)
    assert shown(harness, placed) == {("a", "01"): 1, ("a", "02"): 1, ("a", "04"): 1}
    assert (report.accounts.read, report.accounts.dead, report.accounts.tombstones) == (5, 1, 1)


def test_two_who_take_in_beside_each_other_take_in_each_record_once(log, placed, spark):
    put(log, *[f"{h:02}:{m}" for h in range(10) for m in (10, 20, 30)])
    both = [ArchivedLog(log, placed.sources["s"], spark) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        taken = [f.result() for f in [pool.submit(one.land) for one in both]]
    assert sum(taken) == 30
    assert spark.table(placed.sources["s"].archive).count() == 30


@pytest.mark.parametrize("mode_name", ["daily", "hourly", "continuous"])
def test_a_pipeline_reads_what_retention_has_eaten(harness, log, archived, placed, mode_name):
    put(log, "01:10", "02:10", "03:10", "09:10")
    assert archived.land() == 4
    log.first = 3
    put(log, "10:10")
    harness.run_again(placed, {"s": archived}, MODES["hourly"])
    assert shown(harness, placed) == {("a", "01"): 1, ("a", "02"): 1, ("a", "03"): 1}
    harness.run_again(placed, {"s": archived}, MODES[mode_name], complete=True)
    assert shown(harness, placed) == {("a", h): 1 for h in ("01", "02", "03", "09", "10")}
    assert archived.intact_since() == {}
    assert archived.earliest_arrivals()[0] == instant.parse("2013-02-01T01:15:00Z")
    at_two = instant.parse("2013-02-01T02:00:00Z")
    assert archived.offsets_at(at_two, log.ends().offsets)[0] == 1


def test_a_correction_is_computed_beyond_retention(harness, log, archived, placed):
    put(log, "01:10", "02:10", "09:10")
    harness.run_again(placed, {"s": archived}, MODES["hourly"])
    log.first = 2
    straggler = instant.parse("2013-02-01T01:20:00Z")
    log.append({"k": "a", "at": instant.iso(straggler)}, arrival=straggler, partition=0)
    put(log, "12:10")
    harness.run_again(placed, {"s": archived}, MODES["hourly"])
    assert shown(harness, placed)["a", "01"] == 2


def test_what_was_never_taken_in_is_missed(log, archived, placed, spark):
    put(log, "01:10", "02:10", "09:10")
    log.first = 1
    archived.land()
    with pytest.raises(LostDataError, match="before the archive"):
        archived.read(spark, Offsets({0: 0, 1: 0}), log.ends().offsets)
    log.first = 3
    put(log, "10:10", "11:10")
    log.first = 4
    with pytest.raises(LostDataError):
        archived.land()


def test_hours_that_a_span_does_not_meet_are_not_read(harness, log, archived, placed, spark):
    put(log, *[f"{h:02}:10" for h in range(20)])
    archived.land()
    with harness.job(placed, {"s": archived}, MODES["hourly"]) as job:
        readings = {"s": Reading(start=archived.begins(), end=log.ends().offsets, new_from=None)}
        span = Interval(instant.parse("2013-02-01T03:00:00Z"), instant.parse("2013-02-01T05:00:00Z"))
        rows, _ = result(job, readings, job.cut(), span, {}, instant.BEGINNING)
        rows.collect()
        (scan,) = re.findall(r"BatchScan.*", rows._jdf.queryExecution().toString())[-1:]
    assert "event_time >= " in scan
    assert "event_time < " in scan
    assert "value" not in scan.split("filters=")[0]


def test_a_schema_that_changes_parses_what_is_there_again(harness, define, log, archived, placed, spark):
    put(log, "01:10", "02:10")
    archived.land()
    name = placed.sources["s"].archive
    wider = harness.place(
        define(WINDOWS.format(schema="k string, m int, at timestamp", archive=name, emit="final"))
    )
    second = ArchivedLog(log, wider.sources["s"], spark)
    put(log, "03:10")
    assert second.land() == 1
    harness.run_again(wider, {"s": second}, MODES["hourly"], complete=True)
    assert shown(harness, wider) == {("a", h): 1 for h in ("01", "02", "03")}
    harness.run_again(placed, {"s": archived}, MODES["hourly"], complete=True)
    assert shown(harness, placed) == shown(harness, wider)


def test_a_log_that_was_made_anew_is_told_from_the_one_in_the_archive(log, archived, placed, spark):
    put(log, "01:10")
    archived.land()
    other = MemoryLog("s", partitions=2)
    put(other, "01:10")
    try:
        with pytest.raises(LostDataError, match="recreated"):
            ArchivedLog(other, placed.sources["s"], spark).land()
    finally:
        other.close()


def erase(spark, source, log, k, *others):
    log.land()
    return Archive(spark, source).erase(hashlib.sha256(k.encode()).hexdigest(), [source, *others])


@pytest.mark.parametrize("mode_name", ["hourly", "continuous"])
def test_the_intervals_of_erased_records_follow(harness, log, archived, placed, spark, mode_name):
    put(log, "01:10", "02:10")
    put(log, "01:20", "04:20", k="b")
    put(log, "09:10")
    harness.run_again(placed, {"s": archived}, MODES[mode_name])
    assert shown(harness, placed)["b", "01"] == 1
    found, count = erase(spark, placed.sources["s"], archived, "b")
    assert (count, len(found.hours)) == (2, 2)
    name = placed.sources["s"].archive
    assert spark.table(name).filter("key = 'b'").count() == 0
    put(log, "12:10")
    put(log, "12:20", k="b")
    again = ArchivedLog(log, placed.sources["s"], spark)
    harness.run_again(placed, {"s": again}, MODES[mode_name])
    put(log, "15:10")
    report = harness.run_again(placed, {"s": again}, MODES[mode_name], complete=True)
    expected = {("a", h): 1 for h in ("01", "02", "09", "12", "15")} | {("b", "12"): 1}
    assert shown(harness, placed) == expected
    assert report.accounts.balance() == 0
    # In whichever mode it is computed from the beginning, though the log itself still holds them.
    for mode in MODES.values():
        anew = harness.place(placed)
        harness.run_again(anew, {"s": ArchivedLog(log, placed.sources["s"], spark)}, mode, complete=True)
        assert shown(harness, anew) == expected


def test_an_erasure_that_died_half_way_is_finished(log, archived, placed, spark, monkeypatch):
    put(log, "01:10")
    put(log, "01:20", k="b")
    archived.land()
    source = placed.sources["s"]
    with monkeypatch.context() as broken:
        broken.setattr(Archive, "finish_erasures", _dies)
        with pytest.raises(ZeroDivisionError):
            Archive(spark, source).erase(hashlib.sha256(b"b").hexdigest(), [source])
    # Written down is erased: nobody reads it any more, though the rows are still there.
    assert [
        bytes(r["key"]) for r in archived.read(spark, archived.begins(), log.ends().offsets).collect()
    ] == [b"a"]
    Archive(spark, placed.sources["s"]).finish_erasures()
    assert spark.table(placed.sources["s"].archive).count() == 1


def test_no_file_holds_what_was_erased(log, archived, placed, spark):
    put(log, "01:10")
    put(log, "01:20", k="somebody")
    archived.land()
    name = placed.sources["s"].archive
    before = {r["file_path"] for r in spark.sql(f"SELECT file_path FROM {name}.all_data_files").collect()}
    erase(spark, placed.sources["s"], archived, "somebody")
    after = {r["file_path"] for r in spark.sql(f"SELECT file_path FROM {name}.all_data_files").collect()}
    assert not before & after
    rows = spark.read.parquet(*after).select("key").collect()
    assert [bytes(r["key"]) for r in rows] == [b"a"]
    assert archived.land() == 0


def test_a_branch_that_holds_the_erased_keeps_the_erasure_open(log, archived, placed, spark):
    put(log, "01:10")
    put(log, "01:20", k="b")
    archived.land()
    source = placed.sources["s"]
    table = java_table(spark, source.archive)
    table.manageSnapshots().createBranch("landing_dead", table.currentSnapshot().snapshotId()).commit()
    erase(spark, source, archived, "b")
    assert java_table(spark, source.archive).properties().get("headway.erasure") is None
    table = java_table(spark, source.archive)
    table.manageSnapshots().removeBranch("landing_dead").commit()
    put(log, "02:10")
    archived.land()
    assert java_table(spark, source.archive).properties().get("headway.erasure") == "1"
    files = [
        r["file_path"] for r in spark.sql(f"SELECT file_path FROM {source.archive}.all_data_files").collect()
    ]
    assert {bytes(r["key"]) for r in spark.read.parquet(*files).select("key").collect()} == {b"a"}


def test_the_hours_of_every_reader_count(harness, define, log, archived, placed, spark):
    other = define(
        WINDOWS.format(schema="k string, at bigint", archive=placed.sources["s"].archive, emit="final")
    ).sources["s"]
    log.append(
        {"k": "a", "at": instant.parse("2013-02-01T05:10:00Z") // 1_000},
        key=b"a",
        arrival="2013-02-01T05:10:00Z",
    )
    found, _ = erase(spark, placed.sources["s"], archived, "a", other)
    assert found.hours == (instant.parse("2013-02-01T05:00:00Z"),)  # to the first one it is a dead letter


def test_what_is_early_or_named_follows_an_erasure_too(harness, define, log, archived, placed, spark):
    early = harness.place(
        define(WINDOWS.format(schema=SCHEMA, archive=placed.sources["s"].archive, emit="early"))
    )
    put(log, "01:10", "02:10", "08:10")
    put(log, "01:20", "08:20", k="b")
    harness.run_again(early, {"s": archived}, MODES["hourly"])
    assert shown(harness, early)["b", "08"] == 1  # not closed yet
    erase(spark, early.sources["s"], archived, "b")
    again = ArchivedLog(log, early.sources["s"], spark)
    hour = Interval(instant.parse("2013-02-01T01:00:00Z"), instant.parse("2013-02-01T02:00:00Z"))
    harness.run_again(early, {"s": again}, MODES["hourly"], wanted=hour)
    assert ("b", "01") not in shown(harness, early)
    harness.run_again(early, {"s": again}, MODES["hourly"])
    assert shown(harness, early) == {("a", "01"): 1, ("a", "02"): 1, ("a", "08"): 1}


def test_what_was_erased_stays_away_when_a_source_names_another_archive_or_none(
    harness, define, log, archived, placed, spark
):
    def naming(archive):
        text = WINDOWS.format(schema=SCHEMA, archive=archive, emit="final")
        return replace(define(text), name=placed.name, outputs=placed.outputs)

    put(log, "01:10", "09:10")
    put(log, "01:20", k="b")
    harness.run_again(placed, {"s": archived}, MODES["hourly"])
    erase(spark, placed.sources["s"], archived, "b")
    without = naming(None)
    with pytest.raises(DefinitionError, match="no longer names the archive lake"):
        harness.run_again(without, {"s": log}, MODES["hourly"])
    other = naming(f"{placed.sources['s'].archive}_other")
    again = ArchivedLog(log, other.sources["s"], spark)
    for _ in range(2):
        harness.run_again(other, {"s": again}, MODES["hourly"])
        assert shown(harness, other) == {("a", "01"): 1}
        assert [e.number for e in Archive(spark, other.sources["s"]).erasures()] == [1]
    again.land()
    assert spark.table(other.sources["s"].archive).filter("key = 'b'").count() == 0


def test_an_instant_beyond_retention_is_asked_for_once(log, archived, spark, monkeypatch):
    put(log, "01:10", "02:10", "09:10")
    archived.land()
    log.first = 2
    asked = []
    arrivals = Archive.arrivals
    monkeypatch.setattr(Archive, "arrivals", lambda *a: asked.append(a[1:]) or arrivals(*a))
    for _ in range(2):
        assert archived.offsets_at(instant.parse("2013-02-01T02:00:00Z"), log.ends().offsets)[0] == 1
    assert len(asked) == 1


def test_quarantined_records_are_erased_and_stay_away(harness, log, archived, placed, spark):
    put(log, "01:10", "09:10")
    put(log, "01:20", k="b", late="06:00")
    put(log, "01:30", k="c", late="06:00")
    harness.run_again(placed, {"s": archived}, MODES["hourly"])
    quarantine = f"lake.headway.{placed.name}_quarantine"
    assert spark.table(quarantine).count() == 2
    erase(spark, placed.sources["s"], archived, "b")
    again = ArchivedLog(log, placed.sources["s"], spark)
    report = harness.run_again(placed, {"s": again}, MODES["hourly"])
    assert [bytes(r["key"]) for r in spark.table(quarantine).collect()] == [b"c"]
    assert report.accounts.quarantined == 0
    put(log, "12:10")
    assert harness.run_again(placed, {"s": again}, MODES["hourly"]).accounts.quarantined == 0


def test_a_stream_takes_in_beside_itself(harness, log, archived, placed, spark, await_, monkeypatch):
    monkeypatch.setattr("headway.run.archived_log._TAKE_IN_EVERY", 0.5)
    put(log, "01:10")
    stop = threading.Event()

    def stream():
        with harness.job(placed, {"s": archived}, MODES["continuous"]) as job, landing.beside(job, stop):
            request = continuous.Request(mode=MODES["continuous"], grid=MODES["hourly"].grid("UTC"))
            continuous.run(job, request, stop)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream)
        try:
            name = placed.sources["s"].archive
            await_(lambda: spark.catalog.tableExists(name) and spark.table(name).count() == 1, running)
            put(log, "04:10")
            await_(lambda: spark.table(name).count() == 2, running)
        finally:
            stop.set()
        running.result()


def _dies(*_):
    raise ZeroDivisionError
