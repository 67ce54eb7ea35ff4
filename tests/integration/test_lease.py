"""A writer that has lost its lease cannot commit, however late it wakes up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headway.errors import FencedOffError
from headway.interval import Interval
from headway.result import Result
from headway.run import lease
from headway.run.files import Files
from headway.sinks.iceberg_table import IcebergTable, MainMovedError
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow

RESULT = Result(output_time="at", is_window=False, keys=())
PIPELINE = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="at timestamp", event_time="at")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s):
    return s.select("at")
"""


@pytest.fixture
def placed(harness, define):
    return harness.place(define(PIPELINE))


@pytest.fixture
def logs():
    log = MemoryLog("s")
    yield {"s": log}
    log.close()


def commit_of(job, rows=1):
    from headway.ownership import Ownership
    from headway.sink import Commit

    return Commit(
        pipeline="p", mode="hourly", lineage="bounded", interval=Interval(0, 1), revision=1, batch_id=None,
        fingerprint="f", closed_through=1, token=job.held.token, offsets={}, lookups={}, touches=None, ownership=Ownership(),
    )  # fmt: skip


def take_over(spark, job, monkeypatch):
    """Take the lease of a job as another run does that holds it for dead."""
    monkeypatch.setattr(lease, "_is_dead", lambda *_: True)
    return lease.taken(
        spark, job.books.name("corrections"), pipeline="p", mode="daily", interval=job.held.holder.interval,
        beats=job.state + "/beats", seconds=60,
    )  # fmt: skip


def test_a_zombie_that_has_staged_before_the_takeover_cannot_publish(
    harness, spark, placed, logs, monkeypatch
):
    with harness.job(placed, logs, MODES["hourly"]) as zombie:
        staged = zombie.target.stage(
            spark.sql("SELECT TIMESTAMP '2013-02-01' AS at"), commit_of(zombie), replace=None
        )
        zombie.held.check()
        with take_over(spark, zombie, monkeypatch) as newer:
            assert [h.token for h in newer.overtaken] == [zombie.held.token]
            successor = IcebergTable(spark, placed.sink.table, RESULT, unique=True)
            successor.open_branch(newer.token, [h.token for h in newer.alive])
            with pytest.raises(MainMovedError):
                zombie.target.publish(staged)
            assert harness.table(placed).count() == 0


def test_a_zombie_that_stages_after_the_takeover_is_told(harness, spark, placed, logs, monkeypatch):
    with harness.job(placed, logs, MODES["hourly"]) as zombie, take_over(spark, zombie, monkeypatch) as newer:
        assert newer.token > zombie.held.token
        zombie.target.stage(spark.sql("SELECT TIMESTAMP '2013-02-01' AS at"), commit_of(zombie), replace=None)
        with pytest.raises(FencedOffError, match="taken over"):
            zombie.held.check()


def test_runs_that_begin_at_the_same_moment_leave_each_others_branch_alone(harness, spark, placed, logs):
    with harness.job(placed, logs, MODES["hourly"]) as job:
        tables = [IcebergTable(spark, placed.sink.table, RESULT, unique=True) for _ in "ab"]
        older, newer = job.held.token + 1, job.held.token + 2
        tables[1].open_branch(newer, [job.held.token])
        tables[0].open_branch(older, [job.held.token])  # it took its lease first, and knows of no newer one
        staged = tables[1].stage(
            spark.sql("SELECT TIMESTAMP '2013-02-01' AS at"), commit_of(job), replace=None
        )
        tables[1].publish(staged)
        assert harness.table(placed).count() == 1


def test_disjoint_ranges_may_be_written_side_by_side(harness, spark, placed, logs):
    with harness.job(placed, logs, MODES["hourly"]) as job:
        table = job.books.name("corrections")
        job.held.check()
    ranges = [Interval(0, 10), Interval(10, 20)]
    options = {"pipeline": "p", "mode": "hourly", "beats": job.state + "/beats", "seconds": 60}
    with (
        lease.taken(spark, table, interval=ranges[0], **options) as a,
        lease.taken(spark, table, interval=ranges[1], **options) as b,
    ):
        a.check()
        b.check()
        assert [h.token for h in b.alive] == [a.token]
        with (
            pytest.raises(lease.LeaseHeldError),
            lease.taken(spark, table, interval=Interval(5, 6), **options),
        ):
            pass


def test_a_silent_holder_on_another_machine_is_overtaken_after_its_time(harness, spark, placed, logs):
    with harness.job(placed, logs, MODES["hourly"]) as job:
        elsewhere = replace(job.held.holder, host="elsewhere")
        files, beats = Files(spark), job.state + "/elsewhere"
        files.write(f"{beats}/{elsewhere.token}.beat", "1000.0")
        assert not lease._is_dead(files, elsewhere, beats, 60, lambda: 1_050.0)
        assert lease._is_dead(files, elsewhere, beats, 60, lambda: 1_061.0)


def test_a_holder_is_asked_to_stop(harness, spark, placed, logs):
    import time

    with harness.job(placed, logs, MODES["hourly"]) as job:
        beats = str(harness._work / "beats" / placed.name)
        lease.ask_to_stop(spark, beats, job.held.holder)
        deadline = time.monotonic() + 20
        while not job.held.is_asked_to_stop and time.monotonic() < deadline:
            time.sleep(0.05)
        assert job.held.is_asked_to_stop


def test_a_commit_whose_answer_was_lost_is_found_below_those_of_others(harness, spark, placed, logs):
    with harness.job(placed, logs, MODES["hourly"]) as job:
        other = IcebergTable(spark, placed.sink.table, RESULT, unique=True)
        other.open_branch(job.held.token + 1, [job.held.token])
        rows = spark.sql("SELECT TIMESTAMP '2013-02-01' AS at")
        staged = job.target.stage(rows, commit_of(job), replace=None)
        job.target.publish(staged)
        other.publish(other.stage(rows, commit_of(job), replace=None))
        assert job.target.publish(staged) == staged.handle
        assert harness.table(placed).count() == 2
