"""Each shipped pipeline, written once and run in every mode: rows worked out by hand."""

from __future__ import annotations

import pytest
from chispa import assert_df_equality

from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow
SECOND_OF_FEBRUARY = "2013-02-02T"


def flight(time, **facts):
    return {
        "carrier": "AA",
        "flight": 1,
        "tailnum": "N1",
        "origin": "JFK",
        "dest": "LAX",
        "scheduled_at": f"2013-02-01T{time}:00Z",
        "cancelled": False,
        "dep_delay": 0,
        "distance": 2475,
        **facts,
    }


@pytest.fixture
def flights():
    """Two partitions in use, one idle: on time, delayed, cancelled, sent twice, late, early, broken."""
    log = MemoryLog("flights", partitions=3, lagging=(1,))
    log.append(flight("08:10"), arrival="2013-02-01T08:10:00Z")
    log.append(flight("08:20", flight=2, dep_delay=20), arrival="2013-02-01T08:40:00Z")
    log.append(flight("08:20", flight=2, dep_delay=20), arrival="2013-02-01T08:50:00Z")
    log.append(
        flight("08:40", flight=3, carrier="ZZ", dest="XXX", tailnum="N2"),
        arrival="2013-02-01T08:30:00Z",
        partition=1,
    )
    log.append(
        flight("08:50", flight=4, cancelled=True, dep_delay=None), arrival="2013-02-01T08:50:00Z", partition=1
    )
    log.append(b'{"flight": 5, "scheduled_at"', arrival="2013-02-01T09:00:00Z")
    log.append({"flight": 6}, arrival="2013-02-01T09:00:00Z")
    log.append(None, arrival="2013-02-01T09:00:00Z", key=b"N1")
    log.append(flight("15:00", flight=7), arrival="2013-02-01T12:00:00Z")  # three hours ahead of its arrival
    log.append(flight("10:05", flight=9), arrival="2013-02-01T14:00:00Z")  # 3 h 55 min after its event time
    log.append(flight("08:30", flight=8), arrival="2013-02-01T20:00:00Z")  # 11.5 hours after its event time
    yield log
    log.close()


def test_departures_adds_names_and_keeps_what_has_none(harness, project, spark, mode, flights):
    rows = harness.run(project.pipelines["departures"], {"flights": flights}, mode, max_records_per_batch=3)
    expected = [("08:10", 1, "American", "Los Angeles"), ("08:20", 2, "American", "Los Angeles")] * 1
    expected += [("08:20", 2, "American", "Los Angeles"), ("08:40", 3, None, None)]
    expected += [("08:50", 4, "American", "Los Angeles"), ("10:05", 9, "American", "Los Angeles")]
    wanted = spark.createDataFrame(expected, "at string, flight int, airline string, destination string")
    found = rows.selectExpr("date_format(scheduled_at, 'HH:mm') AS at", "flight", "airline", "destination")
    assert_df_equality(found, wanted, ignore_row_order=True, ignore_nullable=True)


def test_punctuality_counts_a_flight_once(harness, project, spark, mode, flights):
    rows = harness.run(project.pipelines["punctuality"], {"flights": flights}, mode, max_records_per_batch=3)
    found = rows.selectExpr(
        "carrier",
        "hour(window.start) AS hour",
        "departures",
        "cancellations",
        "CAST(mean_delay AS double) AS mean_delay",
        "p95_delay",
    )
    wanted = spark.createDataFrame(
        [("AA", 8, 2, 1, 10.0, 19.0), ("ZZ", 8, 1, 0, 0.0, 0.0), ("AA", 10, 1, 0, 0.0, 0.0)],
        "carrier string, hour int, departures long, cancellations long, mean_delay double, p95_delay double",
    )
    assert_df_equality(found, wanted, ignore_row_order=True, ignore_nullable=True)


def test_congestion_admits_a_late_flight_by_a_correction(harness, project, mode, flights):
    """Too late for its window's first publication, and within too_late: all modes settle on the same count."""
    rows = harness.run(project.pipelines["congestion"], {"flights": flights}, mode, max_records_per_batch=3)
    found = {r["window"]["start"].strftime("%H:%M"): r["flights"] for r in rows.collect()}
    assert found["08:00"] == 5  # 1, 2, 3, 4 and the late 8
    assert found["08:30"] == 3  # 3, 4 and 8
    assert found["09:15"] == found["10:00"] == 1  # 9, itself almost four hours late
    assert "11:00" not in found


def test_each_flight_has_the_weather_of_the_hour_before(harness, project, mode, flights):
    weather = MemoryLog("weather", partitions=2)
    for hour, temp in ((7, 1.0), (8, 2.0)):
        value = {"origin": "JFK", "observed_at": f"2013-02-01T{hour:02}:30:00Z", "temp": temp}
        weather.append(value, arrival=f"2013-02-01T{hour + 1:02}:00:00Z", partition=1)
    logs = {"flights": flights, "weather": weather}
    rows = harness.run(
        project.pipelines["flights_with_weather"], logs, mode, max_records_per_batch=3
    ).collect()
    weather.close()
    assert sorted((r["flight"], r["temp"]) for r in rows if r["temp"] is not None) == [
        (1, 1.0), (2, 1.0), (2, 1.0), (3, 2.0), (4, 2.0),
    ]  # fmt: skip
    assert [r["flight"] for r in rows if r["temp"] is None] == [9]


def test_aircraft_days_are_cut_alike_in_every_mode(harness, project, mode):
    log = MemoryLog("flights", partitions=2)
    for day, hour in ((1, 4), (1, 9), (1, 14), (1, 19), (2, 0), (2, 5), (2, 18)):
        at = f"2013-02-0{day}T{hour:02}:00:00Z"
        log.append(flight("00:00") | {"scheduled_at": at}, arrival=at, partition=hour % 2)
    rows = harness.run(
        project.pipelines["aircraft_days"], {"flights": log}, mode, max_records_per_batch=2
    ).collect()
    log.close()
    found = sorted(
        (r["session"]["start"].strftime("%d %H"), r["session"]["end"].strftime("%d %H"), r["legs"])
        for r in rows
    )
    assert found == [("01 04", "02 01", 4), ("02 00", "02 11", 2), ("02 18", "03 00", 1)]


def test_sessions_are_merged_before_their_interval_is_cut_out(harness, project):
    """Spark would push the interval's condition below the merging of sessions, hour by hour."""
    log = MemoryLog("flights")
    # The last but one lies exactly six hours after the one before, at the start of an hour, and still belongs to it.
    for at in ("2013-02-01T06:00:00Z", "2013-02-01T12:00:00Z", "2013-02-01T17:10:00Z"):
        log.append(flight("00:00") | {"scheduled_at": at}, arrival=at)
    placed = harness.place(project.pipelines["aircraft_days"])
    harness.run_again(placed, {"flights": log}, MODES["hourly"], complete=True, records_per_job=1)
    log.close()
    assert [
        (r["legs"], r["session"]["end"].strftime("%d %H:%M")) for r in harness.table(placed).collect()
    ] == [(3, "01 23:10")]


def test_first_seen_keeps_one_of_each(harness, project, mode, flights):
    rows = harness.run(project.pipelines["first_seen"], {"flights": flights}, mode, max_records_per_batch=1)
    assert sorted(r["flight"] for r in rows.collect()) == [1, 2, 3, 4, 9]
