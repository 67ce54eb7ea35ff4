"""The same log through each mode, measured: what it finds, and that nothing stays."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from headway import instant
from headway.demo import flights, replay
from headway.errors import CallError
from headway.interval import Interval
from headway.prices import Prices
from headway.run import scheduled, streamed, usage
from headway.run.compare import Request, compare
from headway.run.scheduled import Spent
from headway.run.trial import run_at
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow
START = instant.parse("2013-02-01T00:00:00Z")
HOUR = 3_600 * instant.SECOND
SPAN = Interval(START + HOUR, START + 7 * HOUR)

COUNTS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="30 minutes",
                               late="quarantine", clock="log")},
    output_time="window",
    outputs=[sinks.Iceberg("lake.n.counts")],
)
def counts(s):
    return s.groupBy("k", F.window("at", "2 hours", "1 hour")).agg(F.count("*").alias("n"))
"""
COPY = (
    COUNTS[: COUNTS.index("    output_time")]
    + """    output_time="at",
    emit="early",
    outputs=[sinks.Iceberg("lake.n.copy")],
)
def copy(s):
    return s.select("k", "at")
"""
)


@pytest.fixture(scope="module")
def log():
    made = MemoryLog("s", partitions=2)
    for minute in range(0, 24 * 60, 10):
        at = START + minute * 60 * instant.SECOND
        lag = 3 * HOUR if minute == 180 else 60 * instant.SECOND
        made.append(
            {"k": "ab"[minute // 10 % 2], "at": instant.iso(at)}, arrival=at + lag, partition=minute // 10 % 2
        )
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def small():
    """Fewer batches and runs than a real comparison measures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "_SMALL", 8)
        patch.setattr(streamed, "_LARGE", 3)
        patch.setattr(streamed, "_QUIET", 2.0)
        patch.setattr(streamed, "_SETTLE", 0.5)
        patch.setattr(scheduled, "_SAMPLES", 2)
        yield


def compared(spark, pipeline, log, modes):
    def fresh(trial, moment):
        began, before = time.monotonic(), usage.of_run(spark)
        run_at(trial, moment)
        return Spent(seconds=time.monotonic() - began + 7, usage=usage.of_run(spark).minus(before))

    request = Request(
        pipeline=pipeline,
        modes={name: MODES[name] for name in modes},
        interval=SPAN,
        zone="UTC",
        prices=Prices(),
        fresh=fresh,
        now=START,
    )
    return compare(spark, {"s": log}, request)


def tables(spark):
    found = set()
    for namespace in ("headway_compare", "headway"):
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS lake.{namespace}")
        found |= {r["tableName"] for r in spark.sql(f"SHOW TABLES IN lake.{namespace}").collect()}
    return found


@pytest.fixture(scope="module")
def waiting(spark, small, log, tmp_path_factory):
    from headway import project as projects

    file = tmp_path_factory.mktemp("compared") / "pipelines" / "counts.py"
    file.parent.mkdir()
    file.write_text(COUNTS)
    pipeline = next(projects._instances(projects._module(file), projects.Pipeline))
    before = tables(spark)
    found = compared(spark, pipeline, log, ["daily", "hourly", "continuous"])
    assert tables(spark) == before  # nothing stays
    return found


def test_every_mode_is_measured_and_the_rows_agree(waiting):
    assert [mode.name for mode in waiting.modes] == ["daily", "hourly", "continuous"]
    assert waiting.agrees
    assert {mode.rows for mode in waiting.modes} == {12}  # 6 windows end in the range, of 2 keys
    assert (waiting.records, waiting.late_share) == (36, round(1 / 36, 6))
    assert waiting.arrival_lag.p50 == 60


def test_freshness_is_the_windows_end_the_closing_and_what_was_measured(waiting):
    daily, hourly, stream = waiting.modes
    closing = 30 * 60 + 60 + 10
    assert waiting.closes_after_seconds == closing
    # Records arrive evenly; those of the first hour end with the window that ends with it.
    waits = {part.name: part.seconds for part in hourly.freshness.parts}
    assert waits["lateness"] == pytest.approx(closing, abs=60)
    assert waits["schedule"] == pytest.approx(3_600 - closing, abs=60)
    assert waits["start-up"] > 2
    assert daily.freshness.p50 > hourly.freshness.p50 > stream.freshness.p50 > closing
    assert {p.name for p in stream.freshness.parts if p.how == "measured"} == {"batch"}


def test_a_stream_holds_its_cores_all_day_and_a_run_while_it_lasts(waiting):
    hourly, stream = waiting.modes[1:]
    assert stream.held_core_seconds_per_day == 86_400 * waiting.machine.cores
    lasts = hourly.start_up_seconds + hourly.run_seconds
    assert hourly.held_core_seconds_per_day == pytest.approx(24 * lasts * waiting.machine.cores, rel=0.01)
    assert stream.dollars_per_day > hourly.dollars_per_day > 0
    assert all(
        mode.cpu_seconds > 0 and mode.bytes_written > 0 and mode.files_per_day > 0 for mode in waiting.modes
    )


def test_runs_are_counted_and_a_sample_of_them_is_measured(waiting):
    daily, hourly, stream = waiting.modes
    assert (hourly.runs, hourly.measured_runs) == (6, 3)
    assert daily.measured_runs == 1
    assert stream.batches > stream.measured_batches > 3


def test_rows_that_are_shown_early_wait_for_no_closing(spark, harness, define, log):
    found = compared(spark, define(COPY), log, ["hourly", "continuous"])
    assert found.agrees
    hourly, stream = found.modes
    assert {p.name for p in hourly.freshness.parts} == {"schedule", "start-up", "run"}
    assert hourly.freshness.p50 < 3_700
    assert stream.freshness.max < 30


def test_a_range_without_records_is_refused(spark, harness, define, log):
    with pytest.raises(CallError, match="no record of 'copy'"):
        compare(
            spark,
            {"s": log},
            Request(
                pipeline=define(COPY), modes=MODES, interval=Interval(START - 9 * HOUR, START - 8 * HOUR), zone="UTC",
                prices=Prices(), fresh=lambda *_: None, now=START,
            ),
        )  # fmt: skip


@pytest.mark.servers
def test_the_command_runs_one_in_a_process_of_its_own_and_leaves_a_page(project_copy, broker, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(project_copy, folder, ignore=shutil.ignore_patterns(".headway", "spark-warehouse"))
    for mode in ("continuous", "every_15_minutes"):
        (folder / "modes" / f"{mode}.py").unlink()
    for file in (folder / "pipelines").glob("*.py"):
        if file.stem != "first_seen":
            file.unlink()
    topic = f"flights_{time.time_ns()}"
    pipeline = folder / "pipelines" / "first_seen.py"
    pipeline.write_text(pipeline.read_text().replace('"flights",\n', f'"{topic}",\n'))
    local = folder / "conf" / "local.yaml"
    local.write_text(
        local.read_text().replace("bootstrap_servers: embedded", f"bootstrap_servers: {broker.servers}")
    )
    start = instant.parse("2013-02-01T15:00:00Z")
    replay.new_topics(broker.servers, [topic])
    replay.send(broker.servers, {topic: flights.flights(start, start + 2 * HOUR)}, seconds=0)
    span = ["--start", "2013-02-01T15:00:00Z", "--end", "2013-02-01T17:00:00Z"]
    done = subprocess.run(
        [sys.executable, "-m", "headway", "--project", str(folder), "--json", "compare", "first_seen", *span],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    kept = folder / ".headway" / "comparisons"
    assert json.loads((kept / "first_seen.json").read_text()) == printed
    assert "</html>" in (kept / "first_seen.html").read_text()
    hourly = printed["modes"][-1]
    assert hourly["start_up_seconds"] > 1
    assert hourly["peak_memory_bytes"] > 100_000_000
    assert hourly["agrees"] is True
