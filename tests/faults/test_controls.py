"""Negative controls: the same crash with and without each protection. Without it, rows are lost or come twice."""

from __future__ import annotations

import json
import uuid
from contextlib import nullcontext

import pytest
from pydantic import SecretStr

from headway import instant
from headway.errors import TerminalError
from headway.interval import Interval
from headway.ownership import Ownership
from headway.result import Result
from headway.run import lease
from headway.run.batches import Batches
from headway.sink import Commit
from headway.sinks.iceberg_table import IcebergTable, MainMovedError
from headway.sources import RabbitMQ
from headway.sources.landing_table import LandingTable
from headway.sources.rabbitmq_log import RabbitMQLog
from headway.sources.rabbitmq_queue import Queue
from headway.testing import MODES, MemoryLog

pytestmark = [pytest.mark.servers, pytest.mark.slow]

ROWS = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", clock="log")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s):
    return s.select("k", "at")
"""


class CrashedError(Exception):
    """The process is gone."""


def crash(*_args, **_options):
    raise CrashedError


@pytest.fixture
def placed(harness, define):
    return harness.place(define(ROWS))


@pytest.fixture
def log():
    made = MemoryLog("s")
    for minute in range(10):
        at = instant.parse("2013-02-01") + minute * 60 * instant.SECOND
        made.append({"k": str(minute), "at": instant.iso(at)}, arrival=at)
    yield made
    made.close()


@pytest.mark.parametrize("is_protected", [True, False], ids=["with", "without"])
def test_the_run_key_keeps_a_batch_from_being_committed_twice(
    harness, placed, log, monkeypatch, is_protected
):
    """Spark was not told of a batch that the table holds: it runs it again."""
    with monkeypatch.context() as patched:
        patched.setattr(Batches, "_passed", crash)  # the first thing after the commit
        with pytest.raises(TerminalError, match="the stream ended"):
            harness.run_again(placed, {"s": log}, MODES["continuous"], max_records_per_batch=4)
    assert harness.table(placed).count() == 4
    if not is_protected:
        made = Batches.__init__

        def forgetful(self, *args):
            made(self, *args)
            self._last_batch = -1

        monkeypatch.setattr(Batches, "__init__", forgetful)
    harness.run_again(placed, {"s": log}, MODES["continuous"], max_records_per_batch=4, complete=True)
    assert (harness.table(placed).count() == 10) is is_protected


@pytest.mark.parametrize("is_protected", [True, False], ids=["with", "without"])
def test_landing_before_the_acknowledgement_keeps_messages(spark, rabbitmq, monkeypatch, is_protected):
    """The run dies between the two."""
    name = uuid.uuid4().hex[:8]
    source = RabbitMQ(name, landing=f"lake.landing.c_{name}", schema="at timestamp", event_time="at")
    ids = [str(number) for number in range(5)]
    rabbitmq.publish(name, [json.dumps({"at": "2013-02-01"}).encode()] * 5, ids=ids)
    log = RabbitMQLog(spark, source, {"url": SecretStr(rabbitmq.url)})
    with monkeypatch.context() as patched:
        if is_protected:
            patched.setattr(Queue, "acknowledge", crash)
        else:

            def backwards(_log, queue, taken):
                queue.acknowledge(taken)
                raise CrashedError

            patched.setattr(RabbitMQLog, "_keep", backwards)
        with pytest.raises(CrashedError):
            log.land()
    log.land()
    landed = sorted(row["message_id"] for row in spark.table(source.landing).collect())
    assert (landed == ids) is is_protected
    log.close()


@pytest.mark.parametrize("is_protected", [True, False], ids=["with", "without"])
def test_the_ids_that_have_landed_keep_a_message_from_landing_twice(
    spark, rabbitmq, monkeypatch, is_protected
):
    """The run dies after the landing; the broker delivers the messages again."""
    name = uuid.uuid4().hex[:8]
    source = RabbitMQ(name, landing=f"lake.landing.c_{name}", schema="at timestamp", event_time="at")
    ids = [str(number) for number in range(5)]
    rabbitmq.publish(name, [json.dumps({"at": "2013-02-01"}).encode()] * 5, ids=ids)
    settings = {"url": SecretStr(rabbitmq.url)}
    with monkeypatch.context() as patched:
        patched.setattr(Queue, "acknowledge", crash)
        with pytest.raises(CrashedError):
            RabbitMQLog(spark, source, settings).land()
    if not is_protected:
        monkeypatch.setattr(LandingTable, "_fresh", lambda _table, messages: list(messages))
    log = RabbitMQLog(spark, source, settings)
    log.land()
    assert (spark.table(source.landing).count() == len(ids)) is is_protected
    log.close()


@pytest.mark.parametrize("is_protected", [True, False], ids=["with", "without"])
def test_fencing_keeps_a_zombie_from_publishing(harness, spark, placed, log, monkeypatch, is_protected):
    """A run that was taken for dead wakes up with staged rows, and its successor computes the same ones."""
    rows = spark.sql("SELECT 'a' AS k, TIMESTAMP '2013-02-01' AS at")
    with harness.job(placed, {"s": log}, MODES["hourly"]) as zombie:
        staged = zombie.target.stage(rows, commit_of(zombie.held.token), replace=None)
        monkeypatch.setattr(lease, "_is_dead", lambda *_: True)
        successor_lease = lease.taken(
            spark,
            zombie.books.name("corrections"),
            pipeline=placed.name,
            mode="daily",
            interval=zombie.held.holder.interval,
            beats=zombie.state + "/beats",
            seconds=60,
        )
        with successor_lease as newer:
            successor = IcebergTable(
                spark, placed.sink.table, Result(output_time="at", is_window=False, keys=()), unique=True
            )
            alive = [] if is_protected else [zombie.held.token]  # whose branch is left alone
            successor.open_branch(newer.token, alive)
            with pytest.raises(MainMovedError) if is_protected else nullcontext():
                zombie.target.publish(staged)
            assert (harness.table(placed).count() == 0) is is_protected


def commit_of(token):
    return Commit(
        pipeline="p", mode="hourly", lineage="bounded", interval=Interval(0, 1), revision=1, batch_id=None,
        fingerprint="f", closed_through=1, token=token, offsets={}, lookups={}, touches=None, ownership=Ownership(),
    )  # fmt: skip
