"""How far the log is provably complete: the frontier `T` of a source.

No admitted record with `e < T` can still become readable. Admission bounds the arrival of
such a record by `a <= e + lateness`, and a partition's timestamps lie at most `disorder`
behind its greatest, so `T` is the least over the partitions of `A - lateness - disorder`,
`A` being how far the partition's arrival times are known to have come.

One millisecond is taken off, because Spark keeps watermarks in whole milliseconds and drops
a row whose time *equals* the watermark.
"""

from __future__ import annotations

from collections.abc import Mapping

from headway import instant
from headway.offsets import Offsets
from headway.source import Ends, Source

__all__ = ["frontier"]

_MILLI = 1_000


def frontier(source: Source, *, read: Offsets, arrivals: Mapping[int, int], ends: Ends) -> int:
    """Return the frontier once everything below `read` has been taken.

    Args:
        source: Whose lateness, disorder, skew and clock count.
        read: Offsets below which every record has been read.
        arrivals: Greatest arrival read, for each partition with a record below `read`.
        ends: Where the log ended when it was asked, which was before now; records that were read since may
            lie beyond.

    >>> s = Source("t", schema="at timestamp", event_time="at", clock="log", disorder="0 seconds")
    >>> full = Ends(offsets=Offsets({0: 9, 1: 4}), asked_at=0, settled=frozenset({0, 1}))
    >>> frontier(s, read=full.offsets, arrivals={0: 5_000_000, 1: 3_000_000}, ends=full)
    4999000
    >>> frontier(s, read=Offsets({0: 9, 1: 3}), arrivals={0: 5_000_000, 1: 3_000_000}, ends=full)
    2999000
    """
    furthest = max(arrivals.values(), default=instant.BEGINNING)
    # What was read beyond the ends proves nothing of a partition whose end was asked for before that.
    is_current = ends.offsets.covers(read)
    reached = []
    for partition, end in ends.offsets.items():
        arrival = arrivals.get(partition, instant.BEGINNING)
        is_at_end = read.get(partition, 0) >= end and partition in ends.settled
        if source.clock == "log":
            if is_at_end and is_current:
                arrival = max(arrival, furthest - source.disorder_micros)
        else:
            # A producer with a broken clock must not close the future.
            arrival = min(arrival, ends.asked_at)
            if is_at_end:
                arrival = max(arrival, ends.asked_at - source.skew_micros)
        reached.append(arrival)
    least = min(reached, default=instant.BEGINNING)
    proved = least - source.lateness_micros - source.disorder_micros
    return instant.clamp(proved // _MILLI * _MILLI - _MILLI)
