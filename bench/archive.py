"""A backfill that reads an archive beside the same backfill that reads Kafka's JSON: records per processor second."""

from __future__ import annotations

import uuid
from dataclasses import replace

from bench.figure import Figure
from bench.ground import EVENTS, RUNS, events, measured, project, servers, session
from headway import instant
from headway.cli.sessions import begun
from headway.interval import Interval
from headway.run import bounded, landing
from headway.run.job import connect, scratch

BAR = 3.0
SHAPES = ("tumbling", "row")
SPAN = Interval(instant.parse("2013-02-01"), instant.parse("2013-02-03"))


def run():
    events("bench_events", EVENTS)
    servers()
    spark = session()
    archive = f"lake.bench.archive_{uuid.uuid4().hex[:6]}"
    took = take_in(spark, archive)
    for shape in SHAPES:
        ratios, rates = [], {"archive": [], "Kafka": []}
        for number in range(RUNS + 1):
            spent = {
                name: backfill(spark, shape, given) for name, given in (("archive", archive), ("Kafka", None))
            }
            if number:  # the first one warms both up
                for name, cpu in spent.items():
                    rates[name].append(EVENTS / cpu)
                ratios.append(spent["Kafka"] / spent["archive"])
                print(
                    f"  {shape} {number}: {spent['archive']:.1f} s against {spent['Kafka']:.1f} s", flush=True
                )
        yield Figure.of(
            f"backfill from the archive, {shape}, ratio",
            ratios,
            unit="times from Kafka",
            bar=BAR,
            better="higher",
        )
        for name, values in rates.items():
            yield Figure.of(
                f"backfill from {name}, {shape}", values, unit="records/core second", better="higher"
            )
    yield Figure.of("taking into the archive", [EVENTS / took], unit="records/core second", better="higher")
    spark.sql(f"DROP TABLE {archive} PURGE")
    spark.stop()


def opened(spark, shape: str, archive: str | None):
    own = project()
    name = f"{shape}_{uuid.uuid4().hex[:6]}"
    placed = scratch(own.pipelines[shape], f"lake.bench.{name}", name)
    placed = replace(placed, inputs={"events": replace(placed.sources["events"], archive=archive)})
    logs = connect(own, placed, lambda: spark)
    return own, placed, logs, begun(own, spark, placed, logs, own.modes["daily"])


def take_in(spark, archive: str) -> float:
    _, _, logs, begins = opened(spark, "row", archive)
    with begins as job:
        spent, _ = measured(spark, lambda: landing.land(job))
    job.target.drop()
    job.books.drop()
    for log in logs.values():
        log.close()
    return spent


def backfill(spark, shape: str, archive: str | None) -> float:
    """Publish both days in one job, into a table of its own; return the processor seconds of the run."""
    own, placed, logs, begins = opened(spark, shape, archive)
    mode = own.modes["daily"]
    with begins as job:
        request = bounded.Request(mode=mode, grid=mode.grid("UTC"), cut=job.cut(), wanted=SPAN, complete=True)
        spent, _ = measured(spark, lambda: bounded.run(job, request))
        assert spark.table(placed.sink.table).count() > 0
    job.target.drop()
    job.books.drop()
    for log in logs.values():
        log.close()
    return spent
