"""The map of who published what: no instant owned twice, nothing forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from headway.interval import Interval
from headway.offsets import Offsets
from headway.ownership import Ownership, Segment


def segment(start, end, *, revision=1, inputs="i", mode="hourly"):
    return Segment(Interval(start, end), mode, "bounded", revision, inputs)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(1, 3)), max_size=12))
def test_every_instant_belongs_to_the_last_who_published_it(steps):
    ownership, model = Ownership(), {}
    for start, length, revision in steps:
        ownership = ownership.with_final(segment(start, start + length, revision=revision))
        model |= dict.fromkeys(range(start, start + length), revision)
    found = {t: s.revision for s in ownership.segments for t in range(s.interval.start, s.interval.end)}
    assert found == model
    gaps = {t for g in ownership.gaps(Interval(0, 45)) for t in range(g.start, g.end)}
    assert gaps == set(range(45)) - set(model)


def test_neighbours_from_equal_inputs_are_one_segment():
    ownership = Ownership().with_final(segment(0, 5)).with_final(segment(5, 9))
    assert [s.interval for s in ownership.segments] == [Interval(0, 9)]


def test_a_correction_waits_until_its_range_is_computed_again():
    ownership = Ownership().with_final(segment(0, 10)).with_pending([Interval(2, 4)])
    assert not ownership.is_settled(Interval(0, 10), "i")
    assert ownership.with_final(segment(0, 10)).pending == (Interval(2, 4),)
    assert ownership.corrections(before=10) == (Interval(2, 4),)
    assert ownership.without_pending(Interval(0, 10)).is_settled(Interval(0, 10), "i")


def test_a_correction_of_an_open_range_is_not_due_yet():
    ownership = Ownership().with_final(segment(0, 10)).with_pending([Interval(8, 14)])
    assert ownership.corrections(before=10) == (Interval(8, 10),)


def test_positions_never_go_back():
    ownership = (
        Ownership().with_position({"s": Offsets({0: 5, 1: 1})}).with_position({"s": Offsets({0: 3, 1: 2})})
    )
    assert ownership.position["s"] == Offsets({0: 5, 1: 2})


def test_what_is_written_is_read_back():
    ownership = (
        Ownership(stream="l", begins=0, open_rows=True)
        .with_final(segment(0, 5))
        .with_pending([Interval(1, 2)])
        .with_position({"s": Offsets({0: 5})})
    )
    assert Ownership.from_json(ownership.to_json()) == ownership
