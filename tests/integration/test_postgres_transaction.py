"""A change of a Postgres table happens once or not at all, whoever makes it and whatever happens to them."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest
from pyspark.sql.types import IntegerType, StringType, StructField, StructType, TimestampType

from headway import instant
from headway.embedded.postgres import Postgres as Server
from headway.errors import ResultError, TransientError
from headway.interval import Interval
from headway.result import Result
from headway.sink import Applied
from headway.sinks import Postgres
from headway.sinks.postgres_failure import Failure
from headway.sinks.postgres_rows import HEADER, TRAILER, encoded
from headway.sinks.postgres_table import PostgresTable
from headway.sinks.postgres_transaction import Transaction, connect

pytestmark = pytest.mark.servers

KINDS = {"k": StringType(), "n": IntegerType(), "v": StringType(), "at": TimestampType()}
SCHEMA = StructType([StructField(name, kind) for name, kind in KINDS.items()])
RESULT = Result(output_time="at", is_window=False, keys=("k", "n"))
AT = datetime(2013, 2, 1, tzinfo=UTC)
EVERYTHING = Interval(instant.BEGINNING, instant.END)


@pytest.fixture(scope="module")
def dsn(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("pg") / "data")
    yield server.start()
    server.stop()


@pytest.fixture
def query(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:

        def asked(text):
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

        yield asked


@pytest.fixture
def table(dsn):
    """A table with the keys k and n, as the sink makes it."""
    name = f"t_{uuid.uuid4().hex[:8]}"
    prepare(dsn, name)
    return name


def prepare(dsn, name):
    with closing(PostgresTable(Postgres(name, keys=["k", "n"]), dsn=dsn, result=RESULT)) as made:
        made.prepare(SCHEMA)


def at(number):
    return Applied(snapshot=number, sequence=number, closed_through=0) if number else None


def rows(*given):
    columns = list(zip(*given, strict=True))
    return pa.record_batch(
        {
            "k": pa.array(columns[0], pa.string()),
            "n": pa.array(columns[1], pa.int32()),
            "v": pa.array(columns[2], pa.string()),
            "at": pa.array([AT] * len(given), pa.timestamp("us", "UTC")),
        }
    )


def change(table, *, since, count, **told):
    """A change to the state after `since`."""
    given = {"replaced": (), "upserts": True, "is_small": False, "to": at(since + 1)} | told
    return Transaction(
        table=table,
        columns={"k": "text", "n": "integer", "v": "text", "at": "timestamp with time zone"},
        keys=["k", "n"],
        time="at",
        is_end=False,
        count=count,
        since=at(since),
        **given,
    )


def run(dsn, transaction, batches):
    with connect(dsn) as connection, connection.transaction(), connection.cursor() as cursor:
        return transaction.run(cursor, batches)


def put(dsn, table, *given, since=0, **told):
    """Have a change made of these rows."""
    return run(dsn, change(table, since=since, count=len(given), **told), [rows(*given)])


def held(query, table):
    return query(f"SELECT k, n, v FROM {table} ORDER BY k, n")


def indexes(query, table):
    return sorted(d for (d,) in query(f"SELECT indexdef FROM pg_indexes WHERE tablename = '{table}'"))


@pytest.mark.parametrize("is_small", [True, False])
@pytest.mark.parametrize("null", ["b", None])
def test_rows_take_the_place_of_those_with_equal_keys(dsn, table, query, is_small, null):
    """A null in a key equals a null, though no join finds it."""
    put(dsn, table, ("a", 1, "old"), ("a", 2, "old"), (null, 1, "old"), is_small=is_small)
    put(dsn, table, ("a", 2, "new"), (null, 1, "new"), (null, 2, "new"), is_small=is_small, since=1)
    assert held(query, table) == [("a", 1, "old"), ("a", 2, "new"), (null, 1, "new"), (null, 2, "new")]


def test_rows_of_replaced_intervals_make_way(dsn, table, query):
    put(dsn, table, ("a", 1, "old"), ("a", 2, "old"))
    put(dsn, table, ("a", 2, "new"), since=1, upserts=False, replaced=[EVERYTHING])
    assert held(query, table) == [("a", 2, "new")]


def test_a_change_that_is_tried_again_after_its_commit_is_passed_over(dsn, table, query):
    assert put(dsn, table, ("a", 1, "once"))
    assert not put(dsn, table, ("a", 1, "twice"), ("a", 2, "twice"))
    assert held(query, table) == [("a", 1, "once")]


def test_of_two_attempts_at_once_the_second_sees_what_the_first_has_committed(dsn, table, query, await_):
    """Whatever isolation is the database's default: a snapshot from before the lock would not show it."""
    put(dsn, table, ("a", 1, "old"))
    strict = psycopg.conninfo.make_conninfo(dsn, options="-c default_transaction_isolation=serializable")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as thread:
        with connect(dsn) as zombie, zombie.transaction(), zombie.cursor() as cursor:
            assert change(table, since=1, count=1).run(cursor, [rows(("a", 1, "first"))])
            second = thread.submit(put, strict, table, ("a", 1, "second"), since=1)
            await_(lambda: query(waiting) == [(1,)], second)
        assert second.result() is False
    assert held(query, table) == [("a", 1, "first")]


def test_a_connection_that_ends_between_two_batches_leaves_the_table_as_it_was(dsn, table, query):
    put(dsn, table, ("a", 1, "old"))

    def batches():
        yield rows(("a", 1, "new"))
        query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        yield from [rows(*[("b", n, "new" * 100) for n in range(10_000)])] * 2

    with pytest.raises(psycopg.OperationalError) as caught:
        run(dsn, change(table, since=1, count=20_001), batches())
    assert Failure.of(caught.value).kind == "away"
    assert held(query, table) == [("a", 1, "old")]
    assert put(dsn, table, ("a", 1, "new"), since=1)


def test_rows_that_break_off_are_not_taken_for_all(dsn, table, query):
    """Arrow takes a stream that breaks off between two batches, as its writer was killed, for one that ends."""
    put(dsn, table, ("a", 1, "old"))
    with pytest.raises(TransientError, match="2 of 3 rows came"):
        run(dsn, change(table, since=1, count=3), [rows(("b", 1, "new"), ("c", 1, "new"))])
    assert held(query, table) == [("a", 1, "old")]


@pytest.mark.parametrize("was", [(), [("c", 1, "old")]])
def test_rows_with_equal_keys_are_refused_without_their_values(dsn, table, query, was):
    if was:
        put(dsn, table, *was)
    with pytest.raises(psycopg.Error) as caught:
        put(dsn, table, ("geheim", 1, "one"), ("geheim", 1, "other"), since=len(was))
    error = Failure.of(caught.value).error("main", table)
    assert isinstance(error, ResultError)
    assert "as rows have equal keys" in str(error)
    assert "geheim" not in str(error)
    assert held(query, table) == list(was)


def test_what_the_server_gives_up_is_worth_another_try(dsn, table):
    hasty = psycopg.conninfo.make_conninfo(dsn, options="-c lock_timeout=1")
    with connect(dsn) as other, other.transaction():
        other.execute(f"LOCK TABLE {table}")
        with pytest.raises(psycopg.Error) as caught:
            put(hasty, table, ("a", 1, "new"))
    error = Failure.of(caught.value).error("main", table)
    assert error.exit_status == 3
    assert "gave up a change" in str(error)


def test_the_first_rows_bring_the_index_on_their_keys_and_readers_do_not_wait(dsn, table, query):
    assert indexes(query, table) == []
    assert run(dsn, change(table, since=0, count=0), [])
    prepare(dsn, table)
    with connect(dsn) as connection, connection.transaction(), connection.cursor() as cursor:
        change(table, since=1, count=1).run(cursor, [rows(("a", 1, "new"))])
        assert held(query, table) == []
    (by_keys,) = indexes(query, table)
    assert by_keys.endswith("(k, n) NULLS NOT DISTINCT")


def test_a_table_that_refers_to_another_gets_its_first_rows_and_the_index(dsn, table, query):
    query(f"CREATE TABLE to_{table} AS SELECT 'a' AS k")
    query(f"ALTER TABLE to_{table} ADD UNIQUE (k)")
    query(f"ALTER TABLE {table} ADD FOREIGN KEY (k) REFERENCES to_{table} (k) DEFERRABLE INITIALLY DEFERRED")
    put(dsn, table, ("a", 1, "new"))
    assert held(query, table) == [("a", 1, "new")]
    assert len(indexes(query, table)) == 1


def test_an_interval_that_is_replaced_brings_the_index_that_finds_the_next_one(dsn, table, query):
    for since in (0, 1):
        assert len(indexes(query, table)) == since
        put(dsn, table, ("a", since, "new"), since=since, upserts=False, replaced=[EVERYTHING])
    by_time, _ = indexes(query, table)
    assert by_time.endswith("(at)")
    prepare(dsn, table)
    put(dsn, table, ("a", 2, "new"), since=2, upserts=False, replaced=[EVERYTHING])
    assert len(indexes(query, table)) == 2


def test_indexes_that_are_there_stay(dsn, table, query):
    query(f"ALTER TABLE {table} ADD PRIMARY KEY (n, k) INCLUDE (v)")
    query(f"CREATE INDEX ON {table} (at, v)")
    before = indexes(query, table)
    put(dsn, table, ("a", 1, "new"))
    put(dsn, table, ("a", 1, "newer"), since=1, upserts=False, replaced=[EVERYTHING])
    assert indexes(query, table) == before


@pytest.mark.parametrize(
    "index",
    [
        "(k, n)",  # to which nulls differ, so that they would be added once more
        "(k) INCLUDE (n)",
        "(k, n) NULLS NOT DISTINCT WHERE n > 0",
        "(k, n, v) NULLS NOT DISTINCT",
    ],
)
def test_a_table_with_rows_and_no_index_that_tells_them_apart_is_refused(dsn, table, query, index):
    query(f"CREATE UNIQUE INDEX ON {table} {index}")
    query(f"INSERT INTO {table} VALUES ('a', 1, 'old', now())")
    with pytest.raises(ResultError, match="no unique index on k, n for which nulls are equal"):
        prepare(dsn, table)


@pytest.mark.parametrize("is_small", [True, False])
def test_rows_that_others_refer_to_change_where_they_are(dsn, table, query, is_small):
    """To delete and insert them would take the others along."""
    put(dsn, table, ("a", 1, "old"))
    query(
        f"CREATE TABLE of_{table} (k text, n integer, "
        f"FOREIGN KEY (k, n) REFERENCES {table} (k, n) ON DELETE CASCADE)"
    )
    query(f"INSERT INTO of_{table} VALUES ('a', 1)")
    put(dsn, table, ("a", 1, "new"), since=1, is_small=is_small)
    assert held(query, table) == [("a", 1, "new")]
    assert query(f"SELECT count(*) FROM of_{table}") == [(1,)]


def test_a_deferred_reference_survives_an_interval_that_is_replaced(dsn, table, query):
    put(dsn, table, ("a", 1, "old"))
    query(
        f"CREATE TABLE of_{table} (k text, n integer, "
        f"FOREIGN KEY (k, n) REFERENCES {table} (k, n) DEFERRABLE INITIALLY DEFERRED)"
    )
    query(f"INSERT INTO of_{table} VALUES ('a', 1)")
    put(dsn, table, ("a", 1, "new"), since=1, replaced=[EVERYTHING], upserts=False)
    assert held(query, table) == [("a", 1, "new")]


def test_a_trigger_sees_a_row_change_and_not_go(dsn, table, query):
    put(dsn, table, ("a", 1, "old"))
    query("CREATE TABLE IF NOT EXISTS seen (what text)")
    query(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN INSERT INTO seen VALUES (TG_OP); RETURN NULL; END'"
    )
    query(f"CREATE TRIGGER note AFTER UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION note()")
    put(dsn, table, ("a", 1, "new"), since=1)
    assert query("SELECT what FROM seen") == [("UPDATE",)]


def test_a_few_batches_are_held_at_a_time(dsn, table):
    size, most = 4_000_000, 0

    def batches():
        nonlocal most
        for n in range(20):
            yield rows(("a", n, "x" * size))
            most = max(most, pa.total_allocated_bytes())

    before = pa.total_allocated_bytes()
    run(dsn, change(table, since=0, count=20), batches())
    assert most - before < 8 * size


@pytest.mark.parametrize(("precision", "scale"), [(1, 0), (10, 2), (9, 9), (18, 5), (38, 0), (38, 37)])
def test_decimals_are_copied_to_the_last_digit(dsn, precision, scale):
    digits = (9,) * precision
    numbers = [Decimal((sign, digits, -scale)) for sign in (0, 1)]
    numbers += [Decimal((0, (n,), -scale)) for n in (0, 1)]
    numbers += [Decimal((1, digits[: precision // 2] or (5,), -scale)), None]
    given = pa.array(numbers, pa.decimal128(precision, scale))
    assert copied(dsn, given, f"numeric({precision},{scale})") == numbers


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("boolean", pa.array([True, None, False])),
        ("smallint", pa.array([-128, None, 127], pa.int8())),
        ("bigint", pa.array([-(2**63), None, 2**63 - 1])),
        ("real", pa.array([-1.5, None, 3.25], pa.float32())),
        ("double precision", pa.array([-1e300, None, float("inf")])),
        ("text", pa.array(["", None, "żółć \U0001f6eb"])),
        ("bytea", pa.array([b"", None, b"\0\xff"])),
        ("date", pa.array([date(1, 1, 1), None, date(9999, 12, 31)])),
        (
            "timestamp without time zone",
            pa.array([datetime(1, 1, 1), None, datetime.max], pa.timestamp("us")),
        ),
        ("jsonb", pa.array(['{"a": 1}', None, "[]"])),
    ],
)
def test_values_and_nulls_are_copied(dsn, kind, given):
    expected = [json.loads(v) if v and kind == "jsonb" else v for v in given.to_pylist()]
    assert copied(dsn, given, kind) == expected
    assert copied(dsn, given.drop_null(), kind) == [v for v in expected if v is not None]


def copied(dsn, given, kind):
    """Copy a column twice, with a number before it and one behind it, from the middle of a batch; return it."""
    batch = pa.record_batch({"n": range(len(given)), "a": given, "b": given, "m": range(len(given))})
    with psycopg.connect(dsn) as connection:
        connection.execute(f"CREATE TEMP TABLE c (n bigint, a {kind}, b {kind}, m bigint)")
        kinds = ["bigint", kind, kind, "bigint"]
        with connection.cursor().copy("COPY c FROM STDIN (FORMAT binary)") as copy:
            for part in (HEADER, encoded(batch.slice(0, 1), kinds), encoded(batch.slice(1), kinds), TRAILER):
                copy.write(part)
        found = connection.execute("SELECT a, b, n = m FROM c ORDER BY n").fetchall()
    assert all(a == b and same for a, b, same in found)
    return [a for a, *_ in found]
