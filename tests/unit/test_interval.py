"""Intervals and the grids that cut time into them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import instant
from headway.errors import UsageError
from headway.interval import Grid, Interval, coalesce

DAY = instant.duration("1 day")
moments = st.integers(instant.parse("1971-01-01"), instant.parse("2100-01-01"))


@pytest.mark.parametrize(
    ("day", "length"), [("2013-03-10", "23 hours"), ("2013-11-03", "1 day 1 hour"), ("2013-07-01", "1 day")]
)
def test_local_days_follow_the_clocks_of_their_zone(day, length):
    grid = Grid(DAY, "America/New_York")
    start = grid.floor(instant.parse(f"{day}T16:00:00Z"))
    assert instant.spell(grid.after(start) - start) == length


@given(
    moments, st.sampled_from([Grid(DAY, "Europe/Berlin"), Grid(DAY), Grid(instant.duration("15 minutes"))])
)
def test_floor_and_after_enclose_every_moment(moment, grid):
    floor = grid.floor(moment)
    assert floor <= moment < grid.after(floor)
    assert grid.floor(floor) == floor == grid.ceiling(floor)


def test_intervals_of_a_year_leave_no_gap():
    grid = Grid(DAY, "America/New_York")
    year = list(
        grid.intervals(grid.floor(instant.parse("2013-01-01T12:00Z")), instant.parse("2014-01-01T12:00Z"))
    )
    assert len(year) == 365
    assert all(a.end == b.start for a, b in itertools.pairwise(year))


def test_a_reversed_interval_is_refused():
    with pytest.raises(UsageError, match="empty or reversed"):
        Interval(5, 5)


def test_coalesce_joins_what_touches_and_keeps_what_does_not():
    assert coalesce([Interval(7, 8), Interval(1, 3), Interval(3, 5)]) == (Interval(1, 5), Interval(7, 8))


@pytest.mark.parametrize("text", ["6 hourz", "", "-1 hour", "1 month", "hours"])
def test_what_is_no_span_of_time_is_refused(text):
    with pytest.raises(UsageError, match="not a span of time"):
        instant.duration(text)
