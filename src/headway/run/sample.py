"""The newest admitted records of a source, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.offsets import Offsets
from headway.run import admission
from headway.source import Log, Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["newest"]


def newest(spark: SparkSession, source: Source, log: Log, limit: int) -> DataFrame:
    """Return the newest records that their times admit, also by a correction.

    They have the columns of the source's schema. Its suite, if it has one, leaves none out.

    Args:
        spark: The session.
        source: Whose facts decide what is admitted.
        log: Where the records are.
        limit: How many are read at most: as many from each partition.
    """
    begins, ends = log.begins(), log.ends().offsets
    each = limit // max(1, len(ends))
    start = Offsets({p: max(begins.get(p, 0), end - each) for p, end in ends.items()})
    judged = admission.judge(log.read(spark, start, ends), source)
    admitted = admission.admit(judged, admission.is_relevant(source, corrections=True))
    return admitted.drop("_log")
