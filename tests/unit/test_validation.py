"""Verdicts as Great Expectations keeps them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headway import instant
from headway.interval import Interval
from headway.quality import gx
from headway.quality.hiding import hidden
from headway.quality.suite import Rule, Suite
from headway.quality.validation import validation_result
from headway.quality.verdict import result_of, verdict_of

DAY = Interval(instant.parse("2013-02-01T05:00Z"), instant.parse("2013-02-02T05:00Z"))


def rule(kind, rule_id, *, on_fail="fail", **kwargs):
    return Rule(
        id=rule_id,
        type=kind,
        kwargs=kwargs,
        on_fail=on_fail,
        about="row",
        is_compiled=True,
        severity="critical",
        meta={"rule": rule_id},
    )


SUITE = Suite(
    name="departures",
    file=Path("quality/departures.json"),
    rules=(
        rule("expect_column_values_to_be_in_set", "known", column="origin", value_set=["JFK"]),
        rule("expect_table_row_count_to_be_between", "rows", min_value=1),
    ),
)
COUNTS = {
    "element_count": 9,
    "unexpected_count": 2,
    "unexpected_percent": 22.2,
    "partial_unexpected_list": [],
    "missing_count": 0,
    "missing_percent": 0.0,
    "unexpected_percent_total": 22.2,
    "unexpected_percent_nonmissing": 22.2,
}


def result(samples=({"origin": "LAX", "v": 1},), source=None):
    found = [
        (SUITE.rules[0], result_of(SUITE.rules[0], success=False, result=COUNTS)),
        (SUITE.rules[1], result_of(SUITE.rules[1], success=True, result={"observed_value": 9})),
    ]
    return validation_result(
        verdict_of(found),
        SUITE,
        pipeline="punctuality",
        source=source,
        unit=DAY,
        judged_at=0,
        samples={"known": samples},
    )


def test_great_expectations_reads_a_result_and_writes_the_same():
    gx.gx()
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        expectationSuiteValidationResultSchema,
    )

    written = json.loads(json.dumps(result()))
    read = expectationSuiteValidationResultSchema.load(written)
    assert isinstance(read, ExpectationSuiteValidationResult)
    assert (read.success, read.asset_name) == (False, "result of punctuality")
    assert read.statistics["success_percent"] == 50.0
    assert read.results[0].expectation_config.kwargs["column"] == "origin"
    assert read.get_max_severity_failure() == "critical"
    again = read.to_json_dict()
    assert again["meta"] == written["meta"]
    assert [r["result"] for r in again["results"]] == [r["result"] for r in written["results"]]


def test_a_result_names_pipeline_subject_and_unit_and_shows_sample_values():
    found = result(source="flights")
    assert found["meta"]["batch_spec"] == {
        "data_asset_name": "source flights of punctuality",
        "pipeline": "punctuality",
        "subject": "source flights",
        "unit_start": "2013-02-01T05:00:00Z",
        "unit_end": "2013-02-02T05:00:00Z",
    }
    assert (
        found["meta"]["run_id"]["run_name"]
        == "punctuality, source flights, 2013-02-01T050000Z..2013-02-02T050000Z"
    )
    assert found["results"][0]["result"]["partial_unexpected_list"] == ["LAX"]


def test_a_result_is_made_without_great_expectations():
    code = "import sys, headway.quality.validation, headway.run.verdicts; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "kwargs", "before", "after"),
    [
        (
            "expect_column_quantile_values_to_be_between",
            {"column": "pay"},
            {"observed_value": {"quantiles": [0.5], "values": [7]}},
            {"observed_value": {"quantiles": [0.5], "values": ["***"]}},
        ),
        (
            "expect_column_distinct_values_to_be_in_set",
            {"column": "person.pay"},
            {"observed_value": [7], "details": {"value_counts": [{"value": 7, "count": 1}]}},
            {"observed_value": ["***"], "details": {"value_counts": [{"value": "***", "count": "***"}]}},
        ),
        (
            "expect_column_unique_value_count_to_be_between",
            {"column": "pay"},
            {"observed_value": 7},
            {"observed_value": 7},
        ),
        (
            "expect_column_pair_values_to_be_equal",
            {"column_A": "a", "column_B": "pay"},
            {"unexpected_count": 1, "partial_unexpected_list": [[1, 7]]},
            {"unexpected_count": 1},
        ),
        (
            "unexpected_rows_expectation",
            {"unexpected_rows_query": "SELECT pay AS x FROM {batch}"},
            {"observed_value": 1, "details": {"unexpected_rows": [{"x": 7}]}},
            {"observed_value": "***", "details": {"unexpected_rows": [{"x": "***"}]}},
        ),
        (
            "expect_column_max_to_be_between",
            {"column": "other"},
            {"observed_value": 7},
            {"observed_value": 7},
        ),
    ],
)
def test_no_value_of_a_masked_column_is_in_a_result(kind, kwargs, before, after):
    raised = {"raised_exception": True, "exception_message": "cannot cast 7", "exception_traceback": "7"}
    config = {"type": kind, "kwargs": kwargs}
    shown = hidden({"expectation_config": config, "result": before, "exception_info": raised}, ["pay"])
    assert shown["result"] == after
    assert (shown["exception_info"] == raised) == (kwargs.get("column") == "other")
