"""Appends to an Iceberg table that show only where nobody else has changed it: a compare-and-set.

Rows are written to a branch of the writer's own, and `main` moves to it if it stands where the writer has
seen it. What was appended says in its snapshot's summary how far the table has come, under a name of the
caller's; a tag keeps the newest of them from expiry.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from headway.catalog import ancestry, java_table
from headway.errors import UnavailableError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["PROPERTIES", "ComparedAppends"]

PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "10",
}
"""Properties that suit a table which is appended to often."""

_TAG = "headway"
_RACES = 20
_LOST_RACES = ("CommitFailed", "CommitStateUnknown", "Cannot fast-forward", "Cannot commit")
_BRANCH_LASTS = 24 * 3_600_000


class ComparedAppends:
    """One writer of one table; not for several threads at once."""

    def __init__(self, spark: SparkSession, table: str, entry: str) -> None:
        """Open a table that exists, and give it a first, empty snapshot where it has none.

        Args:
            spark: The session.
            table: Its full name.
            entry: Name of the summary's entry that says how far the table has come.
        """
        self._spark = spark
        self._table = table
        self._entry = entry
        self._branch = f"landing_{uuid.uuid4().hex[:12]}"
        self._handle: Any = java_table(spark, table)
        if self._handle.currentSnapshot() is None:
            self._handle.newFastAppend().commit()  # without the entry: another writer may be quicker

    def table(self) -> Any:
        """Return Iceberg's own handle, brought up to date."""
        self._handle.refresh()
        return self._handle

    def visible(self) -> int:
        """Return the snapshot that readers see now."""
        return int(self.table().currentSnapshot().snapshotId())

    def reached(self, table: Any, snapshot: int) -> str | None:
        """Return how far the table had come at a snapshot of a handle that knows it, in the words of who appended.

        None where nothing was ever appended, or expiry has taken what said so.
        """
        for found in ancestry(table, table.snapshot(snapshot)):
            said = found.summary().get(self._entry)
            if said is not None:
                return str(said)
        # Expiry has left commits of maintenance above the newest append, which is tagged.
        tagged = table.snapshot(_TAG) if table.refs().containsKey(_TAG) else None
        if tagged is None or tagged.sequenceNumber() > table.snapshot(snapshot).sequenceNumber():
            return None
        return str(tagged.summary().get(self._entry))

    def append(self, rows: DataFrame, visible: int, reached: str) -> int | None:
        """Write rows behind a visible snapshot and show them.

        Returns the new visible snapshot; None, and nothing has changed for readers, where another writer
        has moved the table meanwhile.

        Raises:
            UnavailableError: The catalog does not take it for another reason.
        """
        if not self._reset(visible):
            return None
        writer = rows.writeTo(f"{self._table}.branch_{self._branch}")
        writer.option(f"snapshot-property.{self._entry}", reached).append()
        head = int(self.table().snapshot(self._branch).snapshotId())
        return head if self._show(head) else None

    def close(self) -> None:
        """Remove the writer's branch; one that is left goes with expiry."""
        for _ in range(_RACES):
            if not self.table().refs().containsKey(self._branch):
                return
            if _is_done(lambda: self._handle.manageSnapshots().removeBranch(self._branch).commit()):
                return

    def _reset(self, visible: int) -> bool:
        branch = self._handle.snapshot(self._branch)
        if branch is not None and branch.snapshotId() == visible:
            return True
        refs = self._handle.manageSnapshots()
        if branch is not None:
            return _is_done(lambda: refs.replaceBranch(self._branch, visible).commit())
        refs = refs.createBranch(self._branch, visible).setMaxRefAgeMs(self._branch, _BRANCH_LASTS)
        return _is_done(refs.commit)

    def _show(self, head: int) -> bool:
        has_tag = self._handle.refs().containsKey(_TAG)

        def show() -> None:
            refs = self._handle.manageSnapshots().fastForwardBranch("main", self._branch)
            (refs.replaceTag if has_tag else refs.createTag)(_TAG, head).commit()

        if _is_done(show):
            return True
        # A catalog may lose its answer and not the commit.
        jvm = self._spark._jvm
        assert jvm is not None
        return bool(jvm.org.apache.iceberg.util.SnapshotUtil.isAncestorOf(self.table(), head))


def _is_done(change: Callable[[], Any]) -> bool:
    """Change the table's branches; False where somebody else has committed meanwhile.

    Raises:
        UnavailableError: The catalog refuses it for another reason.
    """
    try:
        change()
    except (Py4JJavaError, PySparkException) as exc:
        said = str(exc)
        if not any(reason in said for reason in _LOST_RACES):
            raise UnavailableError(
                f"the catalog did not take an append: {said.strip().splitlines()[0]}",
                hint="Look at the catalog, then run the same command again.",
            ) from exc
        return False
    return True
