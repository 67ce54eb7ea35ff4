"""A streaming source with one row each time a frontier has moved while a query was quiet: what makes it go on.

A batch that takes records makes what it has proved the watermark of the next one by itself.
Spark sets a watermark to the greatest event time it has seen, less a delay. The marker's event
time is the frontier plus that delay, so the watermark becomes the frontier itself. The offset
*is* the frontier, so a batch that is replayed sees the same marker. It also names the start of the
query: a query that starts again forgets what each source had reached, and waits for a marker of each.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader

from headway import instant

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

__all__ = ["DELAY_DAYS", "FORMAT", "Frontiers", "MarkerSource"]

FORMAT = "headway_frontier"
DELAY_DAYS = 3650
_DELAY = timedelta(days=DELAY_DAYS)


class Frontiers:
    """A folder with one small file per source, written by the driver and read by the markers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start = uuid.uuid4().hex[:8]
        """Tells this start of the query apart from those before."""
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, source: str) -> Path:
        """Return the file of a source."""
        return self._folder / source

    def read(self, source: str) -> int:
        """Return the frontier that was written last; the beginning of time where none was."""
        try:
            return int(self.path(source).read_text())
        except FileNotFoundError:
            return instant.BEGINNING

    def move(self, source: str, frontier: int) -> bool:
        """Write a frontier where it is ahead of the one before; tells whether it was."""
        if frontier <= self.read(source):
            return False
        new = self.path(source).with_suffix(".new")
        new.write_text(str(frontier))
        new.replace(self.path(source))
        return True


class MarkerReader(SimpleDataSourceStreamReader):
    """Spark's side of a frontier; runs in a Python process beside the driver."""

    def __init__(self, source: str, path: Path, start: str) -> None:
        self._source = source
        self._path = path
        self._start = start
        sys.excepthook = _quiet_once_spark_has_gone

    def initialOffset(self) -> dict[str, object]:  # noqa: N802
        """Return the offset before any marker."""
        return {"marker": self._source, "frontier": instant.BEGINNING, "start": ""}

    def read(self, start: dict[str, object]) -> tuple[Iterator[tuple[datetime]], dict[str, object]]:
        """Return a marker if the frontier has moved since `start`, or the query has started anew."""
        try:
            proved = int(self._path.read_text())
        except FileNotFoundError:
            return iter([]), start
        frontier = max(int(str(start["frontier"])), proved)
        end: dict[str, object] = {"marker": self._source, "frontier": frontier, "start": self._start}
        return self.readBetweenOffsets(start, end), end

    def readBetweenOffsets(  # noqa: N802
        self, start: dict[str, object], end: dict[str, object]
    ) -> Iterator[tuple[datetime]]:
        """Return the same marker again, for a batch that is replayed."""
        if start == end:
            return iter([])
        return iter([(instant.to_datetime(int(str(end["frontier"]))) + _DELAY,)])


class MarkerSource(DataSource):
    """The format `headway_frontier`: options `source`, `path` and `start`, one column `at timestamp`."""

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return FORMAT

    def schema(self) -> str:
        """Return the columns."""
        return "at timestamp"

    def simpleStreamReader(self, schema: StructType) -> MarkerReader:  # noqa: N802
        """Return the reader of one source's frontier."""
        return MarkerReader(self.options["source"], Path(self.options["path"]), self.options["start"])


def _quiet_once_spark_has_gone(
    kind: type[BaseException], exc: BaseException, trace: TracebackType | None
) -> None:
    """Say nothing of a connection that Spark has closed: it stops a reader's process that way."""
    if not issubclass(kind, EOFError | ConnectionError):
        sys.__excepthook__(kind, exc, trace)
