"""Processor seconds of one suite on one frame: compiled, and by Great Expectations itself.

The suite has 20 rules about a row and 5 about a set. Stock GX keeps its defaults: it persists the
frame and gives samples of what is unexpected, in a session of Spark as it comes. GX at its best does not persist,
and answers yes or no.
"""

from __future__ import annotations

import json
import multiprocessing
import uuid
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from bench.figure import Figure
from bench.ground import RUNS, WORK, measured, session
from headway.quality import gx as gx_module
from headway.quality import suite as suites
from headway.quality.checks import Checks

WARM = 8
"""Rounds that warm the JVM up."""
BARS = {10_000: 8.0, 1_000_000: 4.0}


def rules() -> list[tuple[str, dict]]:
    """Return the suite's expectations: 20 about a row, 5 about a set."""
    return [
        *[("expect_column_values_to_not_be_null", {"column": c}) for c in ("id", "k", "at", "amount")],
        ("expect_column_values_to_be_null", {"column": "nothing"}),
        ("expect_column_values_to_be_between", {"column": "id", "min_value": 0}),
        ("expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "max_value": 200}),
        ("expect_column_values_to_be_between", {"column": "amount", "min_value": 1, "mostly": 0.9}),
        ("expect_column_values_to_be_between", {"column": "at", "min_value": "2013-01-01", "max_value": "2014-01-01"}),
        ("expect_column_values_to_be_in_set", {"column": "k", "value_set": [f"k{n}" for n in range(500)]}),
        ("expect_column_values_to_not_be_in_set", {"column": "k", "value_set": ["unknown", "", "none"]}),
        ("expect_column_values_to_be_in_set", {"column": "kind", "value_set": ["a", "b", "c"]}),
        ("expect_column_values_to_match_regex", {"column": "k", "regex": "^k[0-9]+$"}),
        ("expect_column_values_to_not_match_regex", {"column": "note", "regex": "[<>]"}),
        ("expect_column_value_lengths_to_be_between", {"column": "note", "min_value": 1, "max_value": 80}),
        ("expect_column_value_lengths_to_be_between", {"column": "k", "min_value": 2, "max_value": 4}),
        ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "done", "column_B": "at", "or_equal": True}),
        ("expect_column_pair_values_to_be_equal", {"column_A": "id", "column_B": "same"}),
        ("expect_multicolumn_sum_to_equal", {"column_list": ["part", "rest"], "sum_total": 100}),
        ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["k", "note", "kind"]}),
        ("expect_table_row_count_to_be_between", {"min_value": 1}),
        ("expect_column_mean_to_be_between", {"column": "amount", "min_value": 0, "max_value": 200}),
        ("expect_column_max_to_be_between", {"column": "amount", "max_value": 200}),
        ("expect_column_sum_to_be_between", {"column": "part", "min_value": 0}),
        ("expect_column_values_to_be_unique", {"column": "id"}),
    ]  # fmt: skip


def _path(count: int) -> str:
    return str(WORK / f"gx_rival_{count}")


def _write(spark, count: int) -> None:
    """Write the rows to files, so that everybody reads the same."""
    from pyspark.sql import functions as F

    n = F.col("id")
    spark.range(count, numPartitions=2).select(
        "id",
        n.alias("same"),
        F.concat(F.lit("k"), (n * 2_654_435_761 % 500).cast("string")).alias("k"),
        F.timestamp_micros(F.lit(1_360_000_000_000_000) + n * 1000).alias("at"),
        F.timestamp_micros(F.lit(1_360_000_000_000_000) + n * 1500).alias("done"),
        (n % 1000 / 7).alias("amount"),
        F.when(n % 3 == 0, "a").when(n % 3 == 1, "b").otherwise("c").alias("kind"),
        F.concat(F.lit("note "), n.cast("string")).alias("note"),
        (n % 100).alias("part"),
        (100 - n % 100).alias("rest"),
        F.lit(None).cast("string").alias("nothing"),
    ).write.mode("overwrite").parquet(_path(count))


def _suite():
    file = WORK / "gx_rival.json"
    expectations = [{"type": type_, "kwargs": kwargs, "meta": {}} for type_, kwargs in rules()]
    file.write_text(json.dumps({"name": "gx_rival", "expectations": expectations}))
    return suites.read(file)


def _compiled(suite, frame) -> bool:
    from pyspark.sql import Observation

    checks = Checks(suite, frame.schema)
    counted = Observation()
    marked = checks.marked(frame).observe(counted, *checks.counts())  # counted in the pass that scans
    scan = checks.scan(marked.filter(~checks.is_rejected())).get(None, {})
    return checks.verdict(counted.get, scan).success


def _by_gx(suite, frame, *, at_best: bool) -> bool:
    gx = gx_module.gx()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        how = {"persist": False} if at_best else {}
        asset = context.data_sources.add_spark(uuid.uuid4().hex, **how).add_dataframe_asset("frame")
        own = gx.ExpectationSuite(name="rival")
        for rule in suite.rules:
            own.add_expectation(
                gx_module.expectation(rule.type, rule.kwargs, meta={}, severity=rule.severity)
            )
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        return batch.validate(own, result_format="BOOLEAN_ONLY" if at_best else "SUMMARY").success


def _stock_session():
    """Return Spark as it comes, on as many cores and with as much memory as headway's."""
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.driver.memory": "4g", "spark.log.level": "OFF"}
    return SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()


WAYS = {
    "compiled": (session, _compiled),
    "stock GX": (_stock_session, partial(_by_gx, at_best=False)),
    "GX at its best": (_stock_session, partial(_by_gx, at_best=True)),
}


def _spent(way: str, count: int) -> list[float]:
    """Return the processor seconds of a way, in a process of its own: what has a session set stays with PySpark."""
    start, judge = WAYS[way]
    spark, suite = start(), _suite()
    frame = spark.read.parquet(_path(count))
    spent = []
    for number in range(WARM + RUNS):
        verdicts: list[bool] = []
        seconds, _ = measured(spark, lambda verdicts=verdicts: verdicts.append(judge(suite, frame)))
        assert verdicts == [True]
        spark.catalog.clearCache()  # stock GX persists and never unpersists
        if number >= WARM:
            spent.append(seconds)
    spark.stop()
    return spent


def run():
    suite = _suite()
    about = [rule.about for rule in suite.rules]
    assert (about.count("row"), about.count("set")) == (20, 5)
    spark = session()
    for count in BARS:
        _write(spark, count)
    spark.stop()
    for count, bar in BARS.items():
        spent: dict[str, list[float]] = {}
        for way in WAYS:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as own:
                spent[way] = own.submit(_spent, way, count).result()
        print(
            f"  {count:,} rows, CPU seconds: " + ", ".join(f"{n} {min(s):.2f}" for n, s in spent.items()),
            flush=True,
        )
        for name in ("stock GX", "GX at its best"):
            ratios = [rival / own for rival, own in zip(spent[name], spent["compiled"], strict=True)]
            yield Figure.of(
                f"{name}, {count:,} rows",
                ratios,
                unit="times compiled CPU",
                bar=bar if name == "stock GX" else None,
                better="higher",
            )
        for name, seconds in spent.items():
            yield Figure.of(f"cpu, 25 rules, {count:,} rows, {name}", seconds, unit="core seconds")
