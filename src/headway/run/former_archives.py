"""Erasures from the archive that a source had before: they are decisions about its log, and stay."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from headway.errors import DefinitionError
from headway.run.archive import Archive

if TYPE_CHECKING:
    from headway.run.job import Job

__all__ = ["take_over"]


def take_over(job: Job) -> None:
    """Have each source's archive take over the erasures of the one that the newest commit names.

    Called before anything is read. Erasures from an archive that nothing was published from are not found.

    Raises:
        DefinitionError: A source names no archive any more, and its log still holds records that were erased.
    """
    read = json.loads(job.target.history.newest().get("offsets", "{}"))
    for name, log in job.logs.items():
        source, was = job.pipeline.sources[name], read.get(name, {})
        former = was.get("archive")
        if former in (None, source.archive) or was["log"] != job.identities[name]:
            continue
        erasures = Archive(job.spark, replace(source, archive=former)).erasures()
        if source.archive is not None:
            Archive(job.spark, source).take_over(erasures)
        elif not all(log.begins().covers(erasure.below) for erasure in erasures):
            raise DefinitionError(
                f"source {source.name!r} no longer names the archive {former}, from which records were erased "
                "that the log itself still holds",
                hint="Name it, or another one, which takes the erasures over, until retention has eaten those records.",
            )
