"""What a micro-batch counts of its records in the very pass that writes its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headway.run import admission
from headway.run.admission import FATE, Fate
from headway.run.inputs import Scan, scan_of
from headway.source import Source

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["counts", "name_of", "of_running_batch", "scan_of_batch"]


def scan_of_batch(counts: Mapping[str, Any], past: int) -> Scan:
    """Turn what a batch has counted into accounts; stragglers lie at or below `past`."""
    is_straggling = counts["least"] is not None and counts["least"] <= past
    return scan_of({**counts, "touching": int(is_straggling or counts["correctable"] > 0)})


def name_of(name: str) -> str:
    """Return the name of a source's observation."""
    return f"headway_{name}"


def counts(source: Source, partitions: list[int]) -> list[Column]:
    """Return what a micro-batch counts of a source, markers aside: fates, least event time, arrivals."""
    from pyspark.sql import functions as F

    fate = F.col(FATE)

    def count(condition: Column, name: str) -> Column:
        return F.count(F.when(condition, 1)).alias(name)

    arrival = F.unix_micros(admission.log_field("arrival"))
    return [
        count(fate >= 0, "read"),
        count(fate.isin(*map(int, admission.ADMITTED)), "admitted"),
        count(fate.isin(int(Fate.LATE), int(Fate.CORRECTABLE)), "late"),
        count(fate == int(Fate.EARLY), "early"),
        count(fate == int(Fate.DEAD), "dead"),
        count(fate == int(Fate.TOMBSTONE), "tombstones"),
        count(fate == int(Fate.CORRECTABLE), "correctable"),
        count(fate == int(Fate.REJECTED), "rejected"),
        count(fate == int(Fate.REFUSED), "refused"),
        F.min(F.when(fate == int(Fate.ADMITTED), admission.event_time(source))).alias("least"),
        *[F.max(F.when(admission.log_field("partition") == p, arrival)).alias(f"a{p}") for p in partitions],
    ]


def of_running_batch(query: StreamingQuery | None) -> dict[str, dict[str, Any]]:
    """Return what the batch that runs now has observed, by name.

    Spark hands observations to listeners after the batch; the commit needs them before it, so
    they are read from the execution itself.
    """
    assert query is not None
    metrics = query._jsq.streamingQuery().lastExecution().observedMetrics()
    found: dict[str, dict[str, Any]] = {}
    names = metrics.keysIterator()
    while names.hasNext():
        name = names.next()
        row = metrics.get(name).get()
        if row.schema() is not None:
            found[name] = json.loads(row.json())
    return found
