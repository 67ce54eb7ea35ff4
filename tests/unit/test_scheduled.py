"""Which runs of a schedule are measured, and what their means are."""

from itertools import pairwise

import pytest

from headway import instant
from headway.interval import Interval
from headway.mode import Mode
from headway.run.scheduled import Spent, moments, publishing, runs_a_day, spread, summed
from headway.run.usage import Usage

HOUR = 3_600 * instant.SECOND
NEW_YORK = "America/New_York"
SPAN = Interval(instant.parse("2013-02-01T05:00:00Z"), instant.parse("2013-02-04T05:00:00Z"))


def spent(seconds, cpu, memory=100, **other):
    used = Usage(cpu_seconds=cpu, bytes_read=10, bytes_written=20, peak_memory_bytes=memory)
    return Spent(seconds=seconds, usage=used, **other)


def test_what_a_process_of_its_own_takes_longer_is_the_start_up():
    found = summed([spent(2.0, 3.0), spent(4.0, 5.0)], spent(10.0, 12.0, memory=900))
    assert (found.run_seconds, found.start_up_seconds) == (3.0, 7.0)
    assert found.cpu_seconds == 12.0  # four of the run, and eight of the start
    assert found.peak_memory_bytes == 900
    assert found.measured_runs == 3


def test_a_single_run_is_all_of_it():
    found = summed([], spent(10.0, 12.0, files=2, objects=5))
    assert (found.run_seconds, found.start_up_seconds, found.cpu_seconds) == (10.0, 0.0, 12.0)
    assert (found.files, found.objects) == (2, 5)


def test_a_day_is_published_by_the_run_after_its_late_records_are_in():
    daily = Mode(name="daily", every="1 day", schedule="30 6 * * *")
    found = publishing(daily, NEW_YORK, SPAN, 6 * HOUR, early=False)
    assert [instant.iso(m) for m in found] == [f"2013-02-0{day}T11:30:00Z" for day in (2, 3, 4)]
    late = publishing(daily, NEW_YORK, SPAN, 7 * HOUR, early=False)
    assert instant.iso(late[0]) == "2013-02-03T11:30:00Z"


def test_each_run_that_shows_open_rows_publishes():
    hourly = Mode(name="hourly", every="1 hour", schedule="5 * * * *")
    assert len(publishing(hourly, NEW_YORK, SPAN, 6 * HOUR, early=True)) == 72


def test_a_schedule_more_frequent_than_the_intervals_publishes_with_some_runs_only():
    daily = Mode(name="daily", every="1 day", schedule="30 * * * *")
    assert len(publishing(daily, NEW_YORK, SPAN, 6 * HOUR, early=False)) == 3
    assert runs_a_day(daily, NEW_YORK, SPAN.start) == 24


def test_without_a_schedule_runs_come_where_intervals_end():
    found = moments(Mode(name="hourly", every="1 hour"), "UTC", SPAN.start, SPAN.start + 3 * HOUR)
    assert found == [SPAN.start + n * HOUR for n in range(3)]


@pytest.mark.parametrize(("count", "taken"), [(288, 7), (8, 7), (7, 7), (1, 7), (0, 7)])
def test_a_sample_is_spread_over_all_runs_and_takes_none_twice(count, taken):
    found = spread(count, taken)
    assert len(set(found)) == len(found) == min(count, taken)
    assert all(0 <= at < count for at in found)
    if count > 2 * taken:
        gaps = {b - a for a, b in pairwise(found)}
        assert max(gaps) - min(gaps) <= 1
