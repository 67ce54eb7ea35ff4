"""What every sink that follows the table of record has to do, as tests that its author runs::

    class TestMySink(SinkSuite):
        @pytest.fixture
        def sink(self):
            return MySink("somewhere")

        @pytest.fixture
        def settings(self):
            return {"my_section": {...}}

        def held(self, spark, sink, settings):
            return [(row["k"], row["window"]["start"], row["n"]) for row in ...]

It needs pytest and a fixture `spark`, made by `headway.run.engine.start(..., sinks=[MySink("any")])`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pyspark.sql import functions as F

from headway import instant
from headway.errors import Error
from headway.interval import Interval
from headway.pipeline import Pipeline, pipeline
from headway.run.followers import Followers
from headway.run.job import Job, Report
from headway.sink import Change, FollowingSink
from headway.sinks import Iceberg
from headway.sources import Kafka
from headway.testing import MODES, Harness, MemoryLog

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["CrashedError", "SinkSuite", "counts"]

_DAY = instant.parse("2013-02-01T00:00:00Z")
_HOUR = instant.duration("1 hour")
Row = tuple[str, datetime, int]


class CrashedError(Error):
    """Ends a run in the middle of what it does."""


class SinkSuite:
    """Behaviours of a sink. Subclasses give `sink`, `settings` and `held`."""

    def held(self, spark: SparkSession, sink: FollowingSink, settings: Mapping[str, Any]) -> list[Row]:
        """Return what the sink holds, in any order: `k`, the window's start in UTC, `n`."""
        raise NotImplementedError

    @pytest.fixture
    def trial(
        self, spark: SparkSession, sink: FollowingSink, settings: Mapping[str, Any]
    ) -> Iterator[_Trial]:
        """Give a pipeline with the sink, a log, and means to run and compare."""
        harness = Harness(spark, settings=settings)
        log = MemoryLog("s", partitions=2)
        yield _Trial(harness, log, sink, lambda: self.held(spark, sink, settings))
        log.close()
        harness.close()

    @pytest.mark.parametrize("emit", ["final", "early"])
    @pytest.mark.parametrize("kind", ["hourly", "continuous"])
    def test_it_holds_what_the_table_of_record_holds_after_each_run(
        self, trial: _Trial, kind: str, emit: Literal["final", "early"]
    ) -> None:
        """Several runs, and a late record that corrects an interval."""
        placed = trial.place(emit=emit)
        for times in (["01:10", "01:20", "02:10"], ["04:30"], ["05:10", "05:20", "08:00"]):
            trial.put(*times)
            trial.run(placed, kind)
            assert trial.held() == trial.recorded(placed)
        trial.put("02:20", late="02:00")
        trial.run(placed, kind, complete=True)
        assert trial.held() == trial.recorded(placed)
        assert {hour: n for _, hour, n in trial.held()}["02"] == 2

    @pytest.mark.parametrize(
        ("kind", "when"), [("hourly", "before"), ("continuous", "before"), ("hourly", "after")]
    )
    def test_a_crash_beside_its_change_is_made_up_for(
        self, trial: _Trial, kind: str, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The table of record is a commit ahead, or the run has not learnt that the sink is not."""
        placed = trial.place()
        trial.put("01:10", "02:10", "05:30")
        trial.run(placed, kind)
        trial.put("06:10", "06:20", "09:30")
        with monkeypatch.context() as patched:
            _crash(patched, trial.sink, when)
            with pytest.raises(CrashedError):
                trial.run(placed, kind)
        if (kind, when) == ("hourly", "before"):
            assert set(trial.held()) < set(trial.recorded(placed))
        report = trial.run(placed, kind)
        if kind == "hourly":
            assert report.intervals == []  # nothing is computed again
        assert trial.held() == trial.recorded(placed)
        assert ("a", "06", 2) in trial.held()

    def test_a_change_from_a_state_that_has_passed_is_refused(self, trial: _Trial) -> None:
        """Two runs may both find that the sink lacks a commit: one of them applies it."""
        placed = trial.place()
        found = []
        for times in (["01:10", "02:10", "05:30"], ["06:10", "09:30"]):
            trial.put(*times)
            trial.run(placed, "hourly")
            with trial.job(placed) as job:
                (follower,) = job.followers
                found.append(follower.applied())
        with trial.job(placed) as job:
            (follower,) = job.followers
            was, now = found
            assert now is not None
            rows = job.target.history.rows_at(now.snapshot, [Interval(_DAY, _DAY + 24 * _HOUR)])
            to = replace(now, snapshot=now.snapshot + 1, sequence=now.sequence + 1)
            change = Change(to=to, rows=rows, count=2, replaced=(), upserts=False, before=lambda: None)
            assert not follower.apply(change, was)
        assert trial.held() == trial.recorded(placed)

    def test_it_may_be_added_later(self, trial: _Trial) -> None:
        """It begins with everything that the table of record holds."""
        placed = trial.place()
        trial.put("01:10", "02:10", "05:30")
        trial.run(replace(placed, outputs=placed.outputs[:1]), "hourly")
        trial.run(placed, "hourly")
        assert trial.held() == trial.recorded(placed) == [("a", "01", 1), ("a", "02", 1)]

    @pytest.mark.parametrize("keeps_history", [True, False])
    def test_a_replaced_interval_is_replaced(
        self, trial: _Trial, keeps_history: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A changed definition leaves out a key and changes a row: with and without the table's older snapshots."""
        placed = trial.place()
        trial.put("01:10", "02:10", "05:30")
        trial.put("01:20", key="b")
        trial.run(placed, "hourly")
        assert ("b", "01", 1) in trial.held()
        changed = replace(placed, function=counts("final", without="b", weight=10).function)
        if not keeps_history:
            _forget(monkeypatch)
        trial.run(changed, "hourly", wanted=Interval(_DAY + _HOUR, _DAY + 2 * _HOUR))
        assert trial.held() == trial.recorded(placed) == [("a", "01", 10), ("a", "02", 1)]

    def test_a_table_of_record_that_was_made_anew_is_followed_from_its_beginning(self, trial: _Trial) -> None:
        """The note of the dropped table is ahead of everything that the new one has committed."""
        placed = trial.place()
        for times in (["01:10", "02:10", "05:30"], ["06:10", "09:30"], ["10:10", "13:30"]):
            trial.put(*times)
            trial.run(placed, "hourly")
        trial.drop(placed)
        renamed = replace(placed, name=f"{placed.name}_anew")
        trial.run(renamed, "hourly", wanted=Interval(_DAY + _HOUR, _DAY + 2 * _HOUR))
        assert trial.held() == trial.recorded(renamed) == [("a", "01", 1)]

    def test_an_interval_without_rows_is_followed(self, trial: _Trial) -> None:
        """A commit without rows moves the note all the same."""
        placed = trial.place()
        trial.put("01:10", "05:30")
        trial.run(placed, "hourly")
        trial.put("12:30")
        trial.run(placed, "hourly")
        with trial.job(placed) as job:
            (follower,) = job.followers
            assert follower.applied() == job.target.history.at(job.target.history.visible())
        assert trial.held() == trial.recorded(placed)


class _Trial:
    def __init__(
        self, harness: Harness, log: MemoryLog, sink: FollowingSink, held: Callable[[], list[Row]]
    ) -> None:
        self.harness = harness
        self.log = log
        self.sink = sink
        self._held = held

    def place(self, *, emit: Literal["final", "early"] = "final") -> Pipeline:
        alone = self.harness.place(counts(emit))
        return replace(alone, outputs=(alone.sink, self.sink))

    def put(self, *times: str, late: str = "00:00", key: str = "a") -> None:
        for time in times:
            at = instant.parse(f"2013-02-01T{time}:00Z")
            delay = instant.parse(f"1970-01-01T{late}:00Z")
            self.log.append({"k": key, "at": instant.iso(at)}, arrival=at + delay)

    def run(self, placed: Pipeline, kind: str, **how: Any) -> Report:
        batch = 1 if kind == "continuous" else None
        return self.harness.run_again(
            placed, {"s": self.log}, MODES[kind], max_records_per_batch=batch, **how
        )

    def drop(self, placed: Pipeline) -> None:
        self.harness.table(placed).sparkSession.sql(f"DROP TABLE {placed.sink.table} PURGE")

    def job(self, placed: Pipeline) -> AbstractContextManager[Job]:
        return self.harness.job(placed, {"s": self.log}, MODES["hourly"])

    def held(self) -> list[tuple[str, str, int]]:
        """Return what the sink holds, with the hour alone for a time."""
        return sorted((k, start.astimezone(UTC).strftime("%H"), n) for k, start, n in self._held())

    def recorded(self, placed: Pipeline) -> list[tuple[str, str, int]]:
        """Return what the table of record holds."""
        start = F.date_format("window.start", "HH").alias("hour")
        return sorted(tuple(row) for row in self.harness.table(placed).select("k", start, "n").collect())


def counts(emit: Literal["final", "early"], *, without: str = "", weight: int = 1) -> Pipeline:
    """Return a definition that counts by key and hour, each record so many times, and leaves one key out."""

    @pipeline(
        inputs={
            "s": Kafka(
                "s",
                schema="k string, at timestamp",
                event_time="at",
                lateness="1 hour",
                disorder="0 seconds",
                clock="log",
                late="correct",
            )
        },
        output_time="window",
        emit=emit,
        outputs=[Iceberg("lake.headway_test.counts", keys=["k", "window"])],
    )
    def counts(s: DataFrame) -> DataFrame:
        hours = s.filter(F.col("k") != without).groupBy("k", F.window("at", "1 hour"))
        return hours.agg((F.count("*") * weight).alias("n"))

    return counts


def _crash(patched: pytest.MonkeyPatch, sink: FollowingSink, when: str) -> None:
    """Have the sink's next change end the process, as far as the run can tell, before or after it is made."""
    opens = type(sink).follow

    def follow(self: FollowingSink, *args: Any) -> Any:
        follower: Any = opens(self, *args)
        applies = follower.apply

        def apply(*change: Any) -> bool:
            if when == "after":
                applies(*change)
            raise CrashedError("crashed on purpose")

        follower.apply = apply
        return follower

    patched.setattr(type(sink), "follow", follow)


def _forget(patched: pytest.MonkeyPatch) -> None:
    """Have the table of record be without the snapshots that sinks have followed, as after expiry."""
    patches = Followers._replacement

    def replacement(self: Followers, _: Any, to: Any, since: Any) -> Change:
        everything = (Interval(instant.BEGINNING, instant.END),)
        return replace(patches(self, everything, to, since), before=lambda: None)

    patched.setattr(Followers, "_replacement", replacement)
