"""What every sink states, and what a run asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from headway.interval import Interval
from headway.ownership import Ownership
from headway.result import Result

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["Applied", "Change", "Commit", "Follower", "FollowingSink", "Sink", "Staged", "Target"]


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
    touches: Interval | None
    """Range of output time whose rows the commit changes; none where it changes no row."""
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
    base: int
    """The visible state that it was staged on."""
    replaced: Interval | None
    """Range of output time whose rows make way; none where rows are added or upserted."""
    upserts: bool
    """Whether the rows take the place of those with the same keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Up to which commit of the table of record another sink has followed."""

    snapshot: int
    """What tells one state from another."""
    sequence: int = field(compare=False)
    """Grows with every commit of one table."""
    closed_through: int = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one sink has to do to catch up with the table of record."""

    to: Applied
    rows: DataFrame
    count: int | None
    """Number of the rows, where it is known."""
    replaced: tuple[Interval, ...]
    """Ranges of output time whose rows make way; the whole of time where the sink begins."""
    upserts: bool
    """Whether the rows take the place of those with the same keys; else they are added."""
    before: Callable[[], DataFrame | None]
    """Gives the rows of the replaced ranges as the sink has them; None where expiry has taken them."""


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


@runtime_checkable
class FollowingSink(Protocol):
    """The definition of a sink that is kept equal to the table of record, which one output of a pipeline is.

    The rows do not depend on it, and are identified by the keys of the table of record.
    """

    @property
    def table(self) -> str:
        """Where the rows go."""
        ...

    @property
    def section(self) -> str:
        """The section of conf/ that says where it is, such as `databases`."""
        ...

    @property
    def spark_settings(self) -> Mapping[str, str]:
        """What a session needs to write to it; names of extensions are added to those of others."""
        ...

    def refuses(self, keys: tuple[str, ...], emit: str) -> str | None:
        """Return why it cannot follow a table of record with these keys; None where it can."""
        ...

    def follow(self, spark: SparkSession, settings: Mapping[str, Any], result: Result) -> Follower:
        """Open a sink that follows the table of record.

        Args:
            spark: The session.
            settings: Its section of the project's configuration, by the name of the section.
            result: What the rows look like.

        Raises:
            ConfigError: The configuration lacks what the sink names.
        """
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


class Follower(Protocol):
    """An opened sink that holds what the table of record holds; used from the driver only."""

    name: str
    """What people call it, such as its table."""

    def prepare(self, schema: StructType) -> None:
        """Make the place for the rows where it is missing, and see that it takes them.

        Raises:
            ResultError: It holds other columns than the result.
            UnavailableError: It cannot be reached.
        """
        ...

    def applied(self) -> Applied | None:
        """Return how far it has followed, as its own last commit says; None before the first.

        Raises:
            UnavailableError: It cannot be reached.
        """
        ...

    def unfinished(self) -> int | None:
        """Return the snapshot that parts of it have followed and others not; it has to be followed first.

        None where it is in one piece, as it always is where a change is one atomic step.
        """
        ...

    def apply(self, change: Change, since: Applied | None) -> bool:
        """Take a change in, with the note of how far it has followed, in one atomic step, or part by part.

        Returns:
            False, and nothing has changed, if it is no longer where `since` says.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
