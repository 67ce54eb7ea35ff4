"""From sent to visible: what is waited for by the schedule, and what runs."""

import math

import pytest

from headway import instant
from headway.freshness import Closing, Freshness, Rounds, Schedule, Sent, Stream
from headway.interval import Grid
from headway.pace import Pace

HOUR = 3_600 * instant.SECOND
START = instant.parse("2013-02-01T00:00:00Z")
HOURLY = Closing(grid=Grid(HOUR), after=6 * HOUR)


def seconds(found):
    return {part.name: part.seconds for part in found.parts}


def test_a_scheduled_run_waits_for_the_end_the_late_records_and_the_next_moment():
    sent = Sent(arrival=START + HOUR // 2, output=START + HOUR // 2)
    moments = [START + n * HOUR + HOUR // 12 for n in range(24)]
    found = Schedule(moments=moments, closing=HOURLY, start_up=8.0, run=2.0).freshness([sent])
    assert seconds(found) == {
        "interval": 1800,
        "lateness": 6 * 3600,
        "schedule": 300,
        "start-up": 8.0,
        "run": 2.0,
    }
    assert found.p50 == found.max == 1800 + 6 * 3600 + 300 + 10


def test_what_runs_is_measured_and_what_waits_is_of_the_schedule():
    found = Schedule(moments=[START + HOUR], closing=None, start_up=1, run=1).freshness([Sent(START, START)])
    assert {p.name for p in found.parts if p.how == "measured"} == {"start-up", "run"}


def test_a_run_that_shows_open_rows_waits_for_the_next_moment_only():
    found = Schedule(moments=[START + HOUR], closing=None, start_up=1, run=1).freshness([Sent(START, START)])
    assert found.p50 == 3_602


def test_a_record_that_arrives_after_the_closing_waits_for_no_closing():
    late = Sent(arrival=START + 9 * HOUR, output=START)
    found = Schedule(moments=[START + 9 * HOUR], closing=HOURLY, start_up=0, run=5).freshness([late])
    assert found.p50 == 5


def test_a_record_whose_run_lies_beyond_the_schedule_does_not_count():
    assert (
        Schedule(moments=[START], closing=HOURLY, start_up=1, run=1).freshness([Sent(START, START)]).max == 0
    )


def test_a_stream_shows_a_row_after_the_batch_before_and_its_own():
    pace = Pace(fixed=0.5, per_record=0.0)
    busy = Stream(pace=pace, rates={START: 1000.0}, closing=None).freshness([Sent(START, START)] * 1000)
    assert 0.5 <= busy.p50 < busy.p95 < busy.max <= 1.0
    assert busy.mean == pytest.approx(0.75, abs=0.01)
    quiet = Stream(pace=pace, rates={START: 0.0001}, closing=None).freshness([Sent(START, START)] * 1000)
    assert quiet.p95 == 0.5


def test_a_stream_whose_rows_wait_shows_them_with_the_second_batch_after_the_closing():
    pace = Pace(fixed=0.5, per_record=0.0, step=60.0)
    stream = Stream(pace=pace, rates={}, closing=Closing(grid=None, after=6 * HOUR), tick=1.0)
    found = stream.freshness([Sent(arrival=START, output=START + HOUR - 1)])
    assert seconds(found) == {"interval": 3600, "lateness": 21_600, "schedule": 0.5, "batch": 1.0}


def test_a_trigger_is_waited_for_as_the_schedule_has_it():
    pace = Pace(fixed=0.5, per_record=0.0, trigger=10.0)
    found = Stream(pace=pace, rates={START: 5.0}, closing=None).freshness([Sent(START, START)] * 1000)
    assert seconds(found)["schedule"] == pytest.approx(5, abs=0.1)
    assert "queue" not in seconds(found)


def test_rounds_wait_half_a_round_on_average():
    found = Rounds(every=60.0, run=3.0, closing=None).freshness([Sent(START, START)] * 1000)
    assert found.mean == pytest.approx(33, abs=0.2)


def test_the_parts_add_up_to_the_mean_and_survive_json():
    found = Freshness.of([(1.0, 2.0), (5.0, 2.0)], [("schedule", "schedule"), ("run", "measured")])
    assert sum(part.seconds for part in found.parts) == found.mean == 5
    assert Freshness.from_json(found.to_json()) == found


def test_batches_come_one_after_the_other_under_load_and_one_a_record_when_it_is_quiet():
    pace = Pace(fixed=0.5, per_record=0.0)
    assert pace.batches([3_600_000]) == pytest.approx(7_200)
    assert pace.batches([10]) == pytest.approx(10, rel=0.01)
    assert pace.batches([0]) == 0


def test_a_frontier_makes_batches_of_its_own_while_nothing_comes():
    # One that learns of each move, and one that closes.
    assert Pace(fixed=0.5, per_record=0.0, step=59.5).batches([0]) == pytest.approx(60 + 60, rel=0.01)
    assert Pace(fixed=0.5, per_record=0.0, trigger=10.0, step=60.0).batches([0]) == pytest.approx(
        60 + 60, rel=0.01
    )
    assert Pace(fixed=0.5, per_record=0.0, step=59.5).busy_seconds([0]) == pytest.approx(60, rel=0.01)


def test_under_load_no_batch_is_without_records():
    assert Pace(fixed=0.5, per_record=0.0, step=60.0).batches([3_600_000]) == pytest.approx(7_200)


def test_a_trigger_bounds_the_batches():
    assert Pace(fixed=0.5, per_record=0.0, trigger=10.0).batches([36_000]) == pytest.approx(360, rel=0.01)


def test_a_batch_grows_with_what_has_come_until_the_stream_does_not_keep_up():
    pace = Pace(fixed=0.5, per_record=0.001)
    beat = pace.at(500.0)
    assert beat.seconds == pytest.approx(1.0, rel=0.01)  # 0.5 s and half of its own length
    assert beat.keeps_up
    assert not pace.at(2_000.0).keeps_up
    assert math.isfinite(pace.at(2_000.0).seconds)
