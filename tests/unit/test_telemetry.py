"""What runs tell of themselves: events, metrics, log lines, alerts. No Spark; servers are real ones on loopback."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headway import instant
from headway.accounts import Accounts
from headway.errors import FailedRuleError, UnavailableError
from headway.interval import Interval
from headway.ownership import Ownership, Segment
from headway.telemetry import textfile
from headway.telemetry.address import Address
from headway.telemetry.endpoint import served
from headway.telemetry.events import (
    Crossed,
    Ended,
    Failed,
    Followed,
    Published,
    Reached,
    Said,
    Standing,
    Started,
    UnitJudged,
    Worked,
)
from headway.telemetry.freshness import Freshness
from headway.telemetry.lines import Lines
from headway.telemetry.metrics import METRICS, Metrics
from headway.telemetry.progress import listening, worked
from headway.telemetry.telemetry import Telemetry
from headway.telemetry.webhook import Webhook

DAY = instant.parse("2013-02-01")
MINUTE = 60 * instant.SECOND
HOUR = 60 * MINUTE
UNIT = Interval(DAY, DAY + HOUR)
ACCOUNTS = Accounts(read=10, admitted=6, late=2, early=1, dead=1, quarantined=3, published=5)
EVERYTHING = (
    Started("p", "hourly"),
    Reached({"s": DAY + HOUR, "replayed to its end": instant.END}),
    Standing(DAY, 2),
    Published(accounts=ACCOUNTS, rejected=4, span=UNIT, snapshot=7),
    Worked(seconds=2.0, batch=3, state_rows=9, state_bytes=1024),
    UnitJudged(subject="p", suite="q", unit=UNIT, failed=("a",), is_fatal=False),
    Followed("copies", 1),
    Crossed(pipeline="p", is_exceeded=True, is_first=True, closed_through=DAY, age=2 * HOUR, threshold=HOUR),
    Ended(seconds=3.5),
)


def told(*events, mode="hourly", clock=lambda: 1_000.0):
    metrics = Metrics("p", mode, clock=clock)
    for event in events:
        metrics.take(event)
    return metrics


def values(text):
    """Return the samples of an exposition by name and labels other than those of all."""
    return {
        (s.name, *(v for k, v in sorted(s.labels.items()) if k not in ("pipeline", "mode"))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def exposed(metrics):
    return values(prometheus_client.generate_latest(metrics).decode())


# Metrics


def test_a_run_is_counted_in_every_metric():
    found = exposed(told(*EVERYTHING))
    expected = {
        ("headway_frontier_timestamp_seconds", "s"): (DAY + HOUR) / instant.SECOND,
        ("headway_closed_through_timestamp_seconds",): DAY / instant.SECOND,
        ("headway_freshness_exceeded",): 1,
        ("headway_corrections_queued",): 2,
        ("headway_sink_lag_commits", "copies"): 1,
        ("headway_records_total", "admitted"): 6,
        ("headway_records_total", "late"): 2,
        ("headway_records_total", "early"): 1,
        ("headway_records_total", "dead"): 1,
        ("headway_records_total", "tombstones"): 0,
        ("headway_quarantined_records_total",): 3,
        ("headway_published_rows_total",): 5,
        ("headway_rejected_rows_total",): 4,
        ("headway_units_judged_total", "p", "failed"): 1,
        ("headway_batch_seconds_count",): 1,
        ("headway_batch_seconds_sum",): 2,
        ("headway_state_rows",): 9,
        ("headway_state_bytes",): 1024,
        ("headway_runs_total", "done"): 1,
        ("headway_run_seconds",): 3.5,
        ("headway_last_success_timestamp_seconds",): 1_000,
    }
    others = {("headway_runs_total", o): 0 for o in ("failed", "wrong", "again", "interrupted")}
    found = {k: v for k, v in found.items() if k[0] != "headway_batch_seconds_bucket"}
    assert found == expected | others


def test_no_metric_is_without_a_run_that_could_tell_it():
    names = {name.removesuffix("_count") for name, *_ in exposed(told(*EVERYTHING))}
    assert {d.name for d in METRICS} <= names


def test_every_series_says_of_which_pipeline_and_mode_it_is():
    text = prometheus_client.generate_latest(told(*EVERYTHING)).decode()
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    assert all((s.labels["pipeline"], s.labels["mode"]) == ("p", "hourly") for s in samples)
    assert "_created" not in text


def test_metrics_of_a_run_are_its_own_and_not_the_process_s():
    first, second = told(*EVERYTHING), told()
    assert exposed(first)["headway_published_rows_total",] == 5
    assert exposed(second)["headway_published_rows_total",] == 0
    assert b"headway" not in prometheus_client.generate_latest()


def test_what_is_not_known_is_absent_rather_than_zero():
    found = exposed(told(Standing(None, 0), Worked(seconds=1.0), Ended(seconds=1.0, error=ValueError("x"))))
    names = {name for name, *_ in found}
    assert "headway_closed_through_timestamp_seconds" not in names
    assert "headway_state_rows" not in names
    assert "headway_last_success_timestamp_seconds" not in names


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (FailedRuleError("a rule"), "failed"),
        (UnavailableError("away"), "again"),
        (RuntimeError("a fault"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_run_is_counted_by_how_it_ended(error, outcome):
    assert exposed(told(Ended(seconds=1.0, error=error)))["headway_runs_total", outcome] == 1


def test_the_map_says_what_is_closed_and_how_many_corrections_wait():
    ownership = Ownership(
        segments=(Segment(UNIT, "hourly", "bounded", 1, "x"),),
        pending=(UNIT, Interval(DAY + 2 * HOUR, DAY + 3 * HOUR)),
    )
    assert Standing.of(ownership) == Standing(DAY + HOUR, 2)
    assert Standing.of(Ownership()) == Standing(None, 0)


def test_a_progress_of_spark_s_gives_time_and_state():
    state = {"numRowsTotal": 3, "memoryUsedBytes": 100, "customMetrics": {"rocksdbSstFileSize": 20}}
    progress = {"batchId": 4, "durationMs": {"triggerExecution": 1_500}, "stateOperators": [state, state]}
    assert worked(progress) == Worked(seconds=1.5, batch=4, state_rows=6, state_bytes=240)
    assert worked({**progress, "stateOperators": []}) == Worked(seconds=1.5, batch=4)


class Gone:
    """A session whose JVM has gone."""

    def __getattr__(self, name):
        raise ConnectionError("the JVM has gone")


def test_a_query_that_cannot_be_listened_to_runs_all_the_same():
    out = io.StringIO()
    telemetry = Telemetry([Lines(out, run="ab12")], is_measured=True)
    with listening(Gone(), SimpleNamespace(runId="q"), telemetry):
        telemetry.say("it runs")
    said = [line.split(" ", 2)[2] for line in out.getvalue().splitlines()]
    assert said == [
        "warning: the listener of the query does not take what happens: ConnectionError: the JVM has gone",
        "it runs",
    ]


# The textfile


def test_counters_of_a_textfile_go_on_from_run_to_run_and_gauges_are_the_last_run_s(tmp_path):
    textfile.write(tmp_path, "p", told(*EVERYTHING, clock=lambda: 1.0))
    failed = Ended(seconds=9.0, error=FailedRuleError("a rule"))
    file = textfile.write(tmp_path, "p", told(Published(accounts=ACCOUNTS), Worked(seconds=40.0), failed))
    found = values(file.read_text())
    assert found["headway_records_total", "admitted"] == 12
    assert found["headway_runs_total", "done"] == found["headway_runs_total", "failed"] == 1
    assert found["headway_batch_seconds_count",] == 2
    assert found["headway_batch_seconds_sum",] == 42
    assert found["headway_batch_seconds_bucket", "5.0"] == 1
    assert found["headway_batch_seconds_bucket", "+Inf"] == 2
    assert found["headway_run_seconds",] == 9
    assert found["headway_last_success_timestamp_seconds",] == 1
    assert file.name == "p.prom"
    assert [f.suffix for f in tmp_path.iterdir() if not f.name.startswith(".")] == [".prom"]


def test_runs_beside_each_other_lose_no_count_of_a_textfile(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: textfile.write(tmp_path, "p", told(Ended(seconds=1.0))), range(40)))
    assert values((tmp_path / "p.prom").read_text())["headway_runs_total", "done"] == 40


# HTTP


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_scrape_gets_what_has_been_told_until_now():
    metrics = told(Published(accounts=ACCOUNTS))
    with served(metrics, Address("127.0.0.1", range(1))) as url:
        assert values(scrape(url))["headway_published_rows_total",] == 5
        metrics.take(Published(accounts=ACCOUNTS))
        assert values(scrape(url))["headway_published_rows_total",] == 10
    with pytest.raises(OSError, match="refused"):
        scrape(url)


def test_a_second_run_takes_the_next_port_and_a_third_has_none():
    first = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        with (
            pytest.raises(OSError, match="in use"),
            served(told(), Address("127.0.0.1", range(first, first + 1))),
        ):
            pass
        with served(told(), Address("127.0.0.1", range(first, first + 20))) as url:
            assert int(url.split(":")[2].split("/")[0]) > first


# Log lines


def lines(*events, **how):
    out = io.StringIO()
    known = Lines(out, run="ab12", pipeline="p", mode="hourly", clock=lambda: 0.0015, **how)
    for event in events:
        known.take(event)
    return out.getvalue().splitlines()


def test_each_line_of_json_is_an_object_with_the_run_its_event_and_fields():
    error = UnavailableError("the broker is away", hint="Start it.")
    found = [
        json.loads(line)
        for line in lines(*EVERYTHING, Said("hello"), Failed(error), format="json", level="debug")
    ]
    assert len(found) == len(EVERYTHING) + 2
    assert {(f["run"], f["pipeline"], f["mode"], f["time"]) for f in found} == {
        ("ab12", "p", "hourly", "1970-01-01T00:00:00.001000Z")
    }
    by_name = {f["event"]: f for f in found}
    assert by_name["published"]["rows"]["published"] == 5
    assert by_name["published"]["start"] == "2013-02-01T00:00:00Z"
    assert by_name["unit_judged"]["rules"] == ["a"]
    assert by_name["frontiers"]["frontiers"]["s"] == "2013-02-01T01:00:00Z"
    assert by_name["said"]["message"] == "hello"
    assert by_name["run_ended"]["outcome"] == "done"
    assert by_name["error"]["exit_status"] == 3
    assert by_name["error"]["message"] == "the broker is away\nHint: Start it."


def test_text_has_the_run_in_every_line_and_leaves_out_what_only_programs_want():
    found = lines(*EVERYTHING, Said("hello"))
    assert all(line.startswith("1970-01-01T00:00:00Z ab12 ") for line in found)
    assert [line.split(" ", 2)[2] for line in found] == [
        "p: a run in mode hourly begins",
        "published 2013-02-01T00:00:00Z/2013-02-01T01:00:00Z: 5 rows of 10 new records",
        "warning: p, 2013-02-01T00:00:00Z/2013-02-01T01:00:00Z: failed (a)",
        "warning: p is older than the 1 hour of alerts.freshness: published through 2013-02-01T00:00:00Z, 2 hours ago",
        "done after 3.5 s",
        "hello",
    ]


def test_the_level_says_what_is_written():
    assert [json.loads(line)["event"] for line in lines(*EVERYTHING, level="warning", format="json")] == [
        "unit_judged",
        "freshness",
    ]
    assert lines(Ended(seconds=1.0, error=ValueError("x"))) == []  # the command itself says it


# Telemetry


class Deaf:
    def take(self, event):
        raise RuntimeError("no ears")


def test_a_listener_that_raises_never_reaches_the_run_and_is_told_of_once():
    out = io.StringIO()
    telemetry = Telemetry([Deaf(), Lines(out, run="ab12")])
    telemetry.say("one")
    telemetry.say("two")
    said = [line.split(" ", 2)[2] for line in out.getvalue().splitlines()]
    assert said == ["warning: Deaf does not take what happens: RuntimeError: no ears", "one", "two"]


def test_a_stderr_that_is_gone_never_reaches_the_run():
    out = io.StringIO()
    out.close()
    Telemetry([Lines(out, run="ab12")]).say("one")


# Freshness


class Moving:
    def __init__(self):
        self.now = DAY

    def __call__(self):
        return self.now / instant.SECOND


def crossings(*, ends):
    clock, found = Moving(), []
    return clock, found, Freshness("p", HOUR, found.append, ends=ends, clock=clock)


def test_a_stream_says_once_that_it_is_too_old_and_once_that_it_is_fresh_again():
    clock, found, freshness = crossings(ends=False)
    freshness.take(Standing(DAY, 0))
    for _ in range(4):
        clock.now += 30 * MINUTE
        freshness.look()
    freshness.take(Standing(DAY + 10 * MINUTE, 0))
    freshness.take(Standing(DAY + 90 * MINUTE, 0))
    assert [(c.is_exceeded, c.is_first, c.age // MINUTE) for c in found] == [
        (False, True, 0),
        (True, False, 90),
        (False, False, 30),
    ]
    assert [c.level for c in found] == ["debug", "warning", "info"]


def test_a_bounded_run_is_judged_by_what_it_leaves_behind():
    clock, found, freshness = crossings(ends=True)
    clock.now += 5 * HOUR
    freshness.take(Standing(DAY, 0))
    freshness.take(Standing(DAY + 5 * HOUR - MINUTE, 0))
    assert found == []
    freshness.take(Ended(seconds=1.0))
    assert [c.is_exceeded for c in found] == [False]


def test_nothing_published_yet_is_no_age():
    _, found, freshness = crossings(ends=False)
    freshness.take(Standing(None, 0))
    freshness.look()
    assert found == []


def test_time_that_passes_is_noticed_while_a_stream_does_nothing():
    clock, found, freshness = crossings(ends=False)
    noticed = threading.Event()
    freshness._tell = lambda crossed: (found.append(crossed), crossed.is_exceeded and noticed.set())
    freshness.take(Standing(DAY, 0))
    with freshness.watched(every=0.01):
        clock.now += 2 * HOUR
        assert noticed.wait(10)


# The webhook

SECRET = "t0ken-0f-mine"


@contextmanager
def web(status):
    class Web(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.taken.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        server.taken = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def crossed(*, is_exceeded, is_first=False):
    return Crossed(
        pipeline="p",
        is_exceeded=is_exceeded,
        is_first=is_first,
        closed_through=DAY,
        age=2 * HOUR,
        threshold=HOUR,
    )


def post(url, *events, patience=10.0):
    said = []
    webhook = Webhook(url, run="ab12", pipeline="p", mode="continuous", say=said.append, patience=patience)
    for event in events:
        webhook.take(event)
    webhook.close()
    return said


def test_crossings_are_posted_as_json_whose_text_chat_programs_show():
    with web(200) as server:
        url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
        first = crossed(is_exceeded=False, is_first=True)
        assert post(url, Said("hello"), first, crossed(is_exceeded=True)) == []
    [(path, kind, body)] = server.taken
    assert (path, kind) == (f"/{SECRET}", "application/json")
    assert body == {
        "text": "p is older than the 1 hour of alerts.freshness: published through 2013-02-01T00:00:00Z, 2 hours ago",
        "event": "freshness",
        "run": "ab12",
        "pipeline": "p",
        "mode": "continuous",
        "exceeded": True,
        "closed_through": "2013-02-01T00:00:00Z",
        "age_seconds": 7200,
        "threshold_seconds": 3600,
    }


def test_a_webhook_that_refuses_or_is_away_is_told_without_its_url():
    with web(503) as server:
        refused = post(f"http://127.0.0.1:{server.server_port}/{SECRET}", crossed(is_exceeded=True))
    away = post(f"http://127.0.0.1:{free_port()}/{SECRET}", crossed(is_exceeded=True))
    assert refused == ["the webhook of alerts has refused an alert: status 503"]
    assert away == ["the webhook of alerts was not reached: ConnectionRefusedError"]


def test_a_webhook_that_does_not_answer_holds_nothing_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        said = post(f"http://127.0.0.1:{silent.getsockname()[1]}/", crossed(is_exceeded=True), patience=0.2)
        assert time.monotonic() - began < 5
    assert said == ["the webhook of alerts was not reached: TimeoutError"]
