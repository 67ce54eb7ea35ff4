"""Processor seconds of each shape, bounded and continuous, beside the same job by hand."""

from __future__ import annotations

import os
import shutil
import threading
import uuid

from bench import rivals
from bench.figure import Figure
from bench.ground import EVENTS, OTHER, RUNS, WORK, events, measured, project, servers, session
from headway.cli.sessions import begun
from headway.run import bounded, continuous
from headway.run.job import connect, scratch

BAR = 1.10
BATCHES = 10
ALL = [
    f"{mode}/{shape}"
    for mode in ("daily", "continuous")
    for shape in ("row", "tumbling", "sliding", "joined")
]
CASES = [case.split("/") for case in os.environ.get("BENCH_CASES", ",".join(ALL)).split(",")]


def ours(spark, shape, mode_name, *, per_batch=EVENTS // BATCHES, stop=None):
    """Run the shape in a mode, on a table of its own; a stream runs to the log's end, or until it is stopped.

    Returns what removes the table again.
    """
    own = project()
    mode = own.modes[mode_name]
    name = f"{shape}_{uuid.uuid4().hex[:6]}"
    placed = scratch(own.pipelines[shape], f"lake.bench.{name}", name)
    logs = connect(own, placed, lambda: spark)
    with begun(own, spark, placed, logs, mode) as job:
        cut = job.cut()
        if mode.is_bounded:
            bounded.run(job, bounded.Request(mode=mode, grid=mode.grid("UTC"), cut=cut, complete=True))
        else:
            request = continuous.Request(
                mode=mode,
                grid=own.modes["hourly"].grid("UTC"),
                until=None if stop else cut,
                complete=stop is None,
                max_records_per_batch=per_batch,
            )
            continuous.run(job, request, stop or threading.Event())
    for log in logs.values():
        log.close()

    def remove():
        assert spark.table(placed.sink.table).count() > 0
        job.target.drop()
        job.books.drop()

    return remove


def run():
    spark = session()
    events("bench_events", EVENTS)
    events("bench_others", EVENTS // 100, OTHER)
    where = servers()
    shutil.rmtree(WORK / "rival", ignore_errors=True)
    for mode_name, shape in CASES:
        ratios, own_cpu, rival_cpu, removals = [], [], [], []
        for number in range(RUNS + 1):

            def by_hand(number=number, shape=shape, mode_name=mode_name):
                if mode_name == "daily":
                    rivals.bounded(shape, spark, where)
                else:
                    rivals.continuous(shape, spark, where, EVENTS // BATCHES, f"{mode_name}-{number}")

            def by_headway(shape=shape, mode_name=mode_name, removals=removals):
                removals.append(ours(spark, shape, mode_name))

            turns = (by_hand, by_headway) if number % 2 else (by_headway, by_hand)
            spent = {work.__name__: measured(spark, work)[0] for work in turns}
            removals.pop()()
            if number == 0:
                continue  # warms the JVM up
            own_cpu.append(spent["by_headway"])
            rival_cpu.append(spent["by_hand"])
            ratios.append(spent["by_headway"] / spent["by_hand"])
            print(
                f"  {shape} {mode_name} {number}: {spent['by_headway']:.1f} s against {spent['by_hand']:.1f} s",
                flush=True,
            )
        label = "bounded" if mode_name == "daily" else "continuous"
        yield Figure.of(f"cpu ratio, {shape}, {label}", ratios, unit="times hand-written", bar=BAR)
        yield Figure.of(f"cpu, {shape}, {label}, headway", own_cpu, unit="core seconds")
        yield Figure.of(f"cpu, {shape}, {label}, hand-written", rival_cpu, unit="core seconds")
    spark.stop()
