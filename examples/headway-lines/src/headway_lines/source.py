"""The noun that definitions name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from headway.source import Log, Source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Lines"]


class Lines(Source):
    """A folder of append-only files `0.jsonl`, `1.jsonl`, ...: partitions whose lines are records.

    The fields are those of `headway.source.Source`; `name` is the folder below `extensions.lines.root` of conf/.
    """

    __slots__ = ()

    @property
    def section(self) -> str:
        """The section `extensions.lines` of conf/, with the key `root`."""
        return "lines"

    def open(self, settings: Mapping[str, Any], session: Callable[[], SparkSession]) -> Log:
        """Open the folder; see `headway.source.Source.open`."""
        from headway_lines.log import LinesLog

        return LinesLog(session(), f"{settings['root']}/{self.name}")
