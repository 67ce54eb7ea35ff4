"""What Spark tells of a stream's micro-batches: how long each took, and how large the state is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headway.telemetry.events import Deaf, Worked
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["listening", "worked"]

_FILES = "rocksdbSstFileSize"
"""Bytes of the files of Spark's RocksDB store, summed over its partitions."""


def worked(progress: Mapping[str, Any]) -> Worked:
    """Read a progress of Spark's, as its JSON says it.

    Rows are unknown where Spark does not count them, which is how headway sets it: it would look every
    key up once more. `spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows: "true"` in conf/ has
    it count.
    """
    states = progress.get("stateOperators", ())
    rows = sum(state["numRowsTotal"] for state in states)
    size = sum(state["memoryUsedBytes"] + state.get("customMetrics", {}).get(_FILES, 0) for state in states)
    return Worked(
        seconds=progress["durationMs"].get("triggerExecution", 0) / 1_000,
        batch=progress["batchId"],
        state_rows=rows if rows > 0 else None,
        state_bytes=size if states else None,
    )


@contextmanager
def listening(spark: SparkSession, query: StreamingQuery, telemetry: Telemetry) -> Iterator[None]:
    """Tell of a query's micro-batches while it runs.

    Spark calls back on a thread of its own, after each batch and some time later; the last batches
    before the end may not be told of. Where nobody wants to know, Spark is asked for nothing.
    """
    if not telemetry.is_measured:
        yield
        return
    from pyspark import java_gateway

    gateway: Any = java_gateway
    gateway.ensure_callback_server_started(spark.sparkContext._gateway)
    jvm: Any = spark._jvm
    wrapper = jvm.org.apache.spark.sql.streaming.PythonStreamingQueryListenerWrapper
    listener, streams = wrapper(_Progress(str(query.runId), telemetry)), spark.streams._jsqm
    streams.addListener(listener)
    try:
        yield
    finally:
        streams.removeListener(listener)


class _Progress:
    """Hears of every query of the session, as a StreamingQueryListener of PySpark's does.

    One of PySpark's own takes each progress apart in more than a hundred calls of the JVM; its JSON is one.
    """

    def __init__(self, query: str, telemetry: Telemetry) -> None:
        self._query = query
        self._telemetry = telemetry

    def onQueryStarted(self, event: Any) -> None:  # noqa: N802 the JVM's names
        """Pass over it: the query runs already."""

    def onQueryProgress(self, event: Any) -> None:  # noqa: N802
        """Tell of a batch, if it is one of the query's."""
        try:
            progress = json.loads(event.progress().json())
            if progress["runId"] == self._query:
                self._telemetry.tell(worked(progress))
        except Exception as exc:  # noqa: BLE001 a stream does not end because nobody could watch it
            self._telemetry.tell(Deaf("the listener of the query", exc))

    def onQueryIdle(self, event: Any) -> None:  # noqa: N802
        """Pass over it: nothing was done."""

    def onQueryTerminated(self, event: Any) -> None:  # noqa: N802
        """Pass over it: the run itself knows."""

    class Java:
        """What py4j looks for."""

        implements = ("org.apache.spark.sql.streaming.PythonStreamingQueryListener",)
