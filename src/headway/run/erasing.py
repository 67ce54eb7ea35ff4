"""Taking a person's records away by their key: from an archive, and from the quarantine of who reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway import instant
from headway.embedded import stack
from headway.errors import CallError, LostDataError, suggestion
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
    readers = [
        (pipeline, source)
        for pipeline in project.pipelines.values()
        for source in pipeline.sources.values()
        if source.archive is not None
    ]
    mine = [(pipeline, source) for pipeline, source in readers if source.archive == archive]
    if not mine:
        known = sorted({str(source.archive) for _, source in readers})
        raise CallError(
            f"no source of this project has the archive {archive!r}, and who reads it has to follow",
            hint=f"{suggestion(archive, known)} Erase in the project whose sources name it; where none does, "
            f"name it on a source (archive={archive!r}), or drop the whole table.",
        )
    sources = [source for _, source in mine]
    key_hash = hashlib.sha256(key).hexdigest()
    report = Erased(archive=archive, pipelines=sorted({pipeline.name for pipeline, _ in mine}))
    log = ArchivedLog(
        sources[0].open(stack.section(project, sources[0].section), lambda: spark), sources[0], spark
    )
    try:
        say(f"{log.land()} new records are taken in")
    except LostDataError as exc:
        say(f"what came since is not taken in, and not erased: {exc.what}")
    finally:
        log.close()
    erasure, report.records = Archive(spark, sources[0]).erase(key_hash, sources)
    if erasure is not None:
        report.hours = hours_of([erasure])
    for pipeline, source in mine:
        books = Books(spark, pipeline.name, pipeline.sink.table)
        report.quarantined += books.erase(source.name, [key_hash])
    return report
