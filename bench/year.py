"""A year of real flights through `punctuality`, day by day and in one go, beside the same job by hand."""

from __future__ import annotations

from pyspark.sql import functions as F

from bench import rivals
from bench.figure import Figure
from bench.ground import WORK, measured, project, servers, session
from headway import instant
from headway.cli.sessions import begun
from headway.demo import flights, replay
from headway.run import bounded
from headway.run.job import connect, scratch

START, END = instant.parse("2013-01-01T05:00:00Z"), instant.parse("2014-01-02T05:00:00Z")
RUNS = 3
SCHEMA = "carrier string, flight int, origin string, scheduled_at timestamp, cancelled boolean, dep_delay int"


def run():
    where = servers()
    if not (WORK / "year.sent").exists():
        replay.new_topics(where, ["flights"])
        replay.send(where, {"flights": flights.flights(START, END)}, seconds=0)
        (WORK / "year.sent").touch()
    spark = session()
    own, hand = {"cpu": [], "clock": []}, {"cpu": [], "clock": []}
    files = {}
    for number in range(RUNS + 1):
        for name, work, found in (("headway", by_headway, own), ("hand-written", by_hand, hand)):
            spent, seconds = measured(
                spark, lambda work=work, name=name: files.update({name: work(spark, where)})
            )
            if number:
                found["cpu"].append(spent)
                found["clock"].append(seconds)
    for name, found in (("headway", own), ("hand-written", hand)):
        yield Figure.of(f"year of flights, {name}, time", found["clock"], unit="seconds")
        yield Figure.of(f"year of flights, {name}, cpu", found["cpu"], unit="core seconds")
        yield Figure.of(f"year of flights, {name}, files", [files[name]], unit="files")
    spark.stop()


def by_headway(spark, _where) -> int:
    """Backfill all days."""
    own = project()
    mode = own.modes["daily"]
    placed = scratch(own.pipelines["punctuality"], "lake.bench.year", "year")
    logs = connect(own, placed, lambda: spark)
    with begun(own, spark, placed, logs, mode) as job:
        grid = mode.grid("America/New_York")
        bounded.run(job, bounded.Request(mode=mode, grid=grid, cut=job.cut(), complete=True))
        count = spark.table("lake.bench.year.files").count()
    job.target.drop()
    job.books.drop()
    return count


def by_hand(spark, where) -> int:
    raw = rivals.raw(spark, where, "flights", stream=False)
    admitted = (
        rivals.values(raw, SCHEMA)
        .select("v.*", "timestamp")
        .filter("timestamp <= scheduled_at + INTERVAL 6 HOURS")
    )
    once = admitted.dropDuplicates(["carrier", "flight", "origin", "scheduled_at"])
    result = once.groupBy("origin", "carrier", F.window("scheduled_at", "1 hour")).agg(
        F.count(F.when(~F.col("cancelled"), 1)).alias("departures"),
        F.count(F.when(F.col("cancelled"), 1)).alias("cancellations"),
        F.avg(F.col("dep_delay").cast("decimal(10,2)")).alias("mean_delay"),
        F.percentile("dep_delay", 0.95).alias("p95_delay"),
    )
    name = rivals.table(spark, "year", result)
    result.writeTo(name).append()
    return spark.table(f"{name}.files").count()
