"""Suites in runs: the same rows left out and the same verdicts in every mode, units held back or marked."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from headway import instant
from headway.errors import DefinitionError, FailedRuleError, NotYetClosedError
from headway.interval import Interval
from headway.run.books import Books
from headway.run.judging import RESULT
from headway.testing import MODES, Clock, MemoryLog

pytestmark = pytest.mark.slow
DAY = instant.parse("2013-02-01T00:00:00Z")
HOUR = instant.duration("1 hour")

ROWS = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="k string, v int, at timestamp", event_time="at", lateness="1 hour",
                              disorder="0 seconds", clock="log", {facts})}},
    output_time="at",
    {more}
    outputs=[sinks.Iceberg("lake.n.t", keys=[])],
)
def rows(s):
    return s.select("k", "v", "at")
"""
NOT_NULL = ("expect_column_values_to_not_be_null", {"column": "k"}, {"rule": "has k"})
RANGE = (
    "expect_column_values_to_be_between",
    {"column": "v", "min_value": 0, "max_value": 9},
    {"rule": "v fits"},
)
BIG = (
    "expect_column_values_to_be_between",
    {"column": "v", "max_value": 99},
    {"rule": "not big", "on_fail": "drop"},
)
COUNT = ("expect_table_row_count_to_be_between", {"min_value": 2}, {"rule": "two rows"})
UNIQUE = ("expect_column_values_to_be_unique", {"column": "k"}, {"rule": "k once", "on_fail": "warn"})


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=2, clock=Clock("2013-02-09T00:00:00Z"))
    yield made
    made.close()


def put(log, time, v=1, k="a", day=1):
    at = instant.parse(f"2013-02-0{day}T{time}:00Z")
    log.append({"k": k, "v": v, "at": instant.iso(at)}, arrival=at)


def pipeline_of(define, *, quality="rules", facts="", more=""):
    return define(ROWS.format(facts=facts, more=f'quality="{quality}", {more}' if quality else more))


def shown(harness, placed):
    return sorted((r["at"].strftime("%d %H:%M"), r["k"], r["v"]) for r in harness.table(placed).collect())


def rejected(spark, placed):
    table = Books(spark, placed.name, placed.sink.table).name("rejected")
    return sorted(
        (r["output_time"].strftime("%d %H:%M"), tuple(r["rules"]), json.loads(r["row"])["v"])
        for r in spark.table(table).collect()
    )


def marks(harness, placed, log, subject=RESULT):
    with harness.job(placed, {"s": log}, MODES["hourly"]) as job:
        found = job.target.ownership().marks.get(subject, ())
        gate = job.gate if subject == RESULT else job.source_gates[subject]
        return [(str(unit), m.failed) for m in found for unit in gate.within(m.interval)]


@pytest.mark.parametrize("gate", ["hold", "mark"])
def test_every_mode_leaves_out_the_same_rows_and_gives_the_same_verdicts(
    harness, define, suite, log, spark, gate
):
    suite(
        "rules",
        NOT_NULL,
        RANGE,
        BIG,
        (*COUNT[:2], {**COUNT[2], "on_fail": "warn"}),
        UNIQUE,
        per="6 hours",
        gate=gate,
    )
    placed = pipeline_of(define)
    put(log, "01:10"), put(log, "02:20", v=-1), put(log, "03:30", v=100, k=None), put(log, "04:40", v=500)
    put(log, "07:00", k="b"), put(log, "08:00", k="b", v=2), put(log, "13:00", v=11), put(log, "19:30", k="c")
    put(log, "00:30", day=2), put(log, "09:00", day=2)
    found = {}
    for name, mode, size in (
        ("daily", "daily", None),
        ("hourly", "hourly", None),
        ("one by one", "continuous", 1),
        ("by three", "continuous", 3),
    ):
        trial = harness.place(placed)
        report = harness.run_again(trial, {"s": log}, MODES[mode], complete=True, max_records_per_batch=size)
        assert report.rejected == 4
        # A mode with longer intervals declares more of the empty time behind the end of the log closed.
        until = [mark for mark in marks(harness, trial, log) if mark[0] < "2013-02-02T06"]
        found[name] = (shown(harness, trial), rejected(spark, trial), until)
    rows, left_out, verdicts = found["daily"]
    assert [r[0] for r in rows] == ["01 01:10", "01 07:00", "01 08:00", "01 19:30", "02 00:30", "02 09:00"]
    assert left_out == [  # what breaks drop rules alone is kept nowhere
        ("01 02:20", ("v fits",), -1),
        ("01 03:30", ("has k", "v fits", "not big"), 100),
        ("01 04:40", ("v fits", "not big"), 500),
        ("01 13:00", ("v fits",), 11),
    ]
    assert verdicts == [
        ("2013-02-01T00:00:00Z/2013-02-01T06:00:00Z", ("has k", "v fits", "not big", "two rows")),
        ("2013-02-01T06:00:00Z/2013-02-01T12:00:00Z", ("k once",)),
        ("2013-02-01T12:00:00Z/2013-02-01T18:00:00Z", ("v fits", "two rows")),
        ("2013-02-01T18:00:00Z/2013-02-02T00:00:00Z", ("two rows",)),
        ("2013-02-02T00:00:00Z/2013-02-02T06:00:00Z", ("two rows",)),
    ]
    for name, said in found.items():
        assert said == found["daily"], name


def test_a_unit_that_is_held_is_shown_when_the_rule_is_mended(harness, define, suite, log, mode):
    suite("rules", COUNT, per="1 hour")
    placed = harness.place(pipeline_of(define))
    for time in ("01:10", "01:20", "02:10", "03:10", "03:20", "05:00"):
        put(log, time)
    with pytest.raises(
        FailedRuleError, match=r"two rows.*2013-02-01T02:00:00Z/2013-02-01T03:00:00Z"
    ) as failed:
        harness.run_again(placed, {"s": log}, mode, complete=True)
    before = ["01 01:10", "01 01:20"] if mode.name != "daily" else []  # an interval is shown as a whole
    assert [r[0] for r in shown(harness, placed)] == before
    assert failed.value.report.failed[0].to_json()[0]["rule"] == "two rows"
    assert marks(harness, placed, log)[-1] == ("2013-02-01T02:00:00Z/2013-02-01T03:00:00Z", ("two rows",))
    suite("rules", (*COUNT[:2], {**COUNT[2], "on_fail": "warn"}), per="1 hour")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert len(shown(harness, placed)) == 6


@pytest.mark.parametrize("mode", [MODES["hourly"], MODES["continuous"]], ids=["hourly", "continuous"])
def test_a_unit_that_is_marked_is_shown_and_the_next_run_goes_on(harness, define, suite, log, mode):
    suite("rules", COUNT, per="1 hour", gate="mark")
    placed = harness.place(pipeline_of(define))
    for time in ("01:10", "01:20", "02:10", "05:00"):
        put(log, time)
    with pytest.raises(FailedRuleError, match="published, and marked"):
        harness.run_again(placed, {"s": log}, mode)
    assert [r[0] for r in shown(harness, placed)][:3] == ["01 01:10", "01 01:20", "01 02:10"]
    put(log, "05:10"), put(log, "08:10")
    with pytest.raises(
        FailedRuleError, match="03:00:00Z/2013-02-01T04:00:00Z"
    ):  # an empty unit is judged too
        harness.run_again(placed, {"s": log}, mode)
    said = dict(marks(harness, placed, log))
    assert said["2013-02-01T01:00:00Z/2013-02-01T02:00:00Z"] == ()
    assert said["2013-02-01T02:00:00Z/2013-02-01T03:00:00Z"] == ("two rows",)


def test_a_correction_has_its_unit_judged_again(harness, define, suite, log):
    suite("rules", COUNT, RANGE, per="1 day", gate="mark")
    placed = harness.place(pipeline_of(define))
    put(log, "01:10"), put(log, "05:00", v=50), put(log, "03:00", day=2)
    with pytest.raises(FailedRuleError):
        harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "02:10")  # a straggler
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert marks(harness, placed, log) == [("2013-02-01T00:00:00Z/2013-02-02T00:00:00Z", ("v fits",))]


def test_hours_of_a_day_that_is_held_wait_for_the_day(harness, define, suite, log):
    suite("rules", COUNT, per="1 day")
    placed = harness.place(pipeline_of(define))
    put(log, "01:10"), put(log, "02:10"), put(log, "20:00")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert shown(harness, placed) == []
    with pytest.raises(NotYetClosedError, match="units of 1 day that the suite 'rules' holds"):
        harness.run_again(placed, {"s": log}, MODES["hourly"], wanted=Interval(DAY + HOUR, DAY + 2 * HOUR))
    put(log, "02:00", day=2)
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert len(shown(harness, placed)) == 3


def test_a_sources_suite_keeps_records_from_the_function_and_they_are_quarantined(
    harness, define, suite, log, mode, spark
):
    suite("input", NOT_NULL, BIG)
    placed = harness.place(pipeline_of(define, quality=None, facts='quality="input"'))
    put(log, "01:10"), put(log, "02:10", k=None), put(log, "03:10", v=200), put(log, "04:10")
    report = harness.run_again(placed, {"s": log}, mode, complete=True, max_records_per_batch=1)
    assert [r[0] for r in shown(harness, placed)] == ["01 01:10", "01 04:10"]
    accounts = report.accounts
    assert (accounts.read, accounts.admitted, accounts.quarantined, accounts.dropped) == (4, 4, 1, 1)
    kept = spark.table(Books(spark, placed.name, placed.sink.table).name("quarantine")).collect()
    assert [(r["fate"], r["reason"], r["offset"]) for r in kept] == [("rejected", "breaks has k", 1)]


def test_a_sources_unit_that_has_failed_holds_back_what_depends_on_it(harness, define, suite, log, mode):
    suite("input", COUNT, per="1 hour")
    placed = harness.place(pipeline_of(define, quality=None, facts='quality="input"'))
    for time in ("01:10", "01:20", "02:10", "03:10", "03:20"):
        put(log, time)
    with pytest.raises(FailedRuleError, match="T02:00:00Z/"):
        harness.run_again(placed, {"s": log}, mode, complete=True)
    before = ["01 01:10", "01 01:20"] if mode.name != "daily" else []
    assert [r[0] for r in shown(harness, placed)] == before
    suite("input", (*COUNT[:2], {**COUNT[2], "on_fail": "warn"}), per="1 hour")
    harness.run_again(placed, {"s": log}, mode, complete=True)
    assert len(shown(harness, placed)) == 5


def test_rows_that_are_shown_early_cannot_be_held(harness, define, suite, log):
    suite("rules", COUNT)
    placed = harness.place(pipeline_of(define, more='emit="early",'))
    with pytest.raises(DefinitionError, match="holds them until their unit is judged"):
        harness.run_again(placed, {"s": log}, MODES["hourly"])


def test_a_unit_that_modes_have_made_up_one_after_the_other_is_judged_as_one(
    harness, define, suite, log, spark
):
    """What a stream has counted of rows that were open is not counted again by whom they pass to."""
    few = (
        "expect_column_values_to_be_between",
        {"column": "v", "max_value": 9, "mostly": 0.6},
        {"rule": "few large"},
    )
    none = (
        "expect_column_values_to_be_between",
        {"column": "v", "max_value": 99},
        {"rule": "none huge", "on_fail": "drop"},
    )
    suite("rules", few, none, gate="mark")
    placed = harness.place(pipeline_of(define))
    put(log, "01:10", v=50), put(log, "02:10"), put(log, "05:10", v=500), put(log, "05:20")
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    put(log, "06:00", v=60), put(log, "09:00")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "09:10"), put(log, "10:10"), put(log, "12:00")
    harness.run_again(placed, {"s": log}, MODES["continuous"])
    put(log, "09:00", day=2)
    report = harness.run_again(placed, {"s": log}, MODES["continuous"])
    # Three of nine rows are larger than 9: just as many as may be.
    assert marks(harness, placed, log) == [("2013-02-01T00:00:00Z/2013-02-02T00:00:00Z", ("none huge",))]
    assert (report.units, [j.found("none huge") for j in report.failed]) == (
        1,
        ["1 of 9 values break it (11.1 %)"],
    )
    assert rejected(spark, placed) == [
        ("01 01:10", ("few large",), 50),
        ("01 05:10", ("few large", "none huge"), 500),
        ("01 06:00", ("few large",), 60),
    ]


@pytest.mark.parametrize("mode", [MODES["hourly"], MODES["continuous"]], ids=["hourly", "continuous"])
def test_who_reads_meanwhile_never_sees_a_rejected_row_or_a_unit_that_failed(
    harness, define, suite, log, mode, spark
):
    suite("rules", COUNT, RANGE, per="1 hour")
    placed = harness.place(pipeline_of(define))
    for hour in range(1, 9):
        put(log, f"0{hour}:10"), put(log, f"0{hour}:20", v=-hour)
        if hour != 6:
            put(log, f"0{hour}:30")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            harness.run_again,
            placed,
            {"s": log},
            mode,
            complete=True,
            records_per_job=3,
            max_records_per_batch=2,
        )
        seen = []
        while not running.done():
            if spark.catalog.tableExists(placed.sink.table):
                seen.append(shown(harness, placed))
        with pytest.raises(FailedRuleError, match="T06:00:00Z/"):
            running.result()
    seen.append(shown(harness, placed))
    assert len(seen) > 2  # it was looked at while it ran
    assert all(v > 0 and time < "01 06" for rows in seen for time, _, v in rows)
    assert len(seen[-1]) == 10


def test_a_sources_units_before_its_first_record_are_not_judged_however_often_a_run_finds_nothing(
    harness, define, suite, log
):
    suite("input", COUNT, per="1 hour")
    placed = harness.place(pipeline_of(define, quality=None, facts='quality="input"'))
    put(log, "05:10")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    put(log, "05:20"), put(log, "10:00")
    with pytest.raises(FailedRuleError, match="T06:00:00Z/"):  # the first hour that is empty behind it
        harness.run_again(placed, {"s": log}, MODES["hourly"])
    assert len(shown(harness, placed)) == 2


def test_a_suite_that_changes_within_a_unit_judges_all_of_it(harness, define, suite, log):
    suite("rules", RANGE, gate="mark")
    placed = harness.place(pipeline_of(define))
    put(log, "01:10", v=50), put(log, "02:10", v=60), put(log, "06:00")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    suite("rules", NOT_NULL, RANGE, gate="mark")
    put(log, "12:00", k=None), put(log, "15:00"), put(log, "03:00", day=2)
    report = harness.run_again(placed, {"s": log}, MODES["hourly"])
    (judged,) = report.failed
    assert [judged.found(rule) for rule in ("has k", "v fits")] == [
        "1 of 5 values break it (20 %)",
        "2 of 5 values break it (40 %)",
    ]


def test_rows_that_an_older_suite_let_through_are_counted(harness, define, suite, log):
    suite("rules", NOT_NULL, gate="mark")
    placed = harness.place(pipeline_of(define))
    put(log, "01:10", v=50), put(log, "02:10"), put(log, "06:00")
    harness.run_again(placed, {"s": log}, MODES["hourly"])
    suite("rules", NOT_NULL, RANGE, gate="mark")
    put(log, "12:00"), put(log, "03:00", day=2)
    report = harness.run_again(placed, {"s": log}, MODES["hourly"])
    (judged,) = report.failed
    assert judged.found("v fits") == "1 of 4 values break it (25 %)"


@pytest.mark.parametrize("mode", ["hourly", "continuous"])
def test_a_unit_is_judged_by_its_own_rows_whatever_else_the_commit_holds(harness, define, suite, log, mode):
    suite("rules", UNIQUE, gate="mark")
    placed = harness.place(pipeline_of(define))
    put(log, "01:10", k="a"), put(log, "01:10", k="a", day=2), put(log, "06:00", k="b", day=2)
    report = harness.run_again(placed, {"s": log}, MODES[mode])
    assert report.units == 1
    assert marks(harness, placed, log) == [("2013-02-01T00:00:00Z/2013-02-02T00:00:00Z", ())]
