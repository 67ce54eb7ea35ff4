"""The behaviour of every source, as tests that its author subclasses::

    class TestLines(SourceSuite):
        @pytest.fixture
        def origin(self, tmp_path, spark):
            return LinesOrigin(tmp_path, spark)

Wanted beside it: a fixture `spark`, a session made by `headway.run.engine.start`. An `origin` names a
log of its own for each test, in which nothing stands yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from pyspark.sql import functions as F

from headway import instant
from headway.interval import Interval
from headway.pipeline import Pipeline, pipeline
from headway.run.verify import verify
from headway.sinks import Iceberg
from headway.source import Landing, Log, Source
from headway.testing import MODES, Harness

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["FACTS", "Origin", "SourceSuite"]

FACTS: dict[str, Any] = {
    "schema": "k string, at timestamp",
    "event_time": "at",
    "lateness": "20000 days",
    "disorder": "0 seconds",
}
"""What an origin's source has to state beside its name: records are old, and none is late."""

_HOUR = instant.duration("1 hour")
_DAY = instant.parse("2013-02-01")


class Origin(Protocol):
    """Where one test's records come from."""

    source: Source
    """The definition, with `FACTS`."""

    def put(self, values: Sequence[Mapping[str, object]]) -> None:
        """Write records behind those that are there; their arrival is now."""
        ...

    def open(self) -> Log:
        """Open the log anew, as a run does."""
        ...


class SourceSuite:
    """What headway asks of every source, whatever system it reads."""

    @pytest.fixture
    def origin(self) -> Origin:
        """Return the source under test."""
        raise NotImplementedError

    @pytest.fixture
    def harness(self, spark: SparkSession) -> Iterator[Harness]:
        """Return what runs pipelines, on tables of its own."""
        made = Harness(spark)
        yield made
        made.close()

    def test_what_was_put_is_read_once_and_says_where_it_stands(
        self, origin: Origin, spark: SparkSession
    ) -> None:
        """Offsets are unique within a partition and lie between begin and end; arrivals are those of writing."""
        before = time.time_ns() // 1_000 - instant.SECOND
        log = _filled(origin, "01:10", "01:20", "02:10")
        ends = log.ends()
        rows = log.read(spark, log.begins(), ends.offsets).collect()
        assert sorted(_times(rows)) == ["01:10", "01:20", "02:10"]
        places = [(row["partition"], row["offset"]) for row in rows]
        assert len(set(places)) == len(places) == ends.offsets.minus(log.begins())
        assert all(log.begins()[p] <= offset < ends.offsets[p] for p, offset in places)
        assert set(ends.settled) == set(ends.offsets)
        arrivals = [instant.from_datetime(row["timestamp"].astimezone()) for row in rows]
        assert before <= min(arrivals) <= max(arrivals) <= time.time_ns() // 1_000 + instant.SECOND
        assert max(log.latest_arrivals(ends.offsets).values()) == max(arrivals)
        assert min(log.earliest_arrivals().values()) == min(arrivals)
        log.close()

    def test_a_range_holds_the_same_records_whenever_it_is_read(
        self, origin: Origin, spark: SparkSession
    ) -> None:
        """What is put later, and who has opened the log, changes nothing."""
        log = _filled(origin, "01:10", "01:20")
        begin, end = log.begins(), log.ends().offsets
        first = sorted(_times(log.read(spark, begin, end).collect()))
        identity = log.identity()
        log.close()
        again = _filled(origin, "05:10")
        assert again.identity() == identity
        assert sorted(_times(again.read(spark, begin, end).collect())) == first
        assert _times(again.read(spark, end, again.ends().offsets).collect()) == ["05:10"]
        again.close()

    def test_offsets_are_found_by_arrival(self, origin: Origin) -> None:
        """The first whose arrival is at or after a moment; the end where there is none."""
        log = _filled(origin, "01:10")
        middle = log.ends().offsets
        latest = max(log.latest_arrivals(middle).values())
        while time.time_ns() // 1_000 <= latest + 10_000:
            time.sleep(0.005)
        log.close()
        log = _filled(origin, "02:10")
        ends = log.ends().offsets
        assert log.offsets_at(instant.BEGINNING, ends) == log.begins()
        assert log.offsets_at(instant.parse("2100-01-01"), ends) == ends
        found = log.offsets_at(latest + 5_000, ends)
        assert found.covers(middle)
        assert ends.minus(found) == 1
        log.close()

    def test_an_offset_of_another_source_is_not_taken_for_its_own(self, origin: Origin) -> None:
        """Spark's offset log holds a line for each source of a query."""
        log = _filled(origin, "01:10")
        for other in ('{"marker": "s", "frontier": 0, "start": ""}', '{"other-topic": {"0": 3}}'):
            assert log.parse_stream_offset(other) is None
        log.close()

    @pytest.mark.parametrize("name", MODES)
    def test_runs_take_each_record_once(self, origin: Origin, harness: Harness, name: str) -> None:
        """Several runs one after the other, in batches of one record."""
        placed = harness.place(_rows(origin.source))
        for times in (["01:10", "01:20", "02:10"], ["03:10"], []):
            log = _filled(origin, *times)
            report = harness.run_again(
                placed, {"s": log}, MODES[name], complete=True, max_records_per_batch=1
            )
            assert report.accounts.read == report.accounts.admitted == len(times)
            log.close()
        assert sorted(_hours(harness.table(placed))) == ["01:10", "01:20", "02:10", "03:10"]

    def test_the_modes_agree(self, origin: Origin, harness: Harness, spark: SparkSession) -> None:
        """The same log through every mode."""
        placed = harness.place(_counts(origin.source))
        for times in (["01:10", "01:20"], ["02:10", "04:10"], ["02:20", "04:30", "04:40"]):
            log = _filled(origin, *times)
            log.close()
        log = origin.open()
        whole = Interval(_DAY, _DAY + 24 * _HOUR)
        verdict = verify(spark, placed, {"s": log}, MODES, whole, zone="UTC")
        assert verdict.agree, verdict.rows
        assert [m["rows"] for m in verdict.modes] == [3, 3, 3]
        log.close()


def _filled(origin: Origin, *times: str) -> Log:
    """Put records, and open the log in which they stand."""
    origin.put([{"k": "a", "at": f"2013-02-01T{time_}:00Z"} for time_ in times])
    log = origin.open()
    if isinstance(log, Landing):
        log.land()
    return log


def _times(rows: Sequence[Any]) -> list[str]:
    return [bytes(row["value"]).decode().partition("2013-02-01T")[2][:5] for row in rows]


def _hours(table: DataFrame) -> list[str]:
    return [row[0] for row in table.select(F.date_format("at", "HH:mm")).collect()]


def _rows(source: Source) -> Pipeline:
    @pipeline(inputs={"s": source}, output_time="at", outputs=[Iceberg("lake.suite.any")])
    def rows(s: DataFrame) -> DataFrame:
        return s.select("k", "at")

    return rows


def _counts(source: Source) -> Pipeline:
    @pipeline(inputs={"s": source}, output_time="window", outputs=[Iceberg("lake.suite.any")])
    def counts(s: DataFrame) -> DataFrame:
        return s.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))

    return counts
