"""Sinks that are kept equal to the table of record, commit by commit.

The table of record has the rows and the truth about them. Another sink notes, in its own commits,
up to which commit of that table it has followed; so after a crash between two sinks, or when a
sink is added, what it lacks is read from the table and nothing is computed again. The note is
changed by compare-and-set: runs beside each other cannot apply a commit twice or skip one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headway import instant
from headway.errors import TransientError
from headway.interval import Interval
from headway.sink import Applied, Change, Follower, Staged
from headway.sinks.iceberg_table import IcebergTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

__all__ = ["Followers"]

_EVERYTHING = (Interval(instant.BEGINNING, instant.END),)
_RACES = 5


class Followers:
    """The other sinks of one pipeline, as one run uses them."""

    def __init__(self, record: IcebergTable, opened: Sequence[Follower]) -> None:
        self._record = record
        self._opened = opened

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
            self._catch_up(follower, follower.applied())

    def follow(self, staged: Staged, batch: DataFrame | None = None) -> None:
        """Take in what was just published.

        Args:
            staged: The commit.
            batch: The rows of a commit that upserts; others are read from the table of record.
        """
        for follower in self._opened:
            since = follower.applied()
            is_in_step = since is not None and since.snapshot == staged.base
            if not is_in_step or not follower.apply(self._change(staged, batch), since):
                self._catch_up(follower, follower.applied())

    def close(self) -> None:
        """Let go of their connections."""
        for follower in self._opened:
            follower.close()

    def _change(self, staged: Staged, batch: DataFrame | None) -> Change:
        to = self._record.at(staged.handle)
        if staged.replaced is not None:
            rows = self._record.rows_at(staged.handle, [staged.replaced])
            return Change(to=to, rows=rows, count=None, replaced=(staged.replaced,), upserts=False)
        if staged.upserts and batch is not None:
            return Change(to=to, rows=batch, count=staged.rows, replaced=(), upserts=True)
        rows = self._record.added_between(staged.base, staged.handle)
        return Change(to=to, rows=rows, count=staged.rows, replaced=(), upserts=False)

    def _catch_up(self, follower: Follower, since: Applied | None) -> None:
        """Replace every range that commits have changed which a sink has not followed."""
        for _ in range(_RACES):
            to = self._record.at(self._record.visible())
            if since is not None and since.sequence >= to.sequence:
                return
            ranges = _EVERYTHING if since is None else self._record.touched(since.snapshot, to.snapshot)
            if ranges is None:
                ranges = _EVERYTHING
            rows = self._record.rows_at(to.snapshot, ranges)
            change = Change(
                to=to, rows=rows, count=None if ranges else 0, replaced=tuple(ranges), upserts=False
            )
            if follower.apply(change, since):
                return
            since = follower.applied()
        raise TransientError(
            f"{follower.name} was changed by other runs again and again", hint="Run the same command again."
        )
