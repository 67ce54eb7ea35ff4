"""Processor seconds of a pipeline with 20 rules about a row and 5 about a set, beside the same without a suite."""

from __future__ import annotations

import json
import os
import threading
import uuid
from dataclasses import replace

from bench.figure import Figure
from bench.ground import RUNS, WORK, events, measured, project, servers, session
from headway.cli.sessions import begun
from headway.run import bounded, continuous
from headway.run.job import connect, scratch

BAR = 1.15
EVENTS = int(os.environ.get("BENCH_EVENTS", "10000000"))
STREAMED = int(os.environ.get("BENCH_STREAMED", "500000"))
BATCH = 5_000
SHAPE = "row"


def suite() -> None:
    """Write the suite: every kind of rule about a row that people use most, all of them met."""
    between = [("id", 0, None), ("double", 0, 400), ("double", None, 300), ("id", None, 10**12)]
    row = [
        *[
            ("expect_column_values_to_not_be_null", {"column": c})
            for c in ("id", "k", "at", "double", "note")
        ],
        *[
            ("expect_column_values_to_be_between", {"column": c, "min_value": low, "max_value": high})
            for c, low, high in between
        ],
        *[
            ("expect_column_values_to_match_regex", {"column": "k", "regex": regex})
            for regex in ("^k[0-9]+$", "^k.{1,3}$")
        ],
        ("expect_column_values_to_not_match_regex", {"column": "note", "regex": "y"}),
        ("expect_column_value_lengths_to_equal", {"column": "note", "value": 40}),
        ("expect_column_value_lengths_to_be_between", {"column": "k", "min_value": 2, "max_value": 4}),
        ("expect_column_values_to_be_in_set", {"column": "k", "value_set": [f"k{n}" for n in range(500)]}),
        ("expect_column_values_to_not_be_in_set", {"column": "k", "value_set": ["", "x", "none"]}),
        ("expect_column_values_to_match_like_pattern", {"column": "note", "like_pattern": "x%"}),
        ("expect_column_values_to_not_match_like_pattern", {"column": "k", "like_pattern": "%z%"}),
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "id", "column_B": "double", "or_equal": True, "mostly": 0.0},
            {"on_fail": "warn"},
        ),
        ("expect_column_values_to_be_between", {"column": "id", "min_value": -1}),
    ]
    about_sets = [
        ("expect_table_row_count_to_be_between", {"min_value": 1}),
        ("expect_column_mean_to_be_between", {"column": "double", "min_value": 1, "max_value": 299}),
        ("expect_column_max_to_be_between", {"column": "double", "max_value": 300}),
        ("expect_column_sum_to_be_between", {"column": "double", "min_value": 0}),
        ("expect_column_unique_value_count_to_be_between", {"column": "k", "min_value": 1, "max_value": 500}),
    ]
    assert (len(row), len(about_sets)) == (20, 5)
    # The day behind the last event is empty, and no rule about a set is met there.
    about_sets = [(kind, kwargs, {"on_fail": "warn"}) for kind, kwargs in about_sets]
    expectations = [
        {"type": kind, "kwargs": kwargs, "meta": {"rule": f"rule {n}", **dict(*more)}, "severity": "critical"}
        for n, (kind, kwargs, *more) in enumerate([*row, *about_sets], start=1)
    ]
    folder = WORK / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    data = {"name": "bench", "expectations": expectations, "meta": {"per": "1 day", "gate": "mark"}}
    (folder / "bench.json").write_text(json.dumps(data, indent=2))


def once(spark, mode_name: str, count: int, *, gated: bool):
    """Run the shape to the end of its topic, with the suite or without, on a table of its own."""
    own = project()
    mode = own.modes[mode_name]
    name = f"{SHAPE}_{uuid.uuid4().hex[:6]}"
    placed = replace(
        scratch(own.pipelines[SHAPE], f"lake.bench.{name}", name), quality="bench" if gated else None
    )
    source = replace(placed.inputs["events"], name=f"bench_gate_{count}")
    placed = replace(placed, inputs={**placed.inputs, "events": source})
    logs = connect(own, placed, lambda: spark)
    with begun(own, spark, placed, logs, mode) as job:
        cut = job.cut()
        if mode.is_bounded:
            report = bounded.run(
                job, bounded.Request(mode=mode, grid=mode.grid("UTC"), cut=cut, complete=True)
            )
        else:
            request = continuous.Request(
                mode=mode,
                grid=own.modes["hourly"].grid("UTC"),
                until=cut,
                complete=True,
                max_records_per_batch=BATCH,
            )
            report = continuous.run(job, request, threading.Event())
        assert report.accounts.published > 0.9 * count, report.accounts
        assert bool(report.units) == gated, report.units
        assert report.rejected == 0, report.rejected
    job.target.drop()
    job.books.drop()
    for log in logs.values():
        log.close()


def _seconds(spark, mode: str, count: int, *, gated: bool) -> float:
    return measured(spark, lambda: once(spark, mode, count, gated=gated))[0]


def run() -> list[Figure]:
    """Print and return the ratios, each of pairs in one process."""
    servers()
    suite()
    figures = []
    for mode, count in (("daily", EVENTS), ("continuous", STREAMED)):
        events(f"bench_gate_{count}", count)
        spark = session()
        try:
            once(spark, mode, count, gated=True)  # warm
            ratios = []
            for _ in range(RUNS):
                without = _seconds(spark, mode, count, gated=False)
                gated = _seconds(spark, mode, count, gated=True)
                print(f"  {mode}: {gated:.1f} CPU s with 25 rules, {without:.1f} without", flush=True)
                ratios.append(gated / without)
        finally:
            spark.stop()
        figures.append(Figure.of(f"gate, {mode}", ratios, unit="times the CPU without a suite", bar=BAR))
    return figures
