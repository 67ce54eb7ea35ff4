"""What suites have found, as the map of ownership carries it."""

from __future__ import annotations

from headway.interval import Interval
from headway.mark import Mark, joined, without
from headway.ownership import Ownership, Segment

MET, FAILED = (), ("two rows",)


def test_neighbours_of_which_the_same_was_found_are_one():
    marks = [Mark(Interval(20, 30), FAILED), Mark(Interval(0, 10), MET), Mark(Interval(10, 20), MET)]
    marks += [Mark(Interval(30, 40), FAILED), Mark(Interval(40, 50), ("another",))]
    assert joined(marks) == (
        Mark(Interval(0, 20), MET),
        Mark(Interval(20, 40), FAILED),
        Mark(Interval(40, 50), ("another",)),
    )


def test_a_range_that_changes_takes_its_verdicts_away():
    marks = (Mark(Interval(0, 20), MET), Mark(Interval(20, 40), FAILED))
    assert without(marks, Interval(15, 25)) == (Mark(Interval(0, 15), MET), Mark(Interval(25, 40), FAILED))


def test_what_is_published_anew_is_not_judged_any_more_and_where_judging_began_stays():
    ownership = Ownership().with_marks("", [Mark(Interval(0, 10), MET), Mark(Interval(10, 20), FAILED)])
    after = ownership.with_final(Segment(Interval(0, 10), "hourly", "bounded", 2, "x"))
    assert after.marks[""] == (Mark(Interval(10, 20), FAILED),)
    assert after.begun[""] == 0


def test_a_verdict_takes_the_place_of_the_one_before():
    ownership = Ownership().with_marks("", [Mark(Interval(0, 10), FAILED)])
    assert ownership.with_marks("", [Mark(Interval(0, 10), MET)]).marks[""] == (Mark(Interval(0, 10), MET),)


def test_marks_and_tallies_survive_a_commit():
    ownership = Ownership().with_marks("flights", [Mark(Interval(0, 10), FAILED)])
    ownership = ownership.with_tallies({0: {"rows": 3}, 10: {"rows": 1}}).with_tallies({10: {}})
    assert Ownership.from_json(ownership.to_json()) == ownership
    assert ownership.tallies == {0: {"rows": 3}}
