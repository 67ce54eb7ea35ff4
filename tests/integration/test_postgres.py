"""A Postgres table holds what the table of record holds, after every commit and every crash."""

from __future__ import annotations

import os
import signal
import uuid
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from headway import instant
from headway.embedded.postgres import Postgres as Server
from headway.errors import ConfigError, DefinitionError, ResultError, UnavailableError
from headway.result import Result
from headway.sink import Applied, Change
from headway.sinks import Postgres, postgres_table
from headway.sinks.postgres_transaction import connect
from headway.testing import MODES, Harness, MemoryLog
from headway.testing.sink_suite import SinkSuite

pytestmark = [pytest.mark.servers, pytest.mark.slow]

WINDOWS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                              disorder="0 seconds", clock="log", late="{late}")}},
    output_time="window",
    emit="{emit}",
    outputs=[sinks.Iceberg("lake.n.t", keys=["k", "window"])],
)
def counts(s):
    return s.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""

TYPES = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour", clock="log")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def kinds(s):
    return s.select(
        "at",
        F.col("k").alias('the "key"'),
        F.lit(None).cast("string").alias("nothing"),
        F.when(F.col("k") == "", F.lit(7)).cast("int").alias("maybe"),
        F.lit(True).alias("truth"),
        F.lit("12.50").cast("decimal(10,2)").alias("price"),
        F.lit("NaN").cast("double").alias("nan"),
        F.lit("2013-02-01").cast("date").alias("day"),
        F.unhex(F.lit("00ff5c")).alias("raw"),
        F.array(F.lit(1), F.lit(None)).alias("list"),
        F.struct(F.lit("x").alias("a"), F.lit(None).cast("int").alias("b")).alias("pair"),
        F.col("at").cast("timestamp_ntz").alias("local"),
    )
"""


@pytest.fixture(scope="module")
def dsn(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("pg") / "data")
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def databases(spark, dsn):
    made = Harness(spark, settings={"databases": {"main": dsn}})
    yield made
    made.close()


@pytest.fixture
def query(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield lambda text: connection.execute(text).fetchall()


@pytest.fixture
def log():
    made = MemoryLog("s", partitions=2)
    yield made
    made.close()


@pytest.fixture
def place(databases, define):
    """Define a pipeline with a Postgres table beside its own."""

    def placed(text, *, keys=("k", "window"), table=None):
        alone = databases.place(define(text))
        name = table or f"reporting.t_{uuid.uuid4().hex[:8]}"
        return replace(alone, outputs=(alone.sink, Postgres(name, keys=list(keys))))

    return placed


def put(log, *times, late="00:00", key="a"):
    for time in times:
        at = instant.parse(f"2013-02-01T{time}:00Z")
        log.append({"k": key, "at": instant.iso(at)}, arrival=at + instant.parse(f"1970-01-01T{late}:00Z"))


def in_postgres(query, placed):
    name = placed.outputs[1].table
    return sorted((r[0].strftime("%H"), r[1]) for r in query(f"SELECT window_start, n FROM {name}"))


def in_iceberg(databases, placed):
    rows = databases.table(placed).collect()
    return sorted((r["window"]["start"].strftime("%H"), r["n"]) for r in rows)


class TestPostgres(SinkSuite):
    @pytest.fixture
    def sink(self):
        return Postgres(f"reporting.t_{uuid.uuid4().hex[:8]}", keys=["k", "window"])

    @pytest.fixture
    def settings(self, dsn):
        return {"databases": {"main": dsn}}

    def held(self, spark, sink, settings):
        with psycopg.connect(settings["databases"]["main"]) as connection:
            return connection.execute(f"SELECT k, window_start, n FROM {sink.table}").fetchall()


@pytest.fixture
def by_a_task(monkeypatch):
    """Have no change be small."""
    monkeypatch.setattr(postgres_table, "_SMALL", 0)


def test_what_a_task_copies_is_what_the_driver_copies(databases, log, place, query, by_a_task):
    placed = place(WINDOWS.format(emit="early", late="drop"))
    for times in (["01:10", "02:10"], ["02:20", "05:30"]):
        put(log, *times)
        databases.run_again(placed, {"s": log}, MODES["continuous"], max_records_per_batch=1)
    assert in_postgres(query, placed) == in_iceberg(databases, placed)


class Upserts:
    """A table with the keys k and n, into which rows of k, n and v are upserted."""

    def __init__(self, spark, dsn):
        sink = Postgres(f"reporting.t_{uuid.uuid4().hex[:8]}", keys=["k", "n"])
        result = Result(output_time="at", is_window=False, keys=("k", "n"))
        with_password = psycopg.conninfo.make_conninfo(dsn, password="geheim")
        self.spark, self.table = spark, sink.table
        self.follower = sink.follow(spark, {"databases": {"main": with_password}}, result)
        self.count = 0

    def __call__(self, *rows, since=None):
        given = [(k, n, v, datetime(2013, 2, 1)) for k, n, v in rows]
        frame = self.spark.createDataFrame(given, "k string, n int, v string, at timestamp").repartition(2)
        self.follower.prepare(frame.schema)
        self.count += 1
        to = Applied(snapshot=self.count, sequence=self.count, closed_through=0)
        change = Change(to=to, rows=frame, count=None, replaced=(), upserts=True, before=lambda: None)
        return self.follower.apply(change, since or self.follower.applied())


@pytest.fixture
def keyed(spark, dsn):
    made = Upserts(spark, dsn)
    yield made.table, made
    made.follower.close()


def test_a_task_leaves_a_table_that_has_moved_on(keyed, query, by_a_task):
    table, upsert = keyed
    assert upsert(("a", 1, "old"))
    assert not upsert(("a", 1, "late"), since=Applied(snapshot=7, sequence=7, closed_through=0))
    assert query(f"SELECT k, v FROM {table}") == [("a", "old")]


def test_a_task_says_what_postgres_refuses_and_leaves_the_table_as_it_was(keyed, query, by_a_task):
    table, upsert = keyed
    upsert(("a", 1, "old"))
    with pytest.raises(ResultError, match=r"refuses what is to go into .*: duplicate key value"):
        upsert(("a", 1, "one"), ("a", 1, "other"), ("b", 1, "new"))
    with pytest.raises(ResultError, match="invalid byte sequence"):
        upsert(("c", 1, "nul \0"))
    assert query(f"SELECT k, v FROM {table}") == [("a", "old")]


@pytest.fixture
def when_rows_are_in(dsn):
    """Have the server do something when a transaction has put rows into a table, and stop doing so."""
    with psycopg.connect(dsn, autocommit=True) as other:

        def ordered(table, what):
            name = f"when_{table.partition('.')[2]}"
            other.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {what}; RETURN NULL; END'"
            )
            other.execute(f"CREATE TRIGGER ordered AFTER INSERT ON {table} EXECUTE FUNCTION {name}()")
            return lambda: other.execute(f"DROP FUNCTION {name} CASCADE")

        yield ordered


def test_a_task_whose_connection_ends_is_worth_another_try(keyed, query, by_a_task, when_rows_are_in):
    table, upsert = keyed
    upsert(("a", 1, "old"))
    when_rows_are_in(table, "PERFORM pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(UnavailableError, match="does not answer"):
        upsert(("a", 1, "new"))
    assert query(f"SELECT k, v FROM {table}") == [("a", "old")]


def test_a_task_that_is_killed_in_its_transaction_leaves_the_table_as_it_was(
    keyed, query, by_a_task, when_rows_are_in, monkeypatch
):
    def mortal(dsn):
        connection = connect(dsn)
        connection.add_notice_handler(lambda _: os.kill(os.getpid(), signal.SIGKILL))
        return connection

    table, upsert = keyed
    upsert(("a", 1, "old"))
    before = upsert.follower.applied()
    stop = when_rows_are_in(table, "RAISE NOTICE ''now''")
    with monkeypatch.context() as patched:
        patched.setattr(postgres_table, "connect", mortal)
        upsert.follower._connected()
        with pytest.raises(Exception, match="Python worker exited unexpectedly"):
            upsert(("a", 1, "new"), ("b", 1, "new"))
    stop()
    assert query(f"SELECT k, v FROM {table}") == [("a", "old")]
    assert upsert.follower.applied() == before
    upsert(("a", 1, "new"), ("b", 1, "new"))
    assert sorted(query(f"SELECT k, v FROM {table}")) == [("a", "new"), ("b", "new")]


def test_the_password_stands_in_nothing_that_spark_writes_down(keyed, spark, by_a_task):
    """Plans and their descriptions go to the event log; the connection string is in the task's closure alone."""
    _, upsert = keyed
    assert "geheim" in upsert.follower._dsn
    assert upsert(("a", 1, "new"))
    told = spark._jsparkSession.sharedState().statusStore().executionsList()
    executions = [told.apply(n) for n in range(told.size())]
    plans = [e.physicalPlanDescription() for e in executions if "MapInArrow" in e.physicalPlanDescription()]
    assert plans
    assert not [
        e
        for e in executions
        if "geheim" in f"{e.physicalPlanDescription()}{e.modifiedConfigs()}{e.details()}"
    ]


def test_every_type_arrives(databases, log, place, query):
    placed = place(TYPES, keys=())
    put(log, "01:10", key="")
    put(log, "01:20", key='a "quoted", line\n\\N')
    databases.run_again(placed, {"s": log}, MODES["hourly"], complete=True)
    rows = query(
        f'SELECT "the ""key""", nothing, maybe, truth, price::text, nan::text, day::text, raw, list, pair, local::text '
        f"FROM {placed.outputs[1].table} ORDER BY at"
    )
    same = (True, "12.50", "NaN", "2013-02-01", b"\x00\xff\\", [1, None], {"a": "x", "b": None})
    assert rows == [
        ("", None, 7, *same, "2013-02-01 01:10:00"),
        ('a "quoted", line\n\\N', None, None, *same, "2013-02-01 01:20:00"),
    ]


def test_a_table_of_other_columns_stops_the_run_before_anything_is_published(
    databases, log, place, query, dsn
):
    placed = place(WINDOWS.format(emit="final", late="drop"))
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("CREATE SCHEMA IF NOT EXISTS reporting")
        other.execute(f"CREATE TABLE {placed.outputs[1].table} (k text, n integer, more text)")
    put(log, "01:10", "05:30")
    with pytest.raises(
        ResultError, match=r"more \(text\) is not in the result; n is bigint in the result and integer"
    ):
        databases.run_again(placed, {"s": log}, MODES["hourly"])
    assert databases.table(placed).count() == 0


def test_a_new_column_is_added(databases, log, place, query, define):
    placed = place(WINDOWS.format(emit="final", late="drop"))
    put(log, "01:10", "05:30")
    databases.run_again(placed, {"s": log}, MODES["hourly"])
    text = WINDOWS.format(emit="final", late="drop").replace(
        'F.count("*").alias("n")', 'F.count("*").alias("n"), F.max("at").alias("last")'
    )
    changed = replace(define(text), name=placed.name, outputs=placed.outputs)
    put(log, "06:10", "09:30")
    databases.run_again(changed, {"s": log}, MODES["hourly"])
    assert sorted(query(f"SELECT n, last IS NULL FROM {placed.outputs[1].table}")) == [
        (1, False),
        (1, False),
        (1, True),
    ]


def test_a_database_that_is_away_is_named_and_its_password_is_not(databases, log, place, spark):
    placed = place(WINDOWS.format(emit="final", late="drop"))
    away = Harness(spark, settings={"databases": {"main": "host=127.0.0.1 port=1 user=u password=geheim"}})
    put(log, "01:10")
    with pytest.raises(UnavailableError, match="database 'main' does not answer") as caught:
        away.run_again(placed, {"s": log}, MODES["hourly"])
    away.close()
    assert caught.value.exit_status == 3
    assert "geheim" not in str(caught.value)


def test_a_database_that_conf_does_not_name_is_a_wrong_call(databases, log, place):
    placed = place(WINDOWS.format(emit="final", late="drop"))
    elsewhere = replace(placed, outputs=(placed.sink, Postgres("t", database="mian")))
    with pytest.raises(ConfigError, match="'mian'"):
        databases.run_again(elsewhere, {"s": log}, MODES["hourly"])


def test_one_output_is_the_table_of_record(define):
    with pytest.raises(DefinitionError, match="0 of the outputs are Iceberg tables"):
        define(
            WINDOWS.format(emit="final", late="drop").replace(
                'sinks.Iceberg("lake.n.t"', 'sinks.Postgres("t"'
            )
        )
