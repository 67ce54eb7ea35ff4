"""What `headway check` derives from a plan, and what it refuses: file, line, reason."""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext

import pytest

from headway import instant
from headway.cli import advices, sessions
from headway.cli.context import Context
from headway.errors import DefinitionError
from headway.plan.analysis import analyse, continuous_faults
from headway.quality.faults import SuiteError
from headway.run.vetting import notes, vet

HEAD = """
import datetime, random
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampType
import headway
from headway import Lookup, pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="k string, at timestamp, n int", event_time="at"){more}}},
    output_time="{output_time}",
    outputs=[sinks.Iceberg("lake.n.t", keys={keys})],{extra}
)
def p({parameters}):
    return {body}
"""
SECOND = ', "r": sources.Kafka("r", schema="k string, t timestamp, x double", event_time="t")'


def text(body, *, output_time="at", more="", extra="", keys="[]", parameters="s"):
    return HEAD.format(
        body=body, output_time=output_time, more=more, extra=extra, keys=keys, parameters=parameters
    )


def joined(kind, low, high):
    condition = f"s.k = r.k AND r.t >= s.at - INTERVAL {low} AND r.t <= s.at + INTERVAL {high}"
    return f's.alias("s").join(r.alias("r"), F.expr("{condition}"), "{kind}")'


@pytest.mark.parametrize(
    ("body", "output_time", "more", "history", "ahead"),
    [
        ('s.filter("n > 1").select("at", "k")', "at", "", "0 seconds", "0 seconds"),
        ('s.select("at", F.explode(F.array("k")).alias("k"))', "at", "", "0 seconds", "0 seconds"),
        ('s.groupBy(F.window("at", "1 hour"), "k").count()', "window", "", "1 hour", "0 seconds"),
        ('s.groupBy(F.window("at", "1 hour", "15 minutes")).count()', "window", "", "1 hour", "0 seconds"),
        (
            's.groupBy(F.window("at", "1 hour")).count().select(F.col("window.start").alias("o"), "count")',
            "o",
            "",
            "1 hour",
            "1 hour",
        ),
        (
            's.groupBy(*headway.session("at", gap="2 hours", max_length="1 day"), "k").count()',
            "session",
            "",
            "1 day 2 hours",
            "1 microsecond",
        ),
        ('s.dropDuplicates(["k", "at"])', "at", "", "0 seconds", "0 seconds"),
        (
            joined("inner", "2 HOURS", "0 HOURS")
            .replace(">= s.at", "BETWEEN s.at")
            .replace("AND r.t <=", "AND")
            + '.select("s.at", "r.x")',
            "at",
            SECOND,
            "2 hours",
            "0 seconds",
        ),
        (
            joined("inner", "20 MINUTES", "1 HOUR") + '.select(F.greatest("s.at", "r.t").alias("o"))',
            "o",
            SECOND,
            "1 hour",
            "0 seconds",
        ),
        (
            joined("left", "20 MINUTES", "1 HOUR") + '.select("s.at", "r.x")',
            "at",
            SECOND,
            "20 minutes",
            "1 hour 1 millisecond",
        ),
        (
            joined("inner", "20 MINUTES", "0 HOUR") + '.groupBy(F.window("at", "1 hour")).count()',
            "window",
            SECOND,
            "1 hour 20 minutes",
            "20 minutes 1 millisecond",
        ),
        (
            's.dropDuplicates(["k", "at"]).groupBy(F.window("at", "30 minutes")).count()',
            "window",
            "",
            "30 minutes",
            "0 seconds",
        ),
        ('s.withColumnRenamed("at", "moment").select("moment")', "moment", "", "0 seconds", "0 seconds"),
    ],
)
def test_history_and_ahead_are_derived(spark, define, body, output_time, more, history, ahead):
    defined = define(text(body, output_time=output_time, more=more, parameters="s, r" if more else "s"))
    found = analyse(spark, defined)
    assert (instant.spell(found.reach.history), instant.spell(found.reach.ahead)) == (history, ahead)
    assert continuous_faults(spark, defined, found) == []


def test_a_declaration_only_raises_what_is_derived(spark, define):
    body = 's.groupBy(F.window("at", "1 hour")).count()'
    less = analyse(spark, define(text(body, output_time="window", extra='history="1 minute",')))
    more = analyse(spark, define(text(body, output_time="window", extra='history="5 hours",')))
    assert instant.spell(less.reach.history) == "1 hour"
    assert instant.spell(more.reach.history) == "5 hours"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('s.withColumn("r", F.rand())', r"rand\(\) is random"),
        ('s.withColumn("r", F.current_timestamp())', r"current_timestamp\(\) reads the wall clock"),
        ('s.withColumn("r", F.expr("now()"))', r"makes the rows depend on more than the log"),
        ('s.withColumn("r", F.lit(datetime.datetime.utcnow()))', r"utcnow\(\) reads the wall clock"),
        ('s.withColumn("r", F.monotonically_increasing_id())', "depends on how Spark cut the data up"),
        ('s.withWatermark("at", "1 hour")', r"withWatermark\(\) sets a watermark"),
        ('s.filter(F.col("n") > len(s.collect()))', r"\.collect\(\) runs a job"),
        ('s.groupBy(F.window("at", "1 hour").alias("at")).agg(F.collect_list("k"))', r"collect_list\(\) depends on the order"),
        ('s.groupBy(F.window("at", "1 hour").alias("at")).agg(F.first("k"))', r"first\(\) depends on the order"),
        ('s.groupBy(F.window("at", "1 hour").alias("at")).agg(F.percentile_approx("n", 0.5))', r"percentile_approx\(\) depends on the order"),
        ('s.groupBy("k").agg(F.max("at").alias("at"))', "a grouping without time"),
        ('s.groupBy(F.session_window("at", "1 hour").alias("at")).count()', "a plain session chains"),
        ('s.dropDuplicates(["k"])', "without the event time among the columns"),
        ('s.dropDuplicatesWithinWatermark(["k"])', "depend on the size of the micro-batches"),
        ('s.orderBy("at")', "rows of a table have no order"),
        ("s.limit(3)", "which rows are kept"),
        ('s.select("k")', "output_time='at' is no column of the result"),
        ('s.select("at", "missing")', "AnalysisException"),
        ("5", "returns int, not a DataFrame"),
    ],
)  # fmt: skip
def test_what_breaks_the_law_is_refused_with_file_and_line(spark, define, body, says):
    with pytest.raises(DefinitionError, match=says) as caught:
        analyse(spark, define(text(body)))
    assert "p_" in str(caught.value)
    assert ".py:" in str(caught.value)
    assert caught.value.exit_status == 2


def test_streams_joined_without_a_range_of_time_are_refused(spark, define):
    body = 's.alias("s").join(r.alias("r"), F.expr("s.k = r.k")).select("s.at")'
    with pytest.raises(DefinitionError, match="without a range of time"):
        analyse(spark, define(text(body, more=SECOND, parameters="s, r")))


def test_a_sorted_list_and_the_size_of_a_set_are_allowed(spark, define):
    body = 's.groupBy(F.window("at", "1 hour").alias("at")).agg(F.sort_array(F.collect_list("k")).alias("a"), F.size(F.collect_set("k")).alias("b"))'
    defined = define(text(body))
    assert continuous_faults(spark, defined, analyse(spark, defined)) == []


def test_a_time_hidden_by_a_python_function_needs_a_declaration(spark, define):
    body = 's.select(F.udf(lambda t: t, TimestampType())("at").alias("at"))'
    with pytest.raises(DefinitionError, match="cannot be traced to an event time"):
        analyse(spark, define(text(body)))
    declared = define(text(body, extra='history="0 seconds", ahead="0 seconds",'))
    found = analyse(spark, declared)
    assert found.operators.python_functions == 1
    assert "hidden from the plan" in continuous_faults(spark, declared, found)[0]


def test_advice_asks_the_check_which_modes_are_open(spark, project_copy, tmp_path, monkeypatch):
    for name in ("modes", "conf"):
        shutil.copytree(project_copy / name, tmp_path / name)
    (tmp_path / "pipelines").mkdir()
    body = 's.select(F.udf(lambda t: t, TimestampType())("at").alias("at"))'
    hidden = text(body, extra='history="0 seconds", ahead="0 seconds",')
    (tmp_path / "pipelines" / "p.py").write_text(hidden)
    monkeypatch.setattr(sessions, "spark_for", lambda _context: nullcontext(spark))
    found = advices.checked(Context(tmp_path, "local", as_json=True, verbose=False), "p")
    assert (found["daily"], found["hourly"]) == ((), ())
    assert "hidden from the plan" in found["continuous"][0]


def test_a_schema_that_is_no_ddl_is_refused(spark, define):
    with pytest.raises(DefinitionError, match="not Spark DDL"):
        analyse(spark, define(text("s").replace("k string, at timestamp, n int", "k strin, at")))


@pytest.mark.parametrize(
    ("above", "early"),
    [
        ("", "upsert"),
        ('.withColumn("double", F.col("count") * 2)', "upsert"),
        ('.withColumn("k", F.upper("k"))', "recomputing"),
        ('.filter("count > 1")', "recomputing"),
        ('.unionByName(s.groupBy(F.window("at", "1 hour"), "k").count())', "recomputing"),
    ],
)
def test_a_stream_upserts_only_what_is_still_grouped_by_its_keys(spark, define, above, early):
    body = 's.groupBy(F.window("at", "1 hour"), "k").count()' + above
    found = analyse(spark, define(text(body, output_time="window", keys='["k", "window"]')))
    assert found.early == early


NOT_NULL = ("expect_column_values_to_not_be_null", {"column": "k"}, {"rule": "has k"})
COUNT = ("expect_table_row_count_to_be_between", {"min_value": 1}, {"rule": "has rows"})
NATIVE = ("expect_column_values_to_be_increasing", {"column": "n"}, {"rule": "grows", "on_fail": "warn"})
REFUSED = [
    ("expect_column_values_to_be_nul", {"column": "k"}, {"rule": "slip"}),
    ("expect_column_values_to_not_be_null", {"column": "kk"}, {"rule": "nowhere"}),
    ("expect_column_values_to_be_in_set", {"column": "k", "value_set": "a"}, {"rule": "no list"}),
    ("expect_column_values_to_be_increasing", {"column": "n", "mostly": 7}, {"rule": "not GX's"}),
]


def with_suites(result=None, source=None):
    body = text("s", extra=f'quality="{result}",' if result else "")
    return body.replace('event_time="at")', f'event_time="at", quality="{source}")') if source else body


def vetted(spark, defined):
    return vet(spark, defined, analyse(spark, defined), zone="UTC")


@pytest.mark.parametrize("place", ["result", "source"])
def test_every_fault_of_a_suite_is_told_with_file_line_and_rule(spark, define, suite, place):
    suite("rules", NOT_NULL, *REFUSED, COUNT)
    gates, (error,) = vetted(spark, define(with_suites(**{place: "rules"})))
    assert gates == {}
    assert error.exit_status == 2
    for rule, says in (
        ("slip", "unknown expectation 'expect_column_values_to_be_nul'"),
        ("nowhere", "there is no column 'kk'. Did you mean 'k'?"),
        ("no list", "'value_set' must be a list of values"),
        ("not GX's", "Great Expectations refuses it: mostly"),
    ):
        assert re.search(rf"rules\.json:\d+: rule {rule}: {re.escape(says)}", str(error)), rule
    assert "has k" not in str(error)


def test_the_suites_of_a_result_and_of_a_source_are_refused_together(spark, define, suite):
    suite("rules", REFUSED[1])
    _, errors = vetted(spark, define(with_suites(result="rules", source="gone")))
    assert [type(e) for e in errors] == [SuiteError, DefinitionError]
    assert "gone.json: the suite cannot be read: No such file" in str(errors[1])


def test_a_result_that_is_shown_early_is_not_held(spark, define, suite):
    early = define(
        text(
            's.groupBy(F.window("at", "1 hour")).count()',
            output_time="window",
            keys='["window"]',
            extra='emit="early", quality="rules",',
        )
    )
    suite("rules", COUNT)
    (error,) = vetted(spark, early)[1]
    assert "holds them until their unit is judged" in str(error)
    assert ".py:" in str(error)
    suite("rules", COUNT, gate="mark")
    assert vetted(spark, early)[1] == []


def test_notes_name_what_is_not_compiled_and_sources_that_are_read_twice(spark, define, suite):
    suite("rules", NOT_NULL, NATIVE, per="1 hour")
    suite("input", COUNT)
    defined = define(with_suites(result="rules", source="input"))
    native, twice = notes(defined, vetted(spark, defined)[0])
    assert "grows is not compiled" in native
    assert "each unit of 1 hour" in native
    assert "records are read once more" in twice
    suite("rules", NOT_NULL)
    suite("input", NOT_NULL)
    assert notes(defined, vetted(spark, defined)[0]) == []
