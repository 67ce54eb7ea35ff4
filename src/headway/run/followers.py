"""Sinks that are kept equal to the table of record, commit by commit.

The table of record has the rows and the truth about them. Another sink notes, in its own commits,
up to which commit of that table it has followed; so after a crash between two sinks, or when a
sink is added, what it lacks is read from the table and nothing is computed again. The note is
changed by compare-and-set: runs beside each other cannot apply a commit twice or skip one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headway import instant
from headway.errors import TransientError
from headway.interval import Interval
from headway.sink import Applied, Change, Follower, Staged
from headway.sinks.iceberg_history import History
from headway.telemetry.events import Followed
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

__all__ = ["Followers"]

_EVERYTHING = (Interval(instant.BEGINNING, instant.END),)
_RACES = 10
_PAUSE = 0.1


class Followers:
    """The other sinks of one pipeline, as one run uses them."""

    def __init__(self, record: History, opened: Sequence[Follower], telemetry: Telemetry) -> None:
        self._record = record
        self._opened = opened
        self._telemetry = telemetry
        self._noted: dict[Follower, Applied] = {}
        """Where this run has left each sink; another run may have moved it since, which `apply` tells."""

    def __iter__(self) -> Iterator[Follower]:
        return iter(self._opened)

    def prepare(self, schema: StructType) -> None:
        """Make their tables where they are missing, and bring them up to the table of record.

        Raises:
            ResultError: One of them holds other columns than the result.
            UnavailableError: One of them cannot be reached.
        """
        for follower in self._opened:
            follower.prepare(schema)
            self._catch_up(follower)
            self._telemetry.tell(Followed(follower.name, 0))

    def follow(self, staged: Staged, batch: DataFrame | None = None) -> None:
        """Take in what was just published.

        Args:
            staged: The commit.
            batch: The rows of a commit that upserts; others are read from the table of record.
        """
        for follower in self._opened:
            since = self._noted.get(follower)
            self._tell_of_lag(follower, staged, since)
            change = None
            if since is not None and since.snapshot == staged.base:
                change = self._change(staged, since, batch)
            if change is not None and follower.apply(change, since):
                self._noted[follower] = change.to
            else:
                self._catch_up(follower)
            self._telemetry.tell(Followed(follower.name, 0))

    def close(self) -> None:
        """Let go of their connections."""
        for follower in self._opened:
            follower.close()

    def _tell_of_lag(self, follower: Follower, staged: Staged, since: Applied | None) -> None:
        """Tell what a sink lacks, as it stays that way where it cannot be reached."""
        if self._telemetry.is_measured and since is not None:
            behind = self._record.at(staged.handle).sequence - since.sequence
            self._telemetry.tell(Followed(follower.name, max(0, behind)))

    def _change(self, staged: Staged, since: Applied, batch: DataFrame | None) -> Change:
        to = self._record.at(staged.handle)
        if staged.replaced is not None:
            return self._replacement((staged.replaced,), to, since)
        if staged.upserts and batch is not None:
            return _addition(batch, to, staged.rows, upserts=True)
        rows = self._record.added_between(staged.base, staged.handle)
        return _addition(rows, to, staged.rows, upserts=False)

    def _replacement(self, ranges: Sequence[Interval], to: Applied, since: Applied | None) -> Change:
        def before() -> DataFrame | None:
            if since is None:
                return self._record.rows_at(to.snapshot, ())
            return (
                self._record.rows_at(since.snapshot, ranges) if self._record.keeps(since.snapshot) else None
            )

        return Change(
            to=to,
            rows=self._record.rows_at(to.snapshot, ranges),
            count=None if ranges else 0,
            replaced=tuple(ranges),
            upserts=False,
            before=before,
        )

    def _catch_up(self, follower: Follower) -> None:
        """Replace every range that commits have changed which a sink has not followed, up to what is visible now."""
        goal = self._record.at(self._record.visible())
        for attempt in range(_RACES):
            since, unfinished = follower.applied(), follower.unfinished()
            # A note may speak of a table that was dropped since.
            is_known = since is not None and self._record.keeps(since.snapshot)
            if since is not None and is_known and unfinished is None and since.sequence >= goal.sequence:
                self._noted[follower] = since
                return
            to = self._record.at(self._record.visible())
            if unfinished is not None and self._record.keeps(unfinished):
                to = self._record.at(unfinished)
            ranges = (
                self._record.touched(since.snapshot, to.snapshot) if since is not None and is_known else None
            )
            change = self._replacement(_EVERYTHING if ranges is None else ranges, to, since)
            if not follower.apply(change, since):
                time.sleep(_PAUSE * attempt)  # another run moves it at this moment
        raise TransientError(
            f"{follower.name} was changed by other runs again and again", hint="Run the same command again."
        )


def _addition(rows: DataFrame, to: Applied, count: int, *, upserts: bool) -> Change:
    return Change(to=to, rows=rows, count=count, replaced=(), upserts=upserts, before=lambda: None)
