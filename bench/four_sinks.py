"""One micro-batch that is written to all four sinks, beside its parts: reading and parsing, and each write on its own."""

from __future__ import annotations

import shutil
import threading
import uuid
from dataclasses import replace
from functools import partial

from bench.figure import Figure
from bench.ground import PARTITIONS, RUNS, WORK, events, measured, project, servers
from headway.demo import replay
from headway.embedded.postgres import Postgres as Server
from headway.result import Result
from headway.run import continuous, engine
from headway.run.job import connect, opened, scratch
from headway.sink import Applied, Change
from headway.sinks import Delta, Iceberg, Kafka, Postgres

BAR = 1.3
ROWS = 1_000_000
RESULT = Result(output_time="at", is_window=False, keys=())
FOLDER = WORK / "four"


def run():
    servers()
    events("bench_four", ROWS)
    shutil.rmtree(FOLDER, ignore_errors=True)
    server = Server(FOLDER / "postgres")
    settings = {
        "databases": {"main": server.start()},
        "kafka": {"bootstrap_servers": servers()},
        "delta": {"root": str(FOLDER / "delta")},
    }
    spark = engine.start(project(), short=False, sinks=[Delta("any")])
    try:
        yield from compare(spark, settings)
    finally:
        spark.stop()
        server.stop()


def compare(spark, settings):
    rows = transformed(spark).persist()
    count = rows.count()
    together, alone, ratios = [], [], []
    parts: dict[str, list[float]] = {}
    for number in range(RUNS + 1):
        spent = in_one_batch(spark, settings, count)
        each = {name: by_itself(spark, settings, rows, count, name) for name in ("iceberg", *FOLLOWING)}
        each["transformation"] = measured(spark, lambda: noop(transformed(spark)))[0]
        parts_alone = sum(each.values())
        if number:  # the first one warms all up
            together.append(spent)
            alone.append(parts_alone)
            ratios.append(spent / parts_alone)
            for name, cpu in each.items():
                parts.setdefault(name, []).append(cpu)
            print(
                f"  {number}: {spent:.1f} s against {', '.join(f'{n} {c:.1f}' for n, c in each.items())}",
                flush=True,
            )
    yield Figure.of("four sinks from one micro-batch, cpu ratio", ratios, unit="times its parts", bar=BAR)
    yield Figure.of("four sinks, one micro-batch", together, unit="core seconds")
    yield Figure.of("four sinks, the parts on their own", alone, unit="core seconds")
    for name, values in parts.items():
        yield Figure.of(f"four sinks, {name} on its own", values, unit="core seconds")


FOLLOWING = {
    "postgres": Postgres,
    "kafka": lambda name: Kafka(name, slices=PARTITIONS),
    "delta": Delta,
}


def placed(name: str):
    row = scratch(project().pipelines["row"], f"lake.bench.{name}", name)
    source = replace(row.sources["events"], name="bench_four")
    sinks = [make(name) for make in FOLLOWING.values()]
    return replace(row, inputs={"events": source}, outputs=(Iceberg(f"lake.bench.{name}"), *sinks))


def transformed(spark):
    """Return the rows, by the engine's own reading of the same records."""
    from headway.run import admission

    given = placed("any")
    source = given.sources["events"]
    (log,) = connect(project(), given, lambda: spark).values()
    judged = admission.judge(log.read(spark, log.begins(), log.ends().offsets), source)
    log.close()
    return given.function(events=admission.admit(judged, admission.is_relevant(source, corrections=False)))


def noop(rows) -> None:
    rows.write.format("noop").mode("overwrite").save()


def in_one_batch(spark, settings, count: int) -> float:
    """Run a stream with all four sinks over the topic in one batch; return the processor seconds of its run."""
    name = f"four_{uuid.uuid4().hex[:8]}"
    given = placed(name)
    replay.new_topics(settings["kafka"]["bootstrap_servers"], [name], partitions=PARTITIONS)
    own = project()
    logs = connect(own, given, lambda: spark)
    mode = own.modes["continuous"]
    with opened(
        spark, given, logs, mode=mode, state=str(FOLDER / "state"), beats=str(FOLDER / "beats"),
        lease_seconds=60, settings=settings,
    ) as job:  # fmt: skip
        request = continuous.Request(mode=mode, grid=own.modes["hourly"].grid("UTC"), until=job.cut())
        spent, _ = measured(spark, partial(continuous.run, job, request, threading.Event()))
        assert spark.table(given.sink.table).count() == count
    for log in logs.values():
        log.close()
    job.target.drop()
    job.books.drop()
    return spent


def by_itself(spark, settings, rows, count: int, sink: str) -> float:
    """Write rows that are at hand to one sink; return the processor seconds."""
    name = f"alone_{uuid.uuid4().hex[:8]}"
    if sink == "iceberg":
        table = f"lake.bench.{name}"
        rows.limit(0).writeTo(table).using("iceberg").partitionedBy(_days("at")).create()
        spent, _ = measured(spark, lambda: rows.writeTo(table).append())
        spark.sql(f"DROP TABLE {table} PURGE")
        return spent
    if sink == "kafka":
        replay.new_topics(settings["kafka"]["bootstrap_servers"], [name], partitions=PARTITIONS)
    follower = FOLLOWING[sink](name).follow(spark, settings, RESULT)
    follower.prepare(rows.schema)
    to = Applied(snapshot=1, sequence=1, closed_through=0)
    change = Change(to=to, rows=rows, count=count, replaced=(), upserts=False, before=lambda: None)

    def write() -> None:
        assert follower.apply(change, None)

    spent, _ = measured(spark, write)
    follower.close()
    return spent


def _days(column: str):
    from pyspark.sql.functions import partitioning

    return partitioning.days(column)
