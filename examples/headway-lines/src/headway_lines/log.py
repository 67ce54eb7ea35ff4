"""Reading the lines of append-only files by number."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, SimpleDataSourceStreamReader

from headway import instant
from headway.errors import UnavailableError
from headway.offsets import Offsets
from headway.source import Ends

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["LinesLog"]

_FORMAT = "headway_lines"
_COLUMNS = (
    "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>"
)


class LinesLog:
    """The log that one folder holds. A line counts once its end is written."""

    def __init__(self, spark: SparkSession, folder: str) -> None:
        """Open a folder.

        Raises:
            UnavailableError: There is no such folder.
        """
        self._folder = folder
        if not Path(folder).is_dir():
            raise UnavailableError(
                f"there is no folder {folder}", hint="Mend extensions.lines.root in conf/."
            )
        spark.dataSource.register(_LinesSource)

    def identity(self) -> str:
        """Return a number that the file system gave the folder when it was made."""
        return str(Path(self._folder).stat().st_ino)

    def begins(self) -> Offsets:
        """Return the first line of each file."""
        return Offsets.constant(_partitions(self._folder), 0)

    def ends(self) -> Ends:
        """Count the lines."""
        asked_at = time.time_ns() // 1_000
        offsets = Offsets({p: len(_lines(self._folder, p)) for p in _partitions(self._folder)})
        return Ends(offsets=offsets, asked_at=asked_at, settled=frozenset(offsets))

    def offsets_at(self, moment: int, ends: Offsets) -> Offsets:
        """Return the first line of each file whose arrival is at or after a moment."""
        found = {}
        for p, end in ends.items():
            lines = _lines(self._folder, p)[:end]
            found[p] = next((n for n, line in enumerate(lines) if _arrival(line) >= moment), end)
        return Offsets(found)

    def latest_arrivals(self, ends: Offsets) -> dict[int, int]:
        """Return the greatest arrival below `ends`."""
        read = {p: [_arrival(line) for line in _lines(self._folder, p)[:end]] for p, end in ends.items()}
        return {p: max(arrivals) for p, arrivals in read.items() if arrivals}

    def earliest_arrivals(self) -> dict[int, int]:
        """Return the arrival of the first line of each file that has one."""
        firsts = {p: _lines(self._folder, p)[:1] for p in _partitions(self._folder)}
        return {p: _arrival(first[0]) for p, first in firsts.items() if first}

    def intact_since(self) -> dict[int, int]:
        """Return nothing: the files are only ever appended to."""
        return {}

    def read(self, spark: SparkSession, start: Offsets, end: Offsets) -> DataFrame:
        """Return the lines of a range."""
        rows = list(_records(self._folder, start, end))
        return spark.createDataFrame(rows, _COLUMNS)

    def stream(self, spark: SparkSession, start: Offsets | None, limit: int | None) -> DataFrame:
        """Return a streaming frame of the lines from `start` on."""
        start = self.begins() if start is None else start
        options = {"folder": self._folder, "start": json.dumps(start.to_json()), "limit": str(limit or 0)}
        return spark.readStream.format(_FORMAT).options(**options).load()

    def parse_stream_offset(self, text: str) -> Offsets | None:
        """Read what `_LinesReader` gave Spark as an offset."""
        data = json.loads(text)
        return Offsets.from_json(data["lines"]) if data.get("folder") == self._folder else None

    def close(self) -> None:
        """Do nothing: files are opened when they are read."""


class _LinesReader(SimpleDataSourceStreamReader):
    def __init__(self, options: Mapping[str, str]) -> None:
        self._folder = options["folder"]
        self._start = Offsets.from_json(json.loads(options["start"]))
        self._limit = int(options["limit"])

    def initialOffset(self) -> dict[str, object]:  # noqa: N802
        return self._offset(self._start)

    def read(self, start: dict[str, Any]) -> tuple[Iterator[tuple[Any, ...]], dict[str, object]]:
        at = Offsets.from_json(start["lines"])
        left, reached = self._limit or None, {}
        for p in _partitions(self._folder):
            begin, end = at.get(p, 0), len(_lines(self._folder, p))
            reached[p] = end if left is None else min(end, begin + left)
            left = None if left is None else left - (reached[p] - begin)
        end_ = Offsets(reached)
        # Spark copies the iterator, which a generator does not allow.
        return iter(list(_records(self._folder, at, end_))), self._offset(end_)

    def readBetweenOffsets(  # noqa: N802
        self, start: dict[str, Any], end: dict[str, Any]
    ) -> Iterator[tuple[Any, ...]]:
        return _records(self._folder, Offsets.from_json(start["lines"]), Offsets.from_json(end["lines"]))

    def _offset(self, at: Offsets) -> dict[str, object]:
        return {"folder": self._folder, "lines": at.to_json()}


class _LinesSource(DataSource):
    @classmethod
    def name(cls) -> str:
        return _FORMAT

    def schema(self) -> str:
        return _COLUMNS

    def simpleStreamReader(self, schema: StructType) -> _LinesReader:  # noqa: N802
        return _LinesReader(dict(self.options))


def _partitions(folder: str) -> list[int]:
    return sorted(int(file.stem) for file in Path(folder).glob("*.jsonl") if file.stem.isdigit())


def _lines(folder: str, partition: int) -> list[str]:
    text = (Path(folder) / f"{partition}.jsonl").read_text()
    return text.split("\n")[:-1]


def _arrival(line: str) -> int:
    return instant.parse(json.loads(line)["_arrival"])


def _records(folder: str, start: Offsets, end: Offsets) -> Iterator[tuple[Any, ...]]:
    for p, stop in end.items():
        begin = start.get(p, 0)
        for number, line in enumerate(_lines(folder, p)[begin:stop], start=begin):
            arrival: datetime = instant.to_datetime(_arrival(line))
            yield None, line.encode(), Path(folder).name, p, number, arrival, None
