"""Lookups that are copies of Postgres tables: taken once a refresh, as versions that records see."""

from __future__ import annotations

import time
import uuid

import psycopg
import pytest

from headway import instant
from headway.embedded.postgres import Postgres as Server
from headway.errors import ConfigError, ResultError, UnavailableError
from headway.lookup import Lookup, PostgresTable
from headway.run.copies import Copies
from headway.testing import MODES, Harness, MemoryLog

pytestmark = [pytest.mark.servers, pytest.mark.slow]

PIPELINE = """
from headway import Lookup, PostgresTable, pipeline, sinks, sources

@pipeline(
    inputs={{
        "s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="30 days", clock="log"),
        "names": Lookup("{table}", refresh="1 second", settle="0 seconds", copies=PostgresTable("{source}")),
    }},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s, names):
    return s.join(names, "k", "left").select("at", "k", "name")
"""


@pytest.fixture(scope="module")
def dsn(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("pg") / "data")
    yield server.start()
    server.stop()


@pytest.fixture
def source(dsn):
    """A table with two columns and a row, and what changes it."""
    name = f"names_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {name} (k text, name text)")
        connection.execute(f"INSERT INTO {name} VALUES ('a', 'old')")
        yield name, connection.execute


def versions(spark, table):
    return spark.sql(f"SELECT * FROM {table}.snapshots").count()


@pytest.mark.parametrize("mode", ["hourly", "continuous"])
def test_a_record_sees_the_version_of_its_time(spark, dsn, define, source, mode):
    name, execute = source
    harness = Harness(spark, settings={"databases": {"main": dsn}})
    table = f"lake.dim.{name}"
    placed = harness.place(define(PIPELINE.format(table=table, source=name)))
    log = MemoryLog("s")

    def put():
        now = time.time_ns() // 1_000
        log.append({"k": "a", "at": instant.iso(now)}, arrival=now)

    put()
    harness.run_again(placed, {"s": log}, MODES[mode], complete=True)
    execute(f"UPDATE {name} SET name = 'new'")
    time.sleep(2.2)  # the versions have to be more than one refresh apart
    Copies(spark, placed.lookups, {"main": dsn}).take()
    time.sleep(1.2)
    put()
    harness.run_again(placed, {"s": log}, MODES[mode], complete=True)
    assert [r["name"] for r in harness.table(placed).orderBy("at").collect()] == ["old", "new"]
    assert versions(spark, table) == 2
    log.close()
    harness.close()


def test_a_table_that_has_not_changed_makes_no_version(spark, dsn, source):
    name, execute = source
    lookup = Lookup(f"lake.dim.{name}", refresh="1 second", copies=PostgresTable(name))
    for _ in range(2):
        Copies(spark, {"n": lookup}, {"main": dsn}).take()
    assert versions(spark, lookup.table) == 1
    execute(f"INSERT INTO {name} VALUES ('a', 'old')")  # a second row like the first
    Copies(spark, {"n": lookup}, {"main": dsn}).take()
    assert versions(spark, lookup.table) == 2
    assert spark.table(lookup.table).count() == 2


def test_it_is_copied_once_a_refresh(spark, dsn, source):
    name, execute = source
    lookup = Lookup(f"lake.dim.{name}", refresh="30 days", copies=PostgresTable(name))
    copies = Copies(spark, {"n": lookup}, {"main": dsn})
    copies.take()
    execute(f"UPDATE {name} SET name = 'new'")
    copies.take()
    assert versions(spark, lookup.table) == 1


def test_types_are_kept_and_what_spark_lacks_is_text(spark, dsn):
    name = f"kinds_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            f"""CREATE TABLE {name} AS SELECT 1::int2 a, 2::int8 b, 1.5::float8 c, 12.50::numeric(10,2) d,
            DATE '2013-02-01' e, TIMESTAMPTZ '2013-02-01 05:00+01' f, true g, '\\x00ff'::bytea h,
            '{{"x": 1}}'::jsonb i, ARRAY[1, 2] j, NULL::text k, 'f' || repeat('0', 3) l, TIMESTAMP '2013-02-01 05:00' m"""
        )
    lookup = Lookup(f"lake.dim.{name}", copies=PostgresTable(name))
    Copies(spark, {"n": lookup}, {"main": dsn}).take()
    table = spark.table(lookup.table)
    kinds = {f.name: f.dataType.simpleString() for f in table.schema}
    assert kinds == {
        "a": "int", "b": "bigint", "c": "double", "d": "decimal(10,2)", "e": "date", "f": "timestamp",
        "g": "boolean", "h": "binary", "i": "string", "j": "string", "k": "string", "l": "string",
        "m": "timestamp_ntz",
    }  # fmt: skip
    row = table.selectExpr(
        "cast(f as string) f", "cast(m as string) m", "cast(d as string) d", "i", "j", "hex(h) h", "k"
    ).first()
    assert tuple(row) == (
        "2013-02-01 04:00:00",
        "2013-02-01 05:00:00",
        "12.50",
        '{"x": 1}',
        "{1,2}",
        "00FF",
        None,
    )


def test_a_column_that_is_new_is_added_and_one_that_is_lost_stops_the_run(spark, dsn, source):
    name, execute = source
    lookup = Lookup(f"lake.dim.{name}", copies=PostgresTable(name))
    Copies(spark, {"n": lookup}, {"main": dsn}).take()
    execute(f"ALTER TABLE {name} ADD COLUMN city text DEFAULT 'x'")
    Copies(spark, {"n": lookup}, {"main": dsn}).take()
    assert [tuple(r) for r in spark.table(lookup.table).select("k", "name", "city").collect()] == [
        ("a", "old", "x")
    ]
    execute(f"ALTER TABLE {name} DROP COLUMN name")
    with pytest.raises(ResultError, match=r"name \(string\) is not in the result"):
        Copies(spark, {"n": lookup}, {"main": dsn}).take()


def test_what_is_not_there_is_named_without_the_password(spark, dsn):
    missing = Lookup("lake.dim.none", copies=PostgresTable("nowhere.names"))
    with pytest.raises(ResultError, match="nowhere"):
        Copies(spark, {"n": missing}, {"main": dsn}).take()
    with pytest.raises(ConfigError, match="no database 'main'"):
        Copies(spark, {"n": missing}, {"crm": dsn}).take()
    with pytest.raises(UnavailableError) as caught:
        Copies(spark, {"n": missing}, {"main": "postgresql://u:hunter2@127.0.0.1:1/x"}).take()
    assert "hunter2" not in str(caught.value)
