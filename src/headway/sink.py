"""What every sink states, and what a run asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from headway.interval import Interval
from headway.ownership import Ownership

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Commit", "Sink", "Staged", "Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a commit says of itself, in the same atomic step as its rows."""

    pipeline: str
    mode: str
    lineage: str
    interval: Interval | None
    """Range of output time that the commit settles; none for rows of open intervals."""
    revision: int
    batch_id: int | None
    """Number of the micro-batch; none in bounded modes."""
    fingerprint: str
    """Hash of all inputs."""
    closed_through: int
    """Every row with an earlier output time is published."""
    token: int
    """Fencing token of the lease."""
    offsets: Mapping[str, object]
    """Per source: `from`, `to` and `log`, the identity of the log."""
    lookups: Mapping[str, object]
    """Per lookup: the snapshot ids that were used."""
    ownership: Ownership
    """The map of who published what, as it stands after this commit."""

    @property
    def key(self) -> str:
        """The run key: the same key is never committed twice with other rows."""
        if self.batch_id is not None:
            return f"{self.pipeline}/{self.lineage}/{self.batch_id}"
        return f"{self.pipeline}/{self.lineage}/{self.interval}/{self.revision}"


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that are durable in a sink and not yet visible."""

    commit: Commit
    rows: int
    """Rows that the commit adds, as the sink itself counted them."""
    handle: int
    """What the sink needs to publish them; for Iceberg the snapshot id on the staging branch."""


class Sink(Protocol):
    """The definition of a place for results. Frozen, and free to make."""

    @property
    def table(self) -> str:
        """Where the rows go."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that identify a row; empty where rows have no key."""
        ...

    def facts(self) -> dict[str, object]:
        """Return what the rows depend on, for the fingerprint."""
        ...


class Target(Protocol):
    """An opened sink. A run calls `ownership`, `stage`, then `publish`; on the driver only."""

    def ownership(self) -> Ownership:
        """Return the map that the newest visible commit carries; an empty one for a new sink."""
        ...

    def stage(self, rows: DataFrame, commit: Commit, *, replace: Interval | None) -> Staged:
        """Make `rows` durable but not visible, in place of those whose output time lies in `replace`."""
        ...

    def publish(self, staged: Staged) -> int:
        """Make staged rows visible in one atomic step, and return the id of the visible state.

        Raises:
            TransientError: Another writer has committed meanwhile; nothing became visible.
        """
        ...
