"""Runs on real Spark tell what happens in them: a stream over HTTP, a bounded run in a textfile."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headway import instant
from headway.cli.context import Context
from headway.cli.telling import told
from headway.errors import FailedRuleError
from headway.run import continuous
from headway.telemetry import spark_log
from headway.telemetry.progress import listening
from headway.telemetry.telemetry import Telemetry
from headway.testing import MODES, Clock, Harness, MemoryLog

pytestmark = pytest.mark.slow

WINDOWS = """
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                              disorder="0 seconds", clock="log")},
    output_time="window",
    emit="final",
    outputs=[sinks.Iceberg("lake.n.t", keys=["k", "window"])],
    quality="output",
)
def counts(s):
    return s.groupBy("k", F.window("at", "1 hour")).agg(F.count("*").alias("n"))
"""
RARE = (
    "expect_column_values_to_be_between",
    {"column": "n", "max_value": 1},
    {"rule": "rare", "on_fail": "warn"},
)
FATAL = (
    "expect_column_values_to_be_between",
    {"column": "n", "max_value": 1},
    {"rule": "rare", "on_fail": "fail"},
)


@pytest.fixture
def log():
    made = MemoryLog("s", clock=Clock("2013-02-01T06:00:00Z"))
    yield made
    made.close()


def put(log, *times):
    for time in times:
        at = f"2013-02-01T{time}:00Z"
        log.append({"k": "a", "at": at}, arrival=at)


def context(project_copy, folder, conf):
    shutil.copytree(project_copy, folder, ignore=shutil.ignore_patterns(".headway", "spark-warehouse"))
    (folder / "conf" / "local.yaml").write_text(conf)
    return Context(folder, "local", as_json=False, verbose=False)


def values(text):
    return {
        (s.name, *(v for k, v in sorted(s.labels.items()) if k not in ("pipeline", "mode"))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_a_stream_answers_scrapes_with_what_its_commits_and_spark_say(
    spark, define, suite, log, project_copy, tmp_path, await_, capsys
):
    conf = (
        'metrics: {listen: "127.0.0.1:0"}\nlogs: {format: json, level: debug}\nalerts: {freshness: 1 hour}\n'
    )
    run = context(project_copy, tmp_path / "project", conf)
    suite("output", RARE, per="1 hour")
    mode, stop = MODES["continuous"], threading.Event()
    put(log, "01:10", "01:20", "02:10", "05:30")
    log.append(b"no json", arrival="2013-02-01T05:31:00Z")

    def stream():
        with told(run, placed, mode, ends=False) as telemetry:
            harness = Harness(spark, telemetry=telemetry)
            with harness.job(placed, {"s": log}, mode) as job:
                grid = MODES["hourly"].grid("UTC")
                return continuous.run(job, continuous.Request(mode=mode, grid=grid), stop)

    said = []

    def heard():
        said.extend(json.loads(line) for line in capsys.readouterr().err.splitlines())
        return [e["message"].split()[-1] for e in said if e.get("message", "").startswith("metrics are at")]

    def scraped():
        if not heard():
            return {}
        with urllib.request.urlopen(heard()[0], timeout=10) as answer:
            return values(answer.read().decode())

    placed = Harness(spark).place(define(WINDOWS))
    closed = instant.parse("2013-02-01T04:30:00Z") / instant.SECOND
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream)
        try:
            await_(
                lambda: (
                    scraped().get(("headway_closed_through_timestamp_seconds",)) == closed
                    and scraped().get(("headway_state_bytes",), 0) > 0
                    and ("headway_units_judged_total", placed.name, "failed") in scraped()
                ),
                running,
            )
            found = scraped()
        finally:
            stop.set()
        report = running.result()
    assert found["headway_frontier_timestamp_seconds", "s"] == closed
    counted = {fate: found["headway_records_total", fate] for fate in ("admitted", "late", "early", "dead")}
    assert counted == {"admitted": 4, "late": 0, "early": 0, "dead": 1}
    assert found["headway_quarantined_records_total",] == 1
    assert found["headway_published_rows_total",] == report.accounts.published == 2
    assert found["headway_units_judged_total", placed.name, "failed"] == 1
    assert found["headway_corrections_queued",] == 0
    assert found["headway_batch_seconds_count",] >= 2
    assert found["headway_batch_seconds_sum",] > 0
    assert found["headway_freshness_exceeded",] == 1
    assert {(e["run"], e["pipeline"], e["mode"]) for e in said} == {(run.run, placed.name, "continuous")}
    assert {"run_started", "frontiers", "standing", "published", "worked", "unit_judged", "freshness"} <= {
        e["event"] for e in said
    }


def test_a_bounded_run_leaves_its_metrics_in_a_textfile_and_the_next_one_goes_on(
    spark, define, suite, log, project_copy, tmp_path
):
    run = context(project_copy, tmp_path / "project", "metrics: {textfile: metrics}\n")
    suite("output", FATAL, per="1 hour", gate="mark")
    placed = Harness(spark).place(define(WINDOWS))

    def hourly():
        with told(run, placed, MODES["hourly"], ends=True) as telemetry:
            harness = Harness(spark, telemetry=telemetry)
            return harness.run_again(placed, {"s": log}, MODES["hourly"])

    put(log, "01:10", "02:10", "04:30")
    hourly()
    put(log, "04:40", "07:30")
    with pytest.raises(FailedRuleError):
        hourly()
    found = values((tmp_path / "project" / "metrics" / f"headway_{placed.name}_hourly.prom").read_text())
    assert found["headway_runs_total", "done"] == found["headway_runs_total", "failed"] == 1
    assert found["headway_records_total", "admitted"] == 5
    assert found["headway_published_rows_total",] == 3
    assert found["headway_units_judged_total", placed.name, "fatal"] == 1
    assert found["headway_batch_seconds_count",] == 2
    closed = instant.parse("2013-02-01T06:00:00Z") / instant.SECOND
    assert found["headway_closed_through_timestamp_seconds",] == closed


def test_an_error_in_the_listener_of_a_query_is_told_and_the_query_goes_on(spark, tmp_path):
    said = []

    class Ears:
        def take(self, event):
            said.append(event)
            if event.name == "worked":
                raise RuntimeError("no ears")

    telemetry = Telemetry([Ears(), Ears()], is_measured=True)
    heard = threading.Event()
    rows = spark.readStream.format("rate").option("rowsPerSecond", 10).load()
    writer = rows.writeStream.format("noop").option("checkpointLocation", str(tmp_path / "c"))
    query = writer.trigger(processingTime="0 seconds").start()
    try:
        telemetry.add(type("End", (), {"take": lambda _, e: e.name == "worked" and heard.set()})())
        with listening(spark, query, telemetry):
            assert heard.wait(60)
            heard.clear()
            assert heard.wait(60)
        assert query.isActive
    finally:
        query.stop()
    assert [e.name for e in said].count("listener_failed") == 4  # two are told by two, once each


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_line_of_spark_s_log_is_whole_and_as_json_an_object_with_the_run(spark, style):
    jvm = spark._jvm
    option = next(o for o in spark_log.options(level="error", format=style, is_verbose=False) if "File=" in o)
    core = jvm.org.apache.logging.log4j.core
    made = core.config.properties.PropertiesConfigurationFactory().getConfiguration(
        core.LoggerContext("lines"), "lines", jvm.java.io.File(option.split("=")[1]).toURI()
    )
    made.initialize()
    layout = made.getAppender("err").getLayout()
    said = 'a "quoted" line\nand another'
    event = core.impl.Log4jLogEvent.newBuilder().setLoggerName("a.b.Mine")
    event = event.setLevel(jvm.org.apache.logging.log4j.Level.WARN)
    event = event.setMessage(jvm.org.apache.logging.log4j.message.SimpleMessage(said))
    calm = layout.toSerializable(event.build())
    failed = layout.toSerializable(event.setThrown(jvm.java.lang.IllegalStateException("oh")).build())
    assert calm.endswith("\n")
    assert failed.endswith("\n")
    if style == "text":
        assert calm[9:] == f"WARN Mine: {said}\n"
        assert failed[9:].startswith(f"WARN Mine: {said} java.lang.IllegalStateException: oh\n")
        return
    before = jvm.java.lang.System.getProperty(spark_log.RUN)
    jvm.java.lang.System.setProperty(spark_log.RUN, "ab12")
    try:
        found = json.loads(layout.toSerializable(event.build()))
    finally:
        jvm.java.lang.System.setProperty(spark_log.RUN, before or "")
    assert (found["run"], found["level"], found["event"]) == ("ab12", "warning", "spark")
    assert (found["logger"], found["message"]) == ("a.b.Mine", said)
    assert "java.lang.IllegalStateException: oh" in found["stack"]
    assert json.loads(calm)["stack"] == ""
