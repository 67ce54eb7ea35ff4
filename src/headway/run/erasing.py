"""Taking a person's records away by their key: from an archive, and from the quarantine of who reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway import instant
from headway.embedded import stack
from headway.errors import CallError, suggestion
from headway.interval import Interval
from headway.project import Project
from headway.run.archive import Archive, hours_of
from headway.run.archived_log import ArchivedLog
from headway.run.books import Books

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Erased", "erase"]


@dataclass(slots=True, kw_only=True)
class Erased:
    """What `erase --json` prints."""

    archive: str
    records: int = 0
    quarantined: int = 0
    hours: tuple[Interval, ...] = ()
    pipelines: list[str] = field(default_factory=list)
    """Who reads the archive; the next run of each recomputes what the records have contributed to."""

    def to_json(self) -> dict[str, object]:
        """Write as `erase --json` prints it."""
        return {
            "archive": self.archive,
            "records": self.records,
            "quarantined": self.quarantined,
            "hours": [{"start": instant.iso(h.start), "end": instant.iso(h.end)} for h in self.hours],
            "pipelines": self.pipelines,
        }


def erase(
    spark: SparkSession, project: Project, archive: str, key: bytes, *, say: Callable[[str], None]
) -> Erased:
    """Take away all records of a key that an archive's log holds up to now.

    The log itself is left alone: it forgets by its own retention, and until then every mode leaves the
    erased records out. Neither the key nor a record's content is noted anywhere, only the key's SHA-256.

    Raises:
        CallError: No pipeline of the project has this archive.
        UnavailableError: The log cannot be reached.
        TransientError: Others kept changing the archive.
    """
    archives = {
        source.archive: source
        for pipeline in project.pipelines.values()
        for source in pipeline.sources.values()
        if source.archive is not None
    }
    if archive not in archives:
        raise CallError(
            f"no source of this project has the archive {archive!r}", hint=suggestion(archive, list(archives))
        )
    source = archives[archive]
    key_hash = hashlib.sha256(key).hexdigest()
    report = Erased(archive=archive)
    log = ArchivedLog(source.open(stack.section(project, source.section), lambda: spark), source, spark)
    try:
        say(f"{log.land()} new records are taken in")
    finally:
        log.close()
    held = Archive(spark, source)
    try:
        held.finish_erasures()
        erasure, report.records = held.erase(key_hash)
    finally:
        held.close()
    if erasure is not None:
        report.hours = hours_of([erasure])
    for pipeline in project.pipelines.values():
        reads = [s.name for s in pipeline.sources.values() if s.archive == archive]
        if not reads:
            continue
        report.pipelines.append(pipeline.name)
        books = Books(spark, pipeline.name, pipeline.sink.table)
        report.quarantined += sum(books.erase(name, key_hash) for name in reads)
    return report
