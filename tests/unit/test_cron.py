"""The moments that a cron expression names."""

import pytest

from headway import instant
from headway.cron import Cron
from headway.errors import ConfigError


def moments(text, start, end, zone="UTC"):
    found = Cron(text, zone).moments(instant.parse(start), instant.parse(end))
    return [instant.iso(moment) for moment in found]


def test_lists_ranges_and_steps_are_read():
    assert moments("2-59/15 3,5 * * *", "2013-02-01", "2013-02-01T04:00:00Z") == [
        "2013-02-01T03:02:00Z", "2013-02-01T03:17:00Z", "2013-02-01T03:32:00Z", "2013-02-01T03:47:00Z",
    ]  # fmt: skip


def test_the_end_does_not_belong_to_the_range():
    assert moments("0 * * * *", "2013-02-01", "2013-02-01T02:00:00Z") == [
        "2013-02-01T00:00:00Z",
        "2013-02-01T01:00:00Z",
    ]


def test_local_time_follows_the_change_of_the_clocks_and_a_skipped_time_does_not_come():
    found = moments("30 2 * * *", "2013-03-09", "2013-03-12", zone="America/New_York")
    assert found == ["2013-03-09T07:30:00Z", "2013-03-11T06:30:00Z"]


def test_either_a_day_or_a_weekday_will_do_as_in_cron():
    found = moments("0 0 1 * 1", "2013-02-01", "2013-02-06")  # the 4th is a Monday
    assert found == ["2013-02-01T00:00:00Z", "2013-02-04T00:00:00Z"]


@pytest.mark.parametrize("text", ["* * * *", "61 * * * *", "*/0 * * * *", "a * * * *", "5-1 * * * *"])
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(ConfigError, match="the schedule"):
        Cron(text)
