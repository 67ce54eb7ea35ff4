"""Suites are read from GX's JSON; what is wrong is told at once, with file, line and rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from headway.errors import DefinitionError
from headway.quality import conditions, parameters, results, suite
from headway.quality.gx import gx

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "origin"}}
ROW_COUNT = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
Z_SCORES = {
    "type": "expect_column_value_z_scores_to_be_less_than",
    "kwargs": {"column": "delay", "threshold": 3, "double_sided": True},
}


@pytest.fixture
def written(tmp_path):
    def write(*expectations, meta=None, **more):
        file = tmp_path / "departures.json"
        whole = {"name": "departures", "expectations": list(expectations), "meta": meta or {}, **more}
        file.write_text(json.dumps(whole, indent=1))
        return file

    return write


def refusal(file, read=suite.read):
    with pytest.raises(DefinitionError) as caught:
        read(file)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_rules_get_the_defaults_of_what_they_are_about(written):
    warned = {**NOT_NULL, "severity": "warning"}
    told = {**ROW_COUNT, "severity": "info"}
    rules = suite.read(written(NOT_NULL, ROW_COUNT, Z_SCORES, warned, told)).rules
    assert [rule.on_fail for rule in rules] == ["quarantine", "fail", "fail", "warn", "warn"]
    assert [rule.about for rule in rules] == ["row", "set", "set", "row", "set"]
    assert [rule.is_compiled for rule in rules] == [True, True, False, True, True]


def test_on_fail_of_the_meta_goes_before_the_severity(written):
    (rule,) = suite.read(written({**NOT_NULL, "severity": "info", "meta": {"on_fail": "drop"}})).rules
    assert rule.on_fail == "drop"


def test_rules_are_called_by_type_and_columns_and_numbered_when_they_repeat(written):
    named = {**NOT_NULL, "meta": {"rule": "has origin"}}
    compound = {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["a", "b"]}}
    ids = [
        rule.id
        for rule in suite.read(written(NOT_NULL, NOT_NULL, NOT_NULL, named, compound, ROW_COUNT)).rules
    ]
    first = "column_values_to_not_be_null(origin)"
    assert ids[:3] == [first, f"{first}#2", f"{first}#3"]
    assert ids[3:] == ["has origin", "compound_columns_to_be_unique(a, b)", "table_row_count_to_be_between"]


def test_a_suite_names_its_unit_and_its_gate(written):
    read = suite.read(written(ROW_COUNT, meta={"per": "1 hour", "gate": "mark"}))
    assert (read.per, read.gate) == ("1 hour", "mark")
    plain = suite.read(written(ROW_COUNT))
    assert (plain.per, plain.gate) == ("1 day", "hold")


def test_facts_are_json_and_change_with_a_parameter(written):
    before = suite.read(written(ROW_COUNT)).facts()
    after = suite.read(written({**ROW_COUNT, "kwargs": {"min_value": 2}})).facts()
    assert json.loads(json.dumps(before)) == before != after


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({**NOT_NULL, "type": "expect_column_values_to_not_be_nul"}, "Did you mean 'expect_column_values_to_not_be_null'?"),
        ({**NOT_NULL, "kwargs": {"column": "a", "mostly": 1.5}}, "'mostly' must lie between 0 and 1, not at 1.5"),
        ({**NOT_NULL, "kwargs": {}}, "parameter 'column' is missing"),
        ({**NOT_NULL, "kwargs": {"column": "a", "mosty": 1}}, "unknown parameter 'mosty'. Did you mean 'mostly'?"),
        ({**NOT_NULL, "meta": {"on_fail": "quarantin"}}, "Did you mean 'quarantine'?"),
        ({**NOT_NULL, "meta": {"onfail": "warn"}}, "unknown key 'onfail' in meta. Did you mean 'on_fail'?"),
        ({**NOT_NULL, "severity": "fatal"}, "severity 'fatal' is unknown"),
        ({**ROW_COUNT, "meta": {"on_fail": "drop"}}, "cannot be broken by one row. Choose warn or fail."),
        ({**Z_SCORES, "meta": {"on_fail": "quarantine"}}, "own engine runs it over a whole unit"),
        ({"kwargs": {}}, "an expectation needs a type"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule_is_said_with_its_line(written, broken, words):
    message = refusal(written(NOT_NULL, broken, {"type": "expect_nothing", "kwargs": {}}))
    assert words in message
    assert "departures.json:10" in message or "departures.json:1" in message
    assert "unknown expectation 'expect_nothing'" in message, "every fault is told, not the first alone"


def test_lines_are_those_of_the_rule_at_fault(written):
    file = written(NOT_NULL, {**NOT_NULL, "kwargs": {"column": "dest", "mostly": "often"}})
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "mostly" in text)
    assert f"departures.json:{line}: rule column_values_to_not_be_null(dest)" in refusal(file)


@pytest.mark.parametrize(
    ("meta", "words"),
    [({"per": "1 month"}, "not a span of time"), ({"gate": "halt"}, "meta.gate"), ({"gates": "hold"}, "Did you mean 'gate'?")],
)  # fmt: skip
def test_what_is_wrong_with_the_suite_is_said(written, meta, words):
    assert words in refusal(written(ROW_COUNT, meta=meta))


def test_what_is_no_suite_is_refused(tmp_path):
    file = tmp_path / "x.json"
    file.write_text('{"name": "x",\n "expectations": [}')
    assert "x.json:2" in refusal(file)
    file.write_text("[]")
    assert "no suite" in refusal(file)
    assert "cannot be read" in refusal(tmp_path / "missing.json")


def test_validation_is_that_of_great_expectations(written):
    bad = {**Z_SCORES, "kwargs": {"column": "delay", "threshold": "many", "double_sided": True}}
    file = written(bad)
    suite.read(file)
    message = refusal(file, suite.load)
    assert "threshold: value is not a valid float" in message
    assert "rule column_value_z_scores_to_be_less_than(delay)" in message


def test_reading_imports_neither_spark_nor_great_expectations(written):
    script = (
        "import sys, pathlib; from headway.quality import suite, verdict, results\n"
        f"suite.read(pathlib.Path({str(written(NOT_NULL, Z_SCORES))!r}))\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pyspark', 'great_expectations')])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_telemetry_is_off_unless_it_is_wanted(monkeypatch):
    monkeypatch.delenv("GX_ANALYTICS_ENABLED", raising=False)
    gx(telemetry=True)
    assert "GX_ANALYTICS_ENABLED" not in os.environ
    gx()
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize(
    ("condition", "parser", "sql"),
    [
        ('col("a") >= 5', "great_expectations", "`a` >= 5"),
        ('col("a b") == "it is"', "great_expectations", "`a b` == 'it is'"),
        ('col("a").notnull()', "great_expectations", "`a` IS NOT NULL"),
        ("a > 5 and b", "spark", "a > 5 and b"),
        ({"type": "comparison", "column": {"name": "a.b"}, "operator": "NOT_IN", "parameter": [1, 2]}, None, "`a`.`b` NOT IN (1, 2)"),
        ({"type": "and", "conditions": [{"type": "nullity", "column": {"name": "`a.b`"}, "is_null": True}]}, None, "(`a.b` IS NULL)"),
    ],
)  # fmt: skip
def test_row_conditions_become_the_sql_that_great_expectations_makes(condition, parser, sql):
    assert conditions.sql_of(condition, parser) == sql


def test_text_left_over_in_a_row_condition_is_refused():
    with pytest.raises(ValueError, match="not one comparison"):
        conditions.sql_of('col("a") > 5 and col("b") > 3', "great_expectations")


def test_bounds_are_never_text():
    with pytest.raises(ValueError, match="must be a number, a date or a time"):
        parameters.bound("abc")


def test_an_empty_unit_keeps_every_rule_about_values():
    assert results.map_result(0, 0, None, 1.0)[0]
    assert results.nullity_result(0, 0, 1.0)[0]
