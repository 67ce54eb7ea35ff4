"""Where the verdicts of units are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway import instant
from headway.config import Quality
from headway.errors import FailedRuleError
from headway.interval import Interval
from headway.quality.suite import Suite
from headway.quality.verdict import Verdict
from headway.run.files import Files
from headway.run.judged import Judged
from headway.run.validations import Validations
from headway.run.verdicts import Verdicts
from headway.testing import MODES, Clock, MemoryLog

pytestmark = pytest.mark.slow

ROWS = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, v int, at timestamp", event_time="at", lateness="1 hour",
                               disorder="0 seconds", clock="log", quality="input")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t", keys=[])],
    quality="output",
)
def rows(s):
    return s.select("k", "v", "at")
"""
SMALL = (
    "expect_column_values_to_be_between",
    {"column": "v", "max_value": 9},
    {"rule": "small", "on_fail": "fail"},
)
COUNT = ("expect_table_row_count_to_be_between", {"min_value": 1}, {"rule": "rows"})


def test_a_run_keeps_the_result_of_each_unit_and_of_one_judged_again_the_newest(
    harness, define, suite, spark
):
    log = MemoryLog("s", clock=Clock("2013-02-09T00:00:00Z"))
    suite("input", COUNT, per="2 hours", gate="mark")
    suite("output", SMALL, per="2 hours")
    placed = harness.place(define(ROWS))
    for time, v in (("01:10", 1), ("02:20", 77)):
        at = f"2013-02-01T{time}:00Z"
        log.append({"k": "a", "v": v, "at": at}, arrival=instant.parse(at))
    kept = Validations(Files(spark), f"{harness.state}/quality")
    with pytest.raises(FailedRuleError):
        harness.run_again(placed, {"s": log}, MODES["hourly"], complete=True)
    found = [
        (r["meta"]["batch_spec"]["subject"], r["meta"]["batch_spec"]["unit_start"][11:16], r["success"])
        for r in kept.read(placed.name)
    ]
    assert found == [
        ("result", "00:00", True),
        ("result", "02:00", False),
        ("source s", "00:00", True),
        ("source s", "02:00", True),
    ]
    failed = list(kept.read(placed.name))[1]
    assert failed["results"][0]["result"]["partial_unexpected_list"] == [77]
    suite("output", (*SMALL[:2], {"rule": "small", "on_fail": "warn"}), per="2 hours")
    harness.run_again(placed, {"s": log}, MODES["hourly"], complete=True)
    again = list(kept.read(placed.name))
    assert len(again) == 4
    assert again[1]["meta"]["validation_time"] > failed["meta"]["validation_time"]
    log.close()


def test_a_result_that_cannot_be_written_is_said_and_the_run_goes_on(spark, tmp_path):
    (tmp_path / "quality").write_text("a file where the folder should be")
    said = []
    verdicts = Verdicts(spark, "p", state=str(tmp_path), quality=Quality(), say=said.append)
    judged = Judged(
        pipeline="p",
        source=None,
        suite=Suite(name="s", file=Path("s.json"), rules=()),
        unit=Interval(0, instant.SECOND),
        verdict=Verdict(success=True, results=[], failed=(), fatal=()),
    )
    verdicts.keep([judged])
    assert [text.partition(", 1970")[0] for text in said] == ["the validation result of p"]
    assert "was not written: " in said[0]
