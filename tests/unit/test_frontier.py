"""The frontier is a proof: no admitted record before it can still come."""

from hypothesis import given
from hypothesis import strategies as st

from headway import instant
from headway.frontier import frontier
from headway.offsets import Offsets
from headway.source import Ends, Source

SECOND = instant.SECOND


def source(clock="log", **facts):
    return Source("t", schema="at timestamp", event_time="at", clock=clock, **facts)


def ends(offsets, *, asked_at=0, settled=None):
    found = Offsets(offsets)
    return Ends(offsets=found, asked_at=asked_at, settled=frozenset(found if settled is None else settled))


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 10_000), st.integers(-300, 7_200)),
        min_size=1,
        max_size=60,
    ),
    st.data(),
)
def test_no_admitted_record_lies_before_the_frontier_and_is_yet_to_be_read(rows, data):
    """Records in any order of partitions, each partition in order of arrival; read any prefix of each.

    The ends may have been asked for before the last of the records came.
    """
    by_partition = {p: sorted(a for q, a, _ in rows if q == p) for p in range(3)}
    delays = {(p, a): d for p, a, d in rows}
    read = {p: data.draw(st.integers(0, len(by_partition[p]))) for p in range(3)}
    by_arrival = sorted((a, p) for p, a, _ in rows)
    asked = by_arrival[: data.draw(st.integers(0, len(rows)))]
    total = {p: sum(q == p for _, q in asked) for p in range(3)}
    arrivals = {p: by_partition[p][n - 1] * SECOND for p, n in read.items() if n}
    given_source = source(lateness="1 hour", disorder="0 seconds")
    proved = frontier(given_source, read=Offsets(read), arrivals=arrivals, ends=ends(total))
    for p, times in by_partition.items():
        for a in times[read[p] :]:
            e = (a - delays[p, a]) * SECOND
            is_admitted = a * SECOND <= e + given_source.lateness_micros
            assert not is_admitted or e >= proved


def test_an_idle_partition_does_not_hold_a_replay_up():
    proved = frontier(
        source(disorder="0 seconds"),
        read=Offsets({0: 5, 1: 0}),
        arrivals={0: 100 * SECOND},
        ends=ends({0: 5, 1: 0}),
    )
    assert proved == 100 * SECOND - 1_000


def test_a_lagging_partition_holds_the_frontier_back():
    proved = frontier(
        source(disorder="0 seconds"),
        read=Offsets({0: 5, 1: 1}),
        arrivals={0: 100 * SECOND, 1: 7 * SECOND},
        ends=ends({0: 5, 1: 2}),
    )
    assert proved == 7 * SECOND - 1_000


def test_a_quiet_night_moves_on_with_the_wall_clock():
    proved = frontier(
        source("wall", skew="10 seconds", disorder="0 seconds"),
        read=Offsets({0: 5}),
        arrivals={0: 100 * SECOND},
        ends=ends({0: 5}, asked_at=5_000 * SECOND),
    )
    assert proved == 4_990 * SECOND - 1_000


def test_an_open_transaction_keeps_a_replay_from_passing_it():
    proved = frontier(
        source(disorder="0 seconds"),
        read=Offsets({0: 5, 1: 1}),
        arrivals={0: 100 * SECOND, 1: 7 * SECOND},
        ends=ends({0: 5, 1: 1}, settled={0}),
    )
    assert proved == 7 * SECOND - 1_000


def test_an_open_transaction_keeps_the_wall_clock_out():
    proved = frontier(
        source("wall", disorder="0 seconds"),
        read=Offsets({0: 5}),
        arrivals={0: 100 * SECOND},
        ends=ends({0: 5}, asked_at=5_000 * SECOND, settled=()),
    )
    assert proved == 100 * SECOND - 1_000


def test_a_producer_with_a_broken_clock_does_not_close_the_future():
    proved = frontier(
        source("wall"),
        read=Offsets({0: 5}),
        arrivals={0: instant.parse("2200-01-01")},
        ends=ends({0: 6}, asked_at=SECOND),
    )
    assert proved <= SECOND
